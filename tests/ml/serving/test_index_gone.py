"""Without Qdrant, catalogues answer all that is asked of properties."""

from collections.abc import AsyncIterator
from uuid import uuid4

import numpy as np
import pytest

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import IndexUnavailableError, ModelKey, PropertyColumns, StoredModel
from domain.core.database import Database
from domain.properties import snapshots
from domain.properties.feed import DatabaseFeed
from domain.tenants.tenants import Tenant
from ml.index.index import EmbeddingIndex
from ml.serving.inference import TwinService
from ml.twin.artifacts import Artifact, pack
from tests.embedded.processes import client_of
from tests.factories import add_property
from tests.ml.worlds import make_history
from tests.waiting import until

EVERYTHING = PropertyFilter()
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def gone() -> AsyncIterator[EmbeddingIndex]:
    """An index where nothing answers."""
    client = client_of(NOWHERE)
    yield EmbeddingIndex(client)
    await client.close()


@pytest.fixture
async def houses(database: Database, tenant: Tenant) -> PropertyColumns:
    """Forty properties of the tenant."""
    async with database.work(tenant.id) as work:
        for n in range(40):
            await add_property(work, listing_price=1e5 * n, latitude=47.0 + n / 100)
        return await snapshots.snapshot_after(work)


async def test_a_catalogue_answers_as_the_index_did(
    index: EmbeddingIndex,
    gone: EmbeddingIndex,
    artifact: Artifact,
    database: Database,
    tenant: Tenant,
    houses: PropertyColumns,
) -> None:
    stored = pack(artifact, {})

    async def load(_: ModelKey) -> StoredModel:
        return stored

    key = ModelKey(tenant.id, uuid4())
    before = TwinService(index, load, "cpu")
    await index.space(key).upsert_properties(houses, await before.items(key, houses))
    after = TwinService(gone, load, "cpu", feed=DatabaseFeed(database))
    cold = TwinService(gone, load, "cpu", feed=DatabaseFeed(database), limit=0)
    investor = make_history(houses, [3, 4], ["SAVE", "VIEW"])
    query = np.full(16, 0.25, dtype=np.float32)
    for service in (cold, TwinService(gone, load, "cpu")):
        with pytest.raises(IndexUnavailableError):
            await service.rank(key, investor, EVERYTHING, ())
        with pytest.raises(IndexUnavailableError):
            await service.nearest(key, query, EVERYTHING, (), 5)
    # That version asks, and so begins the load.
    await after.score(key, [investor], houses)
    await until(lambda: after.properties(tenant.id, houses.ids))

    ranked = [
        (await service.rank(key, investor, EVERYTHING, houses.ids[3:5])).items
        for service in (before, after)
    ]
    alike = [
        await service.similar(key, houses.take([7]), EVERYTHING, (), 10)
        for service in (before, after)
    ]
    near = [await service.nearest(key, query, EVERYTHING, (), 10) for service in (before, after)]
    for old, new in (ranked, alike, near):
        assert [one.property_id for one in new] == [one.property_id for one in old]
        np.testing.assert_allclose(
            [one.key.value for one in new], [one.key.value for one in old], atol=1e-5
        )
    old_scores, new_scores = [
        await service.score(key, [investor], houses) for service in (before, after)
    ]
    np.testing.assert_array_equal(new_scores, old_scores)
    with pytest.raises(IndexUnavailableError):
        await after.audience(key, houses.take([0]), [()], [None])
    for service in (after, cold):
        await service.close()
