"""Marks that say that everything may have changed."""

import asyncio

import pytest
from sqlalchemy import delete

from domain.contract.snapshots import ModelKey, PropertyColumns
from domain.core.database import Database
from domain.jobs import index_outbox, job_runs
from domain.jobs.index_outbox import IndexMark, Marked
from domain.users.users import User
from jobs.queue.runs import JobPostponedError
from jobs.reindexing.indexer import Indexer
from ml.index.index import EmbeddingIndex
from ml.twin.items import Items
from runtime import Runtime
from tests.factories import Town, add_property, add_user
from tests.jobs.reindexing.indexing import Place
from tests.jobs.reindexing.test_marks import FailingTwin, with_twin


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own."""
    return await Place.found(rt, database, town)


async def test_a_mark_of_everything_has_all_written(place: Place) -> None:
    async with place.database.work(place.id) as work:
        work.session.add(IndexMark(tenant_id=place.id, kind=Marked.EVERYTHING, subject_id=place.id))
        # Past domain.properties.table: nothing says which changed.
        new = await add_property(work)
        await work.session.execute(delete(User).where(User.id == place.town.southerners[0]))
    await place.set_price(place.town.north[0], 5e6, marked=False)
    await place.index_marked()

    assert new.id in await place.space().property_ids()
    assert await place.marks() == 0
    assert await place.is_in_step()


async def test_few_tenants_at_once_are_written_as_a_whole(place: Place) -> None:
    """The others' slots are left to what just changed, theirs too."""
    async with place.database.work(place.id) as work:
        await index_outbox.mark_everything(work)
    changed = place.town.south[0]
    await place.set_price(changed, 5e6)
    long = asyncio.Semaphore(1)
    async with long:
        with pytest.raises(JobPostponedError):
            await place.indexer.index_marked(place.id, long=long)
        async with place.database.work(place.id) as work:
            assert await index_outbox.marks(work, 10) == []
            assert len(await index_outbox.marks_of_everything(work)) == 1
    assert not await place.indexer.index_marked(place.id, long=long)
    assert not long.locked()
    assert await place.marks() == 0


async def test_everything_is_marked_where_an_earlier_build_filled_the_index(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def outdated(_: EmbeddingIndex) -> bool:
        return True

    index, twin = place.indexer.index, place.indexer.twin
    monkeypatch.setattr(EmbeddingIndex, "outdated", outdated)
    # One that runs may be past what it would find.
    async with place.database.work(place.id) as work:
        running = await job_runs.request(work, job_runs.REINDEX)
        assert await job_runs.start(work, running.id)
    opened = await Indexer.open(place.database, index, twin)
    async with place.database.work(place.id) as work:
        assert len(await index_outbox.marks_of_everything(work)) == 1
    assert not await opened.index_marked(place.id)
    assert await place.is_in_step()


async def test_a_change_does_not_wait_for_everything_to_be_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.database.work(place.id) as work:
        work.session.add(IndexMark(tenant_id=place.id, kind=Marked.EVERYTHING, subject_id=place.id))
    monkeypatch.setattr("jobs.reindexing.passes.PROPERTY_BATCH", 20)
    monkeypatch.setattr("jobs.reindexing.passes.TURN", 1)
    left: list[int] = []

    class NotingTwin(FailingTwin):
        async def items(self, model: ModelKey, properties: PropertyColumns) -> Items:
            found = await super().items(model, properties)
            async with place.database.work(place.id) as work:
                left.append(len(await index_outbox.marks(work, 10)))
            if len(properties) == 20 and len(left) == 1:
                async with place.database.work(place.id) as work:
                    user = await add_user(work)
                    await index_outbox.mark(work, Marked.USER, [user.id])
            return found

    assert not await with_twin(place, NotingTwin).index_marked(place.id)
    # Marked while the first batch was written, followed before the second.
    assert left[:3] == [0, 0, 0]
    assert await place.marks() == 0
