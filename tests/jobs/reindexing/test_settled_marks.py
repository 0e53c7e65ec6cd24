"""Who indexes a tenant settles the marks that were made before: nothing is written twice."""

import asyncio
from uuid import UUID

import pytest

from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.work import Job
from domain.interactions import interactions
from domain.jobs import index_outbox
from domain.jobs.index_outbox import INDEX_MARKED, Marked
from domain.model_registry import model_versions
from domain.model_registry.model_versions import SpaceState
from jobs.reindexing.indexer import Indexer
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, build_town
from tests.jobs.reindexing.indexing import Place, add_version, unheard
from tests.jobs.reindexing.test_marks import FailingTwin, with_twin


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own whose only version is trained, and not in the index yet."""
    built = await build_town(database, await new_tenant(database))
    async with database.work(town.tenant.id) as work:
        source = await model_versions.by_number(work, 1)
    model = await add_version(database, ModelKey(town.tenant.id, source.id), built.tenant.id)
    return Place(built, Indexer(database, rt.index, rt.twin), model)


async def import_everything(place: Place) -> None:
    """What a file of many properties leaves, and a few single changes."""
    async with place.database.work(place.id) as work:
        await index_outbox.mark_everything(work)
        await index_outbox.mark(work, Marked.PROPERTY, place.town.south)
        await index_outbox.mark(work, Marked.USER, place.town.southerners)


@pytest.mark.parametrize("through", ["activate", "fill"])
async def test_nothing_is_written_again_after_an_import_and_a_training(
    place: Place, through: str
) -> None:
    await import_everything(place)
    await getattr(place.indexer, through)(place.id, place.model.version_id, unheard)
    assert await place.marks() == 0
    # Whatever is written now fails, and would stay marked.
    idle = with_twin(place)
    assert isinstance(idle.twin, FailingTwin)
    idle.twin.cursed = [*place.town.south, *place.town.north, *place.town.southerners]
    assert not await idle.index_marked(place.id)
    assert await place.marks() == 0
    assert await place.is_in_step()


async def test_what_is_marked_meanwhile_is_followed_with_those_it_concerns(
    place: Place, enqueued: list[Job]
) -> None:
    """A property that changes: it is in the space, and investors it concerns stay marked."""
    changed = place.town.south[0]

    async def change(_share: float, message: str) -> None:
        if "investors" in message and not await place.marks():
            await place.set_price(changed, 5e6)

    await place.indexer.activate(place.id, place.model.version_id, change)
    async with place.database.work(place.id) as work:
        left = await index_outbox.all_marks(work)
    assert {one.kind for one in left} == {Marked.USER}
    assert enqueued[-1] == Job(INDEX_MARKED, place.id)
    await place.index_marked()
    assert await place.marks() == 0
    assert await place.is_in_step()


async def test_what_cannot_be_written_stays_marked(place: Place) -> None:
    await place.indexer.fill(place.id, place.model.version_id, unheard)
    cursed = place.town.south[0]
    await import_everything(place)
    indexer = with_twin(place)
    assert isinstance(indexer.twin, FailingTwin)
    indexer.twin.cursed = [cursed]
    await indexer.activate(place.id, place.model.version_id, unheard)
    async with place.database.work(place.id) as work:
        left = await index_outbox.all_marks(work)
    assert {(one.kind, one.subject_id) for one in left if one.kind is Marked.PROPERTY} == {
        (Marked.PROPERTY, cursed)
    }
    assert not [one for one in left if one.kind is Marked.EVERYTHING]


async def test_marks_stay_for_the_other_versions(place: Place) -> None:
    await place.indexer.activate(place.id, place.model.version_id, unheard)
    new = await place.new_version()
    await place.set_price(place.town.south[0], 5e6)
    await place.indexer.activate(place.id, new.version_id, unheard)
    assert await place.marks() == 1
    await place.index_marked()
    assert await place.is_in_step(place.model, new)


async def test_the_only_space_is_not_written_by_two_at_once(place: Place) -> None:
    """Who follows the marks leaves a mark of everything to who fills the only space."""
    await import_everything(place)
    seen: list[int] = []

    async def follow(_share: float, _message: str) -> None:
        await place.index_marked()
        seen.append(await place.marks())

    await place.indexer.activate(place.id, place.model.version_id, follow)
    assert set(seen) == {1}
    assert await place.marks() == 0
    assert await place.is_in_step()


async def test_marks_outlive_who_dies_filling_the_only_space(place: Place) -> None:
    await import_everything(place)

    async def die(_share: float, _message: str) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await place.indexer.fill(place.id, place.model.version_id, die)
    assert (await place.version(place.model)).space is SpaceState.FILLING
    assert await place.marks() > 0
    # Now nobody fills it.
    await place.index_marked()
    assert await place.marks() == 0
    await place.indexer.activate(place.id, place.model.version_id, unheard)
    assert await place.is_in_step()


async def test_changes_that_never_pause_keep_no_version_from_answering(place: Place) -> None:
    class RestlessTwin(FailingTwin):
        async def items(self, *arguments):  # type: ignore[no-untyped-def]
            found = await super().items(*arguments)
            await place.set_price(place.town.south[0], 5e6)
            return found

    async with asyncio.timeout(60):
        await with_twin(place, RestlessTwin).activate(place.id, place.model.version_id, unheard)
    assert await place.active() == place.model
    # Those that came last are left, as any other change.
    assert await place.marks() > 0
    await place.index_marked()
    assert await place.is_in_step()


async def test_a_change_is_in_the_space_before_it_answers_however_late_it_comes(
    place: Place,
) -> None:
    """Between the last look at the rows and the transaction of the switch."""
    changed: list[UUID] = []

    class ChangingTwin(FailingTwin):
        async def items(self, *arguments):  # type: ignore[no-untyped-def]
            found = await super().items(*arguments)
            if len(changed) < 3:
                changed.append(place.town.south[len(changed)])
                await place.set_price(changed[-1], 5e6)
            return found

    await place.set_price(place.town.north[0], 4e6)
    await with_twin(place, ChangingTwin).activate(place.id, place.model.version_id, unheard)
    assert len(changed) == 3
    async with place.database.work(place.id) as work:
        assert not [
            one for one in await index_outbox.all_marks(work) if one.kind is Marked.PROPERTY
        ]
        await interactions.submit_feedback(
            work, place.town.idle, changed[0], InteractionKind.THUMBS_UP, None
        )
    await place.index_marked()
    assert await place.is_in_step()
