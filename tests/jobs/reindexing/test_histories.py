"""Any history of changes, fillings, activations and crashes, some at once, ends in step.

``INTERLEAVINGS=500`` draws so many histories; the tests draw a few.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.core.leases import Lease, LostLeaseError
from domain.interactions import interactions
from domain.jobs.index_outbox import IndexMark, Marked
from domain.members import members
from domain.model_registry import model_versions
from domain.model_registry.model_versions import ModelStatus, ModelVersion, SpaceState
from domain.properties import table
from jobs.queue.runs import JobError
from ml.index.points import Points
from runtime import Runtime
from tests.factories import Town, add_property
from tests.jobs.reindexing.indexing import Place, unheard

HISTORIES = int(os.environ.get("INTERLEAVINGS", "3"))
HOUSES = 12


class CrashError(ConnectionError):
    """The process is gone, as far as its transaction is concerned."""


class Fate:
    """Crashes whoever writes into the index for the ``after``-th time, before or after it did."""

    def __init__(self) -> None:
        self.after, self.written = 0, False

    def strikes(self) -> bool:
        self.after -= 1
        return self.after == 0


LEFT_OFF = (CrashError, JobError, LostLeaseError)
"""How an act may end; a JobError where a space is forgotten while it is filled, as only we do."""

Act = Callable[["World", int], Awaitable[None]]


class World:
    """A place and those who act on it."""

    def __init__(self, place: Place, fate: Fate) -> None:
        self.place = place
        self.fate = fate

    async def one_of(self, ids: set[UUID], draw: int) -> UUID:
        return sorted(ids)[draw % len(ids)]

    async def change(self, draw: int) -> None:
        """Another price for a property."""
        some = await self.place.property_ids()
        if some:
            await self.place.set_price(await self.one_of(some, draw), 1e5 + draw)

    async def create(self, _draw: int) -> None:
        """A further property."""
        await self.place.add_properties(1)

    async def remove(self, draw: int) -> None:
        """One property less."""
        some = await self.place.property_ids()
        if len(some) > 3:
            with suppress(DomainError):
                async with self.place.database.work(self.place.id) as work:
                    await table.remove(work, await self.one_of(some, draw))

    async def act(self, draw: int) -> None:
        """A thumb, one taken back, or a deal."""
        town = self.place.town
        user = [town.idle, *town.southerners, *town.northerners][draw % 13]
        house = await self.one_of(await self.place.property_ids(), draw // 13)
        # Either may have been deleted.
        with suppress(DomainError):
            async with self.place.database.work(self.place.id) as work:
                match draw % 4:
                    case 0:
                        await interactions.retract_feedback(work, user, house)
                    case 1:
                        await interactions.record(work, user, house, InteractionKind.DEAL)
                    case thumb:
                        kind = (
                            InteractionKind.THUMBS_UP if thumb == 2 else InteractionKind.THUMBS_DOWN
                        )
                        await interactions.submit_feedback(work, user, house, kind, None)

    async def leave(self, draw: int) -> None:
        """A member is deleted."""
        with suppress(DomainError):
            async with self.place.database.work(self.place.id) as work:
                await members.remove(work, self.place.town.southerners[draw % 6])

    async def change_everything(self, _draw: int) -> None:
        """A bulk change: nothing says of what."""
        async with self.place.database.work(self.place.id) as work:
            await add_property(work)
            work.session.add(
                IndexMark(tenant_id=self.place.id, kind=Marked.EVERYTHING, subject_id=self.place.id)
            )

    async def follow(self, _draw: int) -> None:
        """The routine job."""
        await self.place.indexer.index_marked(self.place.id)

    async def crash(self, draw: int) -> None:
        """The next but some write into the index is somebody's last."""
        self.fate.after, self.fate.written = 1 + draw // 2 % 4, draw % 2 == 0

    async def stall(self, _draw: int) -> None:
        """Whoever holds a lease gave no sign of life for its lifetime, and goes on anyway."""
        async with self.place.database.work(self.place.id) as work:
            await work.session.execute(update(Lease).values(expires_at=func.clock_timestamp()))

    async def train(self, _draw: int) -> None:
        """A new version is put into the index and answers."""
        if len(await self.versions()) < 4:
            new = await self.place.new_version()
            await self.place.indexer.activate(self.place.id, new.version_id, unheard)

    async def switch(self, draw: int) -> None:
        """A version that there is answers: a rollback, or another attempt."""
        versions = await self.versions()
        version = versions[draw % len(versions)]
        await self.place.indexer.activate(self.place.id, version.id, unheard)

    async def forget(self, draw: int) -> None:
        """A version that does not answer loses its vectors."""
        versions = await self.versions()
        version = versions[draw % len(versions)]
        with suppress(ValueError):
            async with self.place.indexer.index_lock(self.place.id) as lock, lock.work() as work:
                await model_versions.forget_space(work, version.id)
        await self.place.indexer.forget_unneeded(self.place.id)

    async def reindex(self, draw: int) -> None:
        """The nightly job, or one that is asked for."""
        await self.place.indexer.reindex(self.place.id, unheard, full=draw % 3 == 0)

    async def versions(self) -> list[ModelVersion]:
        async with self.place.database.work(self.place.id) as work:
            query = select(ModelVersion).order_by(ModelVersion.number)
            return list(await work.session.scalars(query))


ACTS = [
    World.change, World.change, World.create, World.remove, World.act, World.act, World.act,
    World.leave, World.change_everything, World.follow, World.follow, World.crash, World.crash,
    World.stall, World.train, World.switch, World.forget, World.reindex,
]  # fmt: skip
MOMENT = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 10_000)), min_size=1, max_size=4)


@settings(
    max_examples=HISTORIES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(MOMENT, min_size=3, max_size=8))
async def test_any_history_ends_with_index_and_database_the_same(
    rt: Runtime,
    database: Database,
    town: Town,
    monkeypatch: pytest.MonkeyPatch,
    history: list[list[tuple[Act, int]]],
) -> None:
    place, fate = await Place.found(rt, database, town, HOUSES), Fate()
    upsert = Points._upsert

    async def fatal(space: Points, *arguments: Any) -> None:
        struck = space._model.tenant_id == place.id and fate.strikes()
        if struck and not fate.written:
            raise CrashError
        await upsert(space, *arguments)
        if struck:
            raise CrashError

    world = World(place, fate)
    with monkeypatch.context() as patched:
        patched.setattr(Points, "_upsert", fatal)
        patched.setattr("jobs.reindexing.passes.PROPERTY_BATCH", 5)
        for moment in history:
            note([(act.__name__, draw) for act, draw in moment])
            acting = asyncio.gather(
                *(act(world, draw) for act, draw in moment), return_exceptions=True
            )
            for outcome in await asyncio.wait_for(acting, 60):
                if outcome is not None and not isinstance(outcome, LEFT_OFF):
                    raise outcome
            await not_two_answer(world)

    await place.index_marked()
    assert await place.marks() == 0
    for version in await world.versions():
        model = ModelKey(place.id, version.id)
        if version.space is not SpaceState.COMPLETE:
            # What was left in the middle is taken up, or was given up.
            await place.indexer.activate(place.id, version.id, unheard)
        assert await place.is_in_step(model), version.number
    assert not await place.indexer.repair(place.id)


async def not_two_answer(world: World) -> None:
    """Whatever happened, one version answers, and its space is complete."""
    answering = [one for one in await world.versions() if one.status is ModelStatus.ACTIVE]
    assert [one.space for one in answering] == [SpaceState.COMPLETE]
    active = await world.place.active()
    assert answering[0].id == active.version_id
