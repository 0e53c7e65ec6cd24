"""An index that an earlier build wrote is no fault of the caller, and said so."""

import pytest

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.tenants import tenants
from jobs.reindexing.indexer import Indexer
from ml.index.index_rows import ROW
from ml.index.points import PROPERTIES
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import build_town, train


async def test_a_list_waits_for_the_index_to_be_written_again(
    rt: Runtime, database: Database
) -> None:
    town = await build_town(database, await new_tenant(database))
    training = await train(rt, town.tenant, epochs=1)
    async with database.work(town.tenant.id) as work:
        assert await tenants.active_version_id(work) == training.version_id
    space = rt.index.space(ModelKey(town.tenant.id, training.version_id))
    await rt.index._client.delete_payload(PROPERTIES, [ROW], space._filter())

    async def recommend() -> int:
        investor = town.southerners[0]
        page = await rt.recommender.recommend(town.tenant.id, investor, PropertyFilter(), 5)
        return len(page.items)

    with pytest.raises(DomainError, match="is being written") as refused:
        await recommend()
    assert refused.value.code is ErrorCode.NO_ACTIVE_MODEL

    async def report(share: float, message: str) -> None: ...

    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    await indexer.reindex(town.tenant.id, report)
    assert await recommend() == 5
    assert await space.count() == 60
