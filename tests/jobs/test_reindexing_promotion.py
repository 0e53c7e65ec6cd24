"""A version answers once everything is in its space, and vectors go once nobody needs them."""

import asyncio

import pytest
from sqlalchemy import select, update

from domain import (
    interactions,
    job_runs,
    model_versions,
)
from domain.database import Database
from domain.errors import DomainError, ErrorCode
from domain.indexing import IndexMark, Marked
from domain.job_runs import JobStatus
from domain.model_versions import ModelStatus, ModelVersion, SpaceState
from domain.vocabulary import InteractionKind
from jobs.runs import JobError
from runtime import Runtime
from tests.factories import Town
from tests.jobs.conftest import Runs, WorkOff
from tests.jobs.indexing import Place, unheard
from tests.jobs.test_reindexing_marks import FailingTwin, with_twin


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own."""
    return await Place.found(rt, database, town)


async def test_a_version_goes_from_evaluated_over_indexed_to_active(place: Place) -> None:
    new = await place.new_version()
    version = await place.version(new)
    assert (version.status, version.space) == (ModelStatus.EVALUATED, SpaceState.NONE)
    counts = await place.indexer.fill(place.id, new.version_id, unheard)
    assert (counts.properties, counts.users, counts.removed) == (60, 12, 0)
    version = await place.version(new)
    assert (version.status, version.space) == (ModelStatus.INDEXED, SpaceState.COMPLETE)
    assert await place.active() == place.model
    assert await place.is_in_step(place.model, new)

    again = await place.indexer.fill(place.id, new.version_id, unheard)
    assert (again.properties, again.users) == (60, 12)
    done = await place.indexer.activate(place.id, new.version_id, unheard)
    assert (done.number, done.reindexed) == (2, False)
    assert await place.active() == new
    assert (await place.version(place.model)).status is ModelStatus.RETIRED


async def test_a_rollback_is_a_switch_while_the_space_is_there_and_else_a_reindex(
    place: Place, queued: Database, work_off: WorkOff, runs: Runs
) -> None:
    new = await place.new_version()
    await place.indexer.activate(place.id, new.version_id, unheard)
    await place.set_price(place.town.south[0], 5e6)
    done = await place.indexer.activate(place.id, place.model.version_id, unheard)
    assert (done.number, done.reindexed) == (1, False)
    assert await place.active() == place.model
    assert await place.is_in_step(place.model, new)
    assert await place.marks() == 0

    async with place.database.work(place.id) as work:
        await model_versions.forget_space(work, new.version_id)
    await place.space(new).drop()
    async with queued.work(place.id) as work:
        await job_runs.request(work, job_runs.ACTIVATE, {"version_id": str(new.version_id)})
    await work_off()
    (run,) = await runs(place.id)
    assert (run.status, run.result) == (JobStatus.SUCCEEDED, {"number": 2, "reindexed": True})
    assert await place.active() == new
    assert await place.is_in_step(place.model, new)


async def test_what_is_marked_is_in_the_space_before_it_answers(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.reindexing.promotion.MARKS", 5)
    new = await place.new_version()
    await place.indexer.fill(place.id, new.version_id, unheard)
    await place.add_properties(12)
    async with place.database.work(place.id) as work:
        await interactions.submit_feedback(
            work, place.town.idle, place.town.south[0], InteractionKind.THUMBS_UP, None
        )
    await place.indexer.activate(place.id, new.version_id, unheard)
    assert await place.active() == new
    assert await place.space(new).property_ids() == await place.property_ids()
    assert place.town.idle in await place.space(new).user_ids()
    assert await place.is_in_step(place.model, new)


async def test_what_was_lost_from_a_complete_space_is_written_before_it_answers(
    place: Place,
) -> None:
    new = await place.new_version()
    await place.indexer.fill(place.id, new.version_id, unheard)
    await place.indexer.index.delete_properties_everywhere(place.id, place.town.south[:3])
    await place.space(new).delete_users(place.town.southerners[:2])
    await place.indexer.activate(place.id, new.version_id, unheard)
    assert await place.active() == new
    assert await place.is_in_step(new)


@pytest.mark.parametrize("kind", [Marked.PROPERTY, Marked.USER])
async def test_a_version_that_lacks_what_cannot_be_written_does_not_answer(
    place: Place, kind: Marked
) -> None:
    new = await place.new_version()
    cursed = (place.town.south if kind is Marked.PROPERTY else place.town.southerners)[0]
    indexer = with_twin(place)
    assert isinstance(indexer.twin, FailingTwin)
    indexer.twin.cursed = [cursed]
    with pytest.raises(JobError, match=f"1 of kind {kind} cannot be written, such as {cursed}"):
        await indexer.activate(place.id, new.version_id, unheard)
    assert await place.active() == place.model
    assert (await place.version(new)).space is SpaceState.FILLING
    indexer.twin.cursed = ()
    await indexer.activate(place.id, new.version_id, unheard)
    assert await place.is_in_step(new)


async def test_a_rollback_waits_for_nothing_that_cannot_be_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await place.new_version()
    await place.indexer.activate(place.id, new.version_id, unheard)
    indexer = with_twin(place)
    assert isinstance(indexer.twin, FailingTwin)
    indexer.twin.cursed = place.town.south
    await place.mark(Marked.PROPERTY, place.town.south)
    await indexer.activate(place.id, place.model.version_id, unheard)
    assert await place.active() == place.model
    # Nor for everything that is being written by somebody else.
    async with place.database.work(place.id) as work:
        work.session.add(IndexMark(tenant_id=place.id, kind=Marked.EVERYTHING, subject_id=place.id))
    async with place.database.exclusive(place.id, "everything"):
        await indexer.activate(place.id, new.version_id, unheard)
    assert await place.active() == new
    assert await place.marks() > 0


async def test_a_refused_version_is_not_even_indexed(place: Place) -> None:
    new = await place.new_version()
    async with place.database.work(place.id) as work:
        await model_versions.judge(work, new.version_id, [], "its F1 is 0.3, below 0.6")
    with pytest.raises(DomainError, match=r"was refused: its F1 is 0\.3") as refused:
        await place.indexer.activate(place.id, new.version_id, unheard)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert await place.space(new).count() == 0


async def test_a_version_given_up_while_it_is_filled_is_not_complete(place: Place) -> None:
    new = await place.new_version()

    async def give_up(_share: float, _message: str) -> None:
        async with place.database.work(place.id) as work:
            await model_versions.forget_space(work, new.version_id)

    with pytest.raises(JobError, match="version 2 was given up while"):
        await place.indexer.fill(place.id, new.version_id, give_up)
    assert (await place.version(new)).space is SpaceState.NONE
    await place.indexer.activate(place.id, new.version_id, unheard)
    assert await place.is_in_step(new)


async def test_a_crash_while_filling_is_taken_up_again(place: Place) -> None:
    new = await place.new_version()

    async def crash(_share: float, _message: str) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await place.indexer.fill(place.id, new.version_id, crash)
    assert (await place.version(new)).space is SpaceState.FILLING
    await place.set_price(place.town.south[0], 5e6)
    await place.index_marked()
    await place.indexer.activate(place.id, new.version_id, unheard)
    assert await place.is_in_step(place.model, new)


async def test_two_activations_at_once_end_with_one_version_that_is_whole(place: Place) -> None:
    """A training that promotes its version, and an admin who wants another one."""
    versions = [await place.new_version() for _ in range(2)]
    await asyncio.gather(
        *(place.indexer.activate(place.id, one.version_id, unheard) for one in versions),
        place.add_properties(1),
    )
    assert await place.active() in versions
    async with place.database.work(place.id) as work:
        statuses = list(await work.session.scalars(select(ModelVersion.status)))
    assert statuses.count(ModelStatus.ACTIVE) == 1
    await place.index_marked()
    assert await place.is_in_step(*versions)


async def test_what_is_forgotten_meanwhile_is_not_activated(place: Place) -> None:
    """Whoever asked for it found its space complete, before the one that forgets committed."""
    new = await place.new_version()
    await place.indexer.fill(place.id, new.version_id, unheard)
    async with place.database.work(place.id) as forgetting:
        await model_versions.forget_space(forgetting, new.version_id)

        async def activate() -> None:
            async with place.database.work(place.id) as work:
                found = await model_versions.get(work, new.version_id)
                assert found.space is SpaceState.COMPLETE
                await model_versions.activate(work, new.version_id)

        activating = asyncio.create_task(activate())
        await asyncio.wait([activating], timeout=0.5)
        assert not activating.done()
    with pytest.raises(DomainError, match="not in the index"):
        await activating
    assert await place.active() == place.model


async def test_a_version_that_cannot_be_read_any_more_stops_nobody(place: Place) -> None:
    """Such as one of before an upgrade: it is no longer followed, unless it answers."""
    second, third = await place.new_version(), await place.new_version()
    for one in (second, third):
        await place.indexer.activate(place.id, one.version_id, unheard)
    fresh = with_twin(place)
    async with place.database.work(place.id) as work:
        await work.session.execute(
            update(ModelVersion)
            .where(ModelVersion.id.in_([second.version_id, third.version_id]))
            .values(details={"format": 0})
        )
    await place.set_price(place.town.south[0], 5e6)
    assert not await fresh.index_marked(place.id)
    assert (await place.version(second)).space is SpaceState.NONE
    assert (await place.version(third)).space is SpaceState.COMPLETE
    assert await place.is_in_step()
    done = await fresh.activate(place.id, place.model.version_id, unheard)
    assert done.number == 1
