"""Comparing database and index, and noticing that one lost something."""

import asyncio
from collections.abc import Sequence
from datetime import date
from uuid import UUID, uuid4

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_client.http.exceptions import ResponseHandlingException
from sqlalchemy import delete

from domain.core.database import Database
from domain.interactions.interactions import Interaction
from domain.jobs import index_outbox, job_runs
from domain.jobs.index_outbox import IndexMark, Marked
from domain.properties.table import Property
from jobs.queue.pace import Pace
from jobs.reindexing import comparison
from jobs.reindexing.isolation import is_outage, isolate
from jobs.schedules import Round, count
from ml.index.index_rows import ROW
from ml.index.points import PROPERTIES
from ml.twin.artifacts import ArtifactError
from runtime import Runtime
from tests.factories import Town, add_property
from tests.jobs.reindexing.indexing import Place, unheard


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own."""
    return await Place.found(rt, database, town)


async def test_every_kind_of_difference_is_found_and_no_other(place: Place) -> None:
    south, north = place.town.south, place.town.north
    async with place.database.work(place.id) as work:
        new = (await add_property(work)).id
        await work.session.execute(delete(Property).where(Property.id == south[0]))
        await work.session.execute(
            delete(Interaction).where(Interaction.user_id == place.town.northerners[0])
        )
    await place.set_price(south[1], 5e6, marked=False)
    space = place.space()
    client, own = place.indexer.index._client, space._point_id
    await place.indexer.index.delete_properties_everywhere(place.id, [south[2]])
    await client.set_payload(PROPERTIES, {"city": "Tacoma"}, [own(north[0])])
    await client.delete_payload(PROPERTIES, [ROW], [own(north[1])])
    vector = np.eye(16)[0].tolist()
    other = (await space.interests([place.town.northerners[1]])).popitem()[1]
    await space.upsert_users({place.town.northerners[1]: other[:-1]})
    await space.upsert_users({place.town.northerners[2]: -other})
    await space.upsert_users({place.town.idle: other})
    await client.update_vectors(PROPERTIES, [models.PointVectors(id=own(north[2]), vector=vector)])
    # Marked, so on its way.
    await place.add_properties(1)
    await place.mark(Marked.USER, [place.town.southerners[0]])
    await space.delete_users([place.town.southerners[0]])

    found = await place.indexer.differences(place.id, place.model.version_id)
    assert found.properties == {new, south[1], south[2], north[0], north[1], north[2]}
    assert found.extra == {south[0]}
    touched = {*place.town.northerners[:3], place.town.idle}
    # So does whoever acted on the houses in the south that are gone or have another price.
    assert touched <= found.users <= touched | set(place.town.southerners[1:])
    assert found.compared == 61 + 11

    await place.indexer.reindex(place.id, unheard)
    await place.index_marked()
    assert await place.is_in_step()


@pytest.mark.parametrize("change", ["nothing", "lost", "left over", "marked", "everything marked"])
async def test_an_index_with_more_or_less_than_it_should_have_is_repaired(
    place: Place, change: str
) -> None:
    lost = place.town.south[0]
    if change in ("lost", "marked", "everything marked"):
        await place.indexer.index.delete_properties_everywhere(place.id, [lost])
    if change == "left over":
        async with place.database.work(place.id) as work:
            await work.session.execute(delete(Property).where(Property.id == lost))
    if change == "marked":
        await place.mark(Marked.PROPERTY, [lost])
    if change == "everything marked":
        async with place.database.work(place.id) as work:
            work.session.add(
                IndexMark(tenant_id=place.id, kind=Marked.EVERYTHING, subject_id=place.id)
            )
    wanted = change in ("lost", "left over")
    assert await place.indexer.repair(place.id) is wanted
    assert bool(await place.asked(job_runs.REINDEX)) is wanted


async def test_who_counts_keeps_nobody_from_writing(place: Place) -> None:
    async with place.indexer.index_lock(place.id), asyncio.timeout(60):
        assert not await place.indexer.repair(place.id)


async def test_every_property_is_compared_within_some_nights(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what a write leaves that comes late, after its lock was lost: one of many, and no more."""
    monkeypatch.setattr(comparison, "SAMPLE", 0)
    stale = place.town.south[0]
    await place.set_price(stale, 5e6, marked=False)

    async def found(night: int, without: set[UUID]) -> bool:
        return await comparison.some_differ(place.indexer, place.model, night, without)

    first = date(2026, 1, 1).toordinal()
    nights = range(first, first + comparison.NIGHTS)
    assert [await found(night, set()) for night in nights].count(True) == 1
    assert not any([await found(night, {stale}) for night in nights])


async def test_every_tenant_is_counted_whatever_becomes_of_another(
    place: Place, rt: Runtime, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruined = await Place.found(rt, place.database, town, houses=2)
    for one in (place, ruined):
        await one.space().drop()
    repair = type(place.indexer).repair

    async def fail_for_one(indexer: object, tenant_id: UUID) -> bool:
        if tenant_id == ruined.id:
            raise ConnectionError("no index today")
        return await repair(indexer, tenant_id)  # type: ignore[arg-type]

    monkeypatch.setattr(type(place.indexer), "repair", fail_for_one)
    context = {"database": place.database, "indexer": place.indexer, "pace": Pace()}
    await count(context | {"counting": Round()})
    assert len(await place.asked(job_runs.REINDEX)) == 1
    assert await ruined.asked(job_runs.REINDEX) == []


async def test_nothing_is_counted_while_it_is_written(place: Place) -> None:
    """Else what is committed between the two counts would look lost."""

    async def add() -> None:
        for _ in range(20):
            async with place.database.work(place.id) as work:
                new = await add_property(work)
                await index_outbox.mark(work, Marked.PROPERTY, [new.id])
            await place.indexer.index_marked(place.id)

    adding = asyncio.create_task(add())
    found = []
    while not adding.done():
        found.append(await place.indexer.repair(place.id))
    await adding
    assert len(found) > 3
    assert not any(found)


IDS = [uuid4() for _ in range(40)]


@given(cursed=st.sets(st.sampled_from(IDS)), size=st.integers(0, len(IDS)))
async def test_all_but_those_at_fault_are_attempted(cursed: set[UUID], size: int) -> None:
    written: set[UUID] = set()

    async def attempt(some: Sequence[UUID]) -> None:
        if cursed & set(some):
            raise ValueError("cursed")
        written.update(some)

    assert await isolate(IDS[:size], attempt) == cursed & set(IDS[:size])
    assert written == set(IDS[:size]) - cursed


def rpc_error(code: grpc.StatusCode) -> grpc.RpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (ValueError("not finite"), False),
        (RuntimeError("shapes"), False),
        (rpc_error(grpc.StatusCode.INVALID_ARGUMENT), False),
        (rpc_error(grpc.StatusCode.UNAVAILABLE), True),
        (rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED), True),
        (ResponseHandlingException(OSError()), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (ArtifactError("format"), True),
    ],
)
def test_a_service_that_is_down_is_nobodys_fault(error: Exception, outage: bool) -> None:
    assert is_outage(error) is outage
