"""Versions that a worker cannot read: of another release, which may run beside it, or of before."""

import pytest
from sqlalchemy import update

from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.model_registry import comparison
from domain.model_registry.model_versions import ModelVersion, SpaceState
from jobs.reindexing.indexer import Indexer
from ml.twin.artifacts import ArtifactError
from runtime import Runtime
from tests.factories import Town
from tests.jobs.reindexing.indexing import Place, unheard
from tests.jobs.reindexing.test_marks import with_twin


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own."""
    return await Place.found(rt, database, town)


async def outdate(place: Place, *models: ModelKey) -> Indexer:
    """The indexer of a worker that cannot read those versions."""
    async with place.database.work(place.id) as work:
        await work.session.execute(
            update(ModelVersion)
            .where(ModelVersion.id.in_([one.version_id for one in models]))
            .values(details={**(await place.version(place.model)).details, "format": 0})
        )
    return with_twin(place)


async def restore(place: Place, model: ModelKey) -> None:
    async with place.database.work(place.id) as work:
        await work.session.execute(
            update(ModelVersion)
            .where(ModelVersion.id == model.version_id)
            .values(details=(await place.version(place.model)).details)
        )


@pytest.mark.parametrize("wanted", ["active", "filling", "compared"])
async def test_changes_of_a_version_that_is_wanted_wait_for_who_can_read_it(
    place: Place, wanted: str
) -> None:
    new = await place.new_version()
    if wanted == "filling":

        async def crash(_share: float, _message: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await place.indexer.fill(place.id, new.version_id, crash)
    else:
        await place.indexer.fill(place.id, new.version_id, unheard)
    if wanted == "active":
        await place.indexer.activate(place.id, new.version_id, unheard)
    if wanted == "compared":
        async with place.database.work(place.id) as work:
            await comparison.start(work, 2, None, 0.5)
    before = (await place.version(new)).space
    other_release = await outdate(place, new)
    await place.set_price(place.town.south[0], 5e6)
    for _ in range(2):
        with pytest.raises(ArtifactError, match="format is 0"):
            await other_release.index_marked(place.id)
    assert await place.marks() == 1
    assert (await place.version(new)).space is before
    await restore(place, new)
    await place.index_marked()
    await place.indexer.activate(place.id, new.version_id, unheard)
    assert await place.is_in_step(new)


async def test_one_that_nobody_waits_for_is_given_up_and_filled_before_it_answers(
    place: Place,
) -> None:
    waiting, second = await place.new_version(), await place.new_version()
    await place.indexer.fill(place.id, waiting.version_id, unheard)
    await place.indexer.activate(place.id, second.version_id, unheard)
    other_release = await outdate(place, place.model, waiting)
    # Who only looks changes nothing.
    assert [one.number for one in await other_release.complete_versions(place.id)] == [3]
    for one in (place.model, waiting):
        assert (await place.version(one)).space is SpaceState.COMPLETE
    await place.set_price(place.town.south[0], 5e6)
    assert not await other_release.index_marked(place.id)
    for one in (place.model, waiting):
        assert (await place.version(one)).space is SpaceState.NONE
    assert await place.is_in_step(second)


async def test_an_active_version_that_nobody_can_read_any_more_makes_room_for_another(
    place: Place,
) -> None:
    """After an upgrade: what is marked waits until a version is trained that can be read."""
    old, fresh = await place.new_version(), await place.new_version()
    await place.indexer.activate(place.id, old.version_id, unheard)
    upgraded = await outdate(place, old)
    await place.set_price(place.town.south[0], 5e6)
    with pytest.raises(ArtifactError):
        await upgraded.index_marked(place.id)
    await upgraded.activate(place.id, fresh.version_id, unheard)
    assert await place.active() == fresh
    assert not await upgraded.index_marked(place.id)
    assert (await place.version(old)).space is SpaceState.NONE
    assert await place.marks() == 0
    assert await place.is_in_step(fresh)
