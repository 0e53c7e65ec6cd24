"""An index that the build before this one wrote answers until everything is written anew."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models

import embedded
from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import InvestorHistory, ModelKey, PropertyColumns
from domain.core.database import Database
from domain.interactions import histories, interactions
from domain.jobs import index_outbox
from domain.model_registry import model_versions
from domain.properties import snapshots
from jobs.reindexing.indexer import Indexer
from ml.index import earlier
from ml.index.filters import payloads
from ml.index.index import EmbeddingIndex
from ml.index.index_rows import ROW, pack
from ml.index.points import PROPERTIES, USERS
from ml.serving.inference import TwinService
from ml.twin.items import Items
from runtime import Runtime
from tests.embedded.processes import client_of
from tests.factories import Town
from tests.jobs.reindexing.indexing import Place, unheard

DIRECTION = np.full(16, 0.25, dtype=np.float32)


class Killed(BaseException):
    """The end of a process, as far as a test goes."""


class Twin(TwinService):
    """Looks what a tenant is answered whenever properties or investors are written."""

    asked: ModelKey
    answers: list[list[UUID]]
    dies_after = 1000

    async def items(self, model: ModelKey, properties: PropertyColumns) -> Items:
        self.answers.append(await listed(self, self.asked))
        if len(self.answers) > self.dies_after:
            raise Killed
        return await super().items(model, properties)

    async def interests(
        self, model: ModelKey, investors: Sequence[InvestorHistory]
    ) -> dict[UUID, NDArray[np.float32]]:
        self.answers.append(await listed(self, self.asked))
        return await super().interests(model, investors)


async def listed(twin: TwinService, model: ModelKey) -> list[UUID]:
    """All that a tenant has, as a server without a catalogue lists it."""
    hits = await twin.nearest(model, DIRECTION, PropertyFilter(), (), 100)
    return sorted(hit.property_id for hit in hits)


async def relatives(twin: TwinService, place: Place) -> set[UUID]:
    """The investors who are like one of a tenant's."""
    kin = await twin.kin(place.model, place.town.southerners[0], (), None)
    return set(kin.likeness)


@pytest.fixture
async def qdrant(tmp_path: Path) -> AsyncIterator[AsyncQdrantClient]:
    """A Qdrant of the test's own."""
    url = embedded.ensure(tmp_path, postgres=False, redis=False).qdrant_url
    client = client_of(str(url))
    yield client
    await client.close()
    embedded.release(tmp_path)


async def write_as_before(client: AsyncQdrantClient, place: Place) -> None:
    """Write a tenant's points as the build before this one did."""
    own = {"tenant_id": str(place.id), "model_version": str(place.model.version_id)}
    twin = place.indexer.twin
    async with place.database.work(place.id) as work:
        columns = await snapshots.snapshot_after(work)
        some = await histories.get_many(work, await interactions.active_investors(work))
    items = await twin.items(place.model, columns)
    interests = await twin.interests(place.model, list(some.values()))
    houses: list[dict[str, Any]] = [
        {**payload, "property_id": str(one), ROW: row}
        for one, payload, row in zip(
            columns.ids, payloads(columns), pack(columns.ids, items), strict=True
        )
    ]
    investors: list[dict[str, Any]] = [
        {"user_id": str(one), "interest": number}
        for one, vectors in interests.items()
        for number in range(len(vectors))
    ]
    for name, contents, vectors in (
        (earlier.PROPERTIES, houses, items.embedding.numpy()),
        (earlier.USERS, investors, np.concatenate(list(interests.values()))),
    ):
        if not await client.collection_exists(name):
            await client.create_collection(
                name, models.VectorParams(size=16, distance=models.Distance.COSINE)
            )
            for field in ("tenant_id", "model_version", "property_id", "user_id"):
                await client.create_payload_index(name, field, models.PayloadSchemaType.KEYWORD)
        await client.upsert(
            name,
            [
                models.PointStruct(id=str(uuid4()), vector=vector, payload=own | payload)
                for vector, payload in zip(vectors.tolist(), contents, strict=True)
            ],
        )


async def marks_of_everything(place: Place) -> int:
    async with place.database.work(place.id) as work:
        return len(await index_outbox.marks_of_everything(work))


@pytest.mark.integration
async def test_tenants_are_answered_while_their_index_is_written_anew(
    rt: Runtime,
    database: Database,
    town: Town,
    qdrant: AsyncQdrantClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.reindexing.passes.PROPERTY_BATCH", 20)
    monkeypatch.setattr("jobs.reindexing.passes.TURN", 1)
    first, second = [await Place.found(rt, database, town) for _ in range(2)]
    for place in (first, second):
        await write_as_before(qdrant, place)
    index = EmbeddingIndex(qdrant)

    async def load(key: ModelKey) -> Any:
        async with database.work(key.tenant_id) as work:
            return await model_versions.stored(work, key.version_id)

    twin = Twin(index, load, device="cpu")
    twin.asked, twin.answers = first.model, []
    whole = sorted(await first.property_ids())
    kin = await relatives(first.indexer.twin, first)

    # A server may run before any worker does.
    assert await listed(twin, first.model) == whole
    assert await relatives(twin, first) == kin
    assert await qdrant.collection_exists(PROPERTIES) is False

    indexer = await Indexer.open(database, index, twin)
    twin.dies_after = 2
    with pytest.raises(Killed):
        await indexer.index_marked(first.id)
    assert 0 < await index.space(first.model).count() < len(whole)
    assert await listed(twin, first.model) == whole

    # The next process goes on, and has nothing written twice.
    twin.dies_after = 1000
    indexer = await Indexer.open(database, index, twin)
    assert await marks_of_everything(first) == await marks_of_everything(second) == 1
    assert not await indexer.index_marked(first.id)
    assert len(twin.answers) > 6
    assert all(answer == whole for answer in twin.answers)
    assert await listed(twin, first.model) == whole
    assert await relatives(twin, first) == kin
    assert not await indexer.differences(first.id, first.model.version_id)
    left = await qdrant.count(earlier.PROPERTIES)
    assert left.count == len(await second.property_ids())

    # What a worker of the build before took for done is found out.
    async with database.work(second.id) as work:
        found = await index_outbox.marks_of_everything(work)
        await index_outbox.unmark(work, found)
    assert await indexer.repair(second.id)
    assert await listed(twin, second.model) == sorted(await second.property_ids())
    await indexer.reindex(second.id, unheard)
    assert not await indexer.repair(second.id)
    assert not await indexer.differences(second.id, second.model.version_id)
    assert await listed(twin, second.model) == sorted(await second.property_ids())
    assert {one.name for one in (await qdrant.get_collections()).collections} == {PROPERTIES, USERS}
