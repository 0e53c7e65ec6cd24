"""What is marked reaches the index, whatever crashes and whoever commits late."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import delete

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import InvestorHistory, ModelKey, PropertyColumns
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.interactions import interactions
from domain.interactions.interactions import Interaction
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.members import members
from domain.model_registry import model_versions
from domain.properties import table
from jobs.reindexing.indexer import Indexer
from ml.catalogue.candidates import Source
from ml.index.points import Points
from ml.serving.inference import TwinService
from ml.twin.items import Items
from runtime import Runtime
from tests.factories import Town, add_property
from tests.jobs.reindexing.indexing import Place


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own."""
    return await Place.found(rt, database, town)


class FailingTwin(TwinService):
    """Cannot compute some properties and investors."""

    cursed: Collection[UUID] = ()

    async def items(self, model: ModelKey, properties: PropertyColumns) -> Items:
        if set(self.cursed) & set(properties.ids):
            raise RuntimeError("cursed")
        return await super().items(model, properties)

    async def interests(
        self, model: ModelKey, investors: Sequence[InvestorHistory]
    ) -> dict[UUID, NDArray[np.float32]]:
        if {one.user_id for one in investors} & set(self.cursed):
            raise RuntimeError("cursed")
        return await super().interests(model, investors)


def with_twin(place: Place, kind: type[TwinService] = FailingTwin) -> Indexer:
    """The place's indexer with another twin."""
    database = place.database

    async def load(key: ModelKey) -> object:
        async with database.work(key.tenant_id) as work:
            return await model_versions.stored(work, key.version_id)

    twin = kind(place.indexer.index, load, device="cpu")  # type: ignore[arg-type]
    return Indexer(database, place.indexer.index, twin)


async def test_changes_are_written_and_what_is_deleted_forgotten(place: Place) -> None:
    changed, gone = place.town.south[:2]
    await place.set_price(changed, 5e6)
    async with place.database.work(place.id) as work:
        await table.remove(work, gone)
        new = await add_property(work)
        await index_outbox.mark(work, Marked.PROPERTY, [new.id])
    assert await place.space().count([new.id]) != 59
    await place.index_marked()

    assert await place.space().property_ids() == await place.property_ids()
    assert await place.is_in_step()
    assert await place.marks() == 0


async def test_who_acted_on_a_property_is_known_by_what_it_is_now(place: Place) -> None:
    """And by less once it is gone."""
    investor = place.town.southerners[0]
    async with place.database.work(place.id) as work:
        (act, *_) = (await interactions.log(work, dict.fromkeys(place.town.south, 0))).users
        assert act in {*place.town.southerners}
    before = (await place.space().interests([investor]))[investor]
    for house in place.town.south:
        await place.set_price(house, 4e5)
    await place.index_marked()
    assert not np.allclose((await place.space().interests([investor]))[investor], before, atol=1e-3)
    assert await place.is_in_step()

    async with place.database.work(place.id) as work:
        for house in place.town.south[:-1]:
            await table.remove(work, house)
    await place.index_marked()
    left = await place.space().interests([investor])
    assert len(left.get(investor, ())) < len(before)
    assert await place.is_in_step()


async def test_an_investor_is_followed_from_the_first_act_to_the_last(place: Place) -> None:
    investor, house = place.town.idle, place.town.north[3]
    async with place.database.work(place.id) as work:
        await interactions.submit_feedback(work, investor, house, InteractionKind.THUMBS_UP, None)
    await place.index_marked()
    assert investor in await place.space().user_ids()
    assert await place.is_in_step()

    async with place.database.work(place.id) as work:
        await interactions.retract_feedback(work, investor, house)
    await place.index_marked()
    assert investor not in await place.space().user_ids()
    assert await place.is_in_step()


async def unowned_ids(place: Place) -> set[UUID]:
    """What the index knows to be owned by nobody."""
    found = await place.space().candidates(
        np.eye(1, 16, dtype=np.float32), PropertyFilter(), (), [Source(500, unowned=True)]
    )
    assert not found.items.taken.any()
    return set(found.ids)


async def test_a_deal_is_known_to_the_index_and_that_there_is_none_any_more(place: Place) -> None:
    bought, everything = place.town.north[3], {*place.town.south, *place.town.north}
    assert await unowned_ids(place) == everything
    async with place.database.work(place.id) as work:
        await interactions.record(work, place.town.idle, bought, InteractionKind.DEAL)
    await place.index_marked()
    assert await unowned_ids(place) == everything - {bought}

    async with place.database.work(place.id) as work:
        await work.session.execute(
            delete(Interaction).where(Interaction.user_id == place.town.idle)
        )
        await interactions.refresh_totals(work, [bought])
    await place.index_marked()
    assert await unowned_ids(place) == everything


async def test_every_version_with_vectors_follows(place: Place) -> None:
    second, third = await place.new_version(), await place.new_version()
    await place.indexer.activate(place.id, second.version_id, _unheard)
    async with place.database.work(place.id) as work:
        await model_versions.begin_filling(work, third.version_id)
    changed, gone = place.town.south[:2]
    await place.set_price(changed, 5e6)
    async with place.database.work(place.id) as work:
        leaver = place.town.southerners[0]
        await members.remove(work, leaver)
        await table.remove(work, gone)
    await place.index_marked()

    assert await place.is_in_step(place.model, second)
    assert await place.space(third).property_ids() == {changed}
    for model in (place.model, second, third):
        assert leaver not in await place.space(model).user_ids()


async def test_subjects_are_written_once_however_often_marked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    upsert = Points._upsert

    async def noting(space: Points, collection: str, ids: Sequence[str], *rest: object) -> None:
        written.append(len(ids))
        await upsert(space, collection, ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Points, "_upsert", noting)
    for _ in range(5):
        await place.mark(Marked.PROPERTY, place.town.south[:3])
    await place.index_marked()

    assert written[0] == 3
    assert await place.marks() == 0


async def test_a_mark_that_is_committed_late_is_not_lost(place: Place) -> None:
    """Its time is when its transaction began, before marks that are followed meanwhile."""
    late, early = place.town.south[:2]
    async with place.database.work(place.id) as work:
        await index_outbox.mark(work, Marked.PROPERTY, [late])
        await work.session.flush()
        await place.set_price(early, 5e6)
        await place.index_marked()
        assert await place.marks() == 0
    assert await place.marks() == 1
    await place.set_price(late, 6e6, marked=False)
    await place.index_marked()
    assert await place.is_in_step()


async def test_a_crash_between_writing_and_unmarking_repeats_the_work(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = place.town.south[0]
    await place.set_price(changed, 5e6)

    async def crash(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(index_outbox, "unmark", crash)
        with suppress(asyncio.CancelledError):
            await place.index_marked()
    assert await place.marks() == 1
    await place.index_marked()
    assert await place.marks() == 0
    assert await place.is_in_step()


async def test_what_cannot_be_written_keeps_its_mark_and_does_not_stop_the_rest(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    cursed, blessed = place.town.south[0], place.town.south[1:]
    unhappy, happy = place.town.southerners[0], place.town.southerners[1:]
    for house in (cursed, *blessed):
        await place.set_price(house, 5e6)
    await place.mark(Marked.USER, [unhappy, *happy])
    indexer = with_twin(place)
    assert isinstance(indexer.twin, FailingTwin)
    indexer.twin.cursed = {cursed, unhappy}
    with caplog.at_level(logging.ERROR):
        assert not await indexer.index_marked(place.id)

    assert str(cursed) in caplog.text
    assert str(unhappy) in caplog.text
    async with place.database.work(place.id) as work:
        left = {one.subject_id for one in await index_outbox.marks(work, 1000)}
    assert left == {cursed, unhappy}
    # The two are marked, which is no difference; the others are as they should be.
    assert await place.is_in_step()
    indexer.twin.cursed = ()
    assert not await indexer.index_marked(place.id)
    assert await place.marks() == 0
    assert await place.is_in_step()


class SilentTwin(FailingTwin):
    """Cannot reach a service."""

    async def items(self, model: ModelKey, properties: PropertyColumns) -> Items:
        raise ConnectionError("nobody listens")


async def test_an_outage_is_nobodys_fault(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    await place.mark(Marked.PROPERTY, place.town.south)
    with pytest.raises(ConnectionError):
        await with_twin(place, SilentTwin).index_marked(place.id)
    assert "cannot be written" not in caplog.text
    assert await place.marks() == len(place.town.south)


async def test_a_slice_of_time_ends_between_two_batches(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.reindexing.passes.MARKS", 10)
    await place.mark(Marked.PROPERTY, place.town.south)
    assert await place.indexer.index_marked(place.id, 0.0)
    assert await place.marks() > 0
    assert not await place.indexer.index_marked(place.id)
    assert await place.marks() == 0


class PausingTwin(TwinService):
    """Waits between what was read and what is written."""

    reached: asyncio.Event
    go_on: asyncio.Event

    async def items(self, model: ModelKey, properties: PropertyColumns) -> Items:
        found = await super().items(model, properties)
        self.reached.set()
        await self.go_on.wait()
        return found


async def test_an_older_state_never_overwrites_a_newer_one(place: Place) -> None:
    slow = with_twin(place, PausingTwin)
    assert isinstance(slow.twin, PausingTwin)
    slow.twin.reached, slow.twin.go_on = asyncio.Event(), asyncio.Event()
    new = await place.new_version()
    filling = asyncio.create_task(slow.fill(place.id, new.version_id, _unheard))
    async with asyncio.timeout(60):
        await slow.twin.reached.wait()
    # The new version's vectors are computed, of the price before, and not yet written.
    await place.set_price(place.town.south[0], 5e6)
    following = asyncio.create_task(place.index_marked())
    await asyncio.wait([following], timeout=0.5)
    slow.twin.go_on.set()
    await asyncio.gather(filling, following)

    assert await place.is_in_step(place.model, new)


async def _unheard(_share: float, _message: str) -> None: ...
