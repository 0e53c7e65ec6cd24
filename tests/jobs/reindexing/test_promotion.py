"""A version answers once everything is in its space, and vectors go once nobody needs them."""

import asyncio

import pytest
from sqlalchemy import select

from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.core.work import Work
from domain.interactions import interactions
from domain.jobs import index_outbox, job_runs
from domain.jobs.index_outbox import IndexMark, Marked
from domain.jobs.job_runs import JobStatus
from domain.model_registry import model_versions
from domain.model_registry.model_versions import ModelStatus, ModelVersion, SpaceState
from domain.properties import snapshots
from domain.tenants import tenants
from jobs.queue.runs import JobError
from jobs.reindexing.comparison import Gaps, gaps
from jobs.reindexing.writer import Writer
from runtime import Runtime
from tests.factories import Town
from tests.jobs.conftest import Runs, WorkOff
from tests.jobs.reindexing.indexing import Place, unheard
from tests.jobs.reindexing.test_marks import FailingTwin, with_twin


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
    await place.index_marked()
    assert await place.is_in_step(place.model, new)

    async with place.database.work(place.id) as work:
        await model_versions.forget_space(work, new.version_id)
    await place.space(new).drop()
    async with queued.work(place.id) as work:
        await job_runs.request(work, job_runs.ACTIVATE, {"version_id": str(new.version_id)})
    await work_off()
    (run,) = await runs(place.id)
    assert (run.status, run.result) == (
        JobStatus.SUCCEEDED,
        {"number": 2, "reindexed": True, "held": None},
    )
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


async def test_a_rollback_waits_for_nothing_that_cannot_be_written(place: Place) -> None:
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


@pytest.mark.parametrize("refusal", ["its F1 is 0.3", None])
async def test_a_version_that_did_not_pass_is_not_even_indexed(
    place: Place, refusal: str | None
) -> None:
    async with place.database.work(place.id) as work:
        new = await model_versions.add(work, b"weights", {}, {})
        if refusal:
            await model_versions.judge(work, new.id, [], refusal)
    problem = r"was refused: its F1 is 0\.3" if refusal else "has not been judged yet"
    for call in (place.indexer.activate, place.indexer.fill):
        with pytest.raises(DomainError, match=problem) as refused:
            await call(place.id, new.id, unheard)
        assert refused.value.code is ErrorCode.INVALID_INPUT
    async with place.database.work(place.id) as work:
        assert await model_versions.indexed(work) == [place.model.version_id]


async def test_what_speaks_against_an_activation_is_asked_when_nothing_can_come_between(
    place: Place,
) -> None:
    new = await place.new_version()

    async def hold(work: Work) -> str | None:
        """Somebody else activates a version: not before this one is done."""
        locking = asyncio.create_task(lock())
        await asyncio.wait([locking], timeout=0.3)
        assert not locking.done()
        locking.cancel()
        active = await model_versions.active(work)
        assert active is not None
        return f"version {active.number} is fine"

    async def lock() -> None:
        async with place.database.work(place.id) as work:
            await tenants.lock(work, "model_versions")

    done = await place.indexer.activate(place.id, new.version_id, unheard, hold)
    assert (done.number, done.reindexed, done.held) == (2, True, "version 1 is fine")
    assert await place.active() == place.model
    version = await place.version(new)
    assert (version.status, version.space) == (ModelStatus.INDEXED, SpaceState.COMPLETE)

    async def allow(_: Work) -> None: ...

    done = await place.indexer.activate(place.id, new.version_id, unheard, allow)
    assert (done.reindexed, done.held) == (False, None)
    assert await place.active() == new


async def test_who_fills_a_space_waits_for_nobody_who_writes_everything(place: Place) -> None:
    new = await place.new_version()

    async def mark(_share: float, _message: str) -> None:
        """Once, while everything is being written."""
        if not await place.marks():
            await place.set_price(place.town.south[0], 5e6, marked=False)
            async with place.database.work(place.id) as work:
                await index_outbox.mark_everything(work)

    async with place.database.exclusive(place.id, "everything"):
        async with asyncio.timeout(60):
            await place.indexer.fill(place.id, new.version_id, mark)
    # Others follow the mark.
    assert await place.marks() == 1
    async with place.database.work(place.id) as work:
        found = await snapshots.snapshot(work, place.town.south)
    wanted = await place.indexer.twin.items(new, found)
    assert not await place.space(new).differing(found, wanted)
    await place.index_marked()
    assert await place.is_in_step(place.model, new)


async def test_changes_are_followed_while_a_space_is_compared(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await place.new_version()

    async def slowly(writer: Writer, model: ModelKey) -> Gaps:
        await place.set_price(place.town.south[0], 5e6)
        async with asyncio.timeout(60):
            await place.index_marked()
        return await gaps(writer, model)

    monkeypatch.setattr("jobs.reindexing.promotion.gaps", slowly)
    await place.indexer.activate(place.id, new.version_id, unheard)
    assert await place.is_in_step(place.model, new)


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
