"""The reindex job: what it finds, what it writes, and what it says of it."""

from dataclasses import asdict, replace
from typing import Any

import pytest
from sqlalchemy import delete

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.interactions.interactions import Interaction
from domain.jobs import index_outbox, job_runs
from domain.jobs.index_outbox import Marked
from domain.jobs.job_runs import JobStatus
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from domain.users.users import User
from jobs.reindexing.indexer import Indexer
from jobs.reindexing.reindex import Mode, SpaceResult, _write_gaps
from jobs.reindexing.smoke import Smoke
from jobs.reindexing.writer import Counts
from ml.index.index_rows import ROW
from ml.index.points import PROPERTIES
from ml.index.space import Space
from runtime import Runtime
from tests.factories import Town, add_property, build_town, interests_in
from tests.jobs.conftest import Runs, WorkOff
from tests.jobs.reindexing.indexing import Place, unheard


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own."""
    return await Place.found(rt, database, town)


async def test_what_lacks_is_written_and_what_is_gone_forgotten(
    place: Place, queued: Database, work_off: WorkOff, runs: Runs
) -> None:
    async with place.database.work(place.id) as work:
        # Past domain.properties.table, as nobody may: nothing is marked.
        new = await add_property(work)
        await work.session.execute(delete(Property).where(Property.id == place.town.south[0]))
        left = await work.session.get_one(User, (place.id, place.town.northerners[0]))
        await work.session.delete(left)
    await place.space().delete_users(place.town.southerners)
    async with queued.work(place.id) as work:
        await job_runs.request(work, job_runs.REINDEX)
    await work_off()

    assert await place.space().property_ids() == await place.property_ids()
    assert left.id not in await place.space().user_ids()
    assert await place.is_in_step()
    (run,) = await runs(place.id)
    assert (run.status, run.error) == (JobStatus.SUCCEEDED, None)
    assert run.result is not None
    assert run.result.pop("seconds") > 0
    (space,) = run.result.pop("spaces")
    assert run.result == {"mode": "incremental", "verified": 1.0, "forgotten": 0}
    smoke = space.pop("smoke")
    assert smoke.pop("candidates") > 0
    assert smoke == {"searches": 20, "found": 20, "filtered": True, "passed": True}
    assert space == {
        "version": 1, "mode": "incremental", "database": 60, "index": 60, "missing": 1, "extra": 1,
        "written": 1, "users": 11, "removed": 1, "unwritable": 0, "index_after": 60,
        "verified": 1.0,
    }  # fmt: skip
    assert new.id in await place.space().property_ids()


@pytest.mark.parametrize(("lost", "mode"), [(6, "incremental"), (7, "full")])
async def test_all_is_written_where_more_than_a_tenth_lacks(
    place: Place, lost: int, mode: str
) -> None:
    gone = [*place.town.south][:lost]
    await place.indexer.index.delete_properties_everywhere(place.id, gone)
    (done,) = (await place.indexer.reindex(place.id, unheard)).spaces
    assert (done.mode, done.missing, done.index, done.index_after) == (mode, lost, 60 - lost, 60)
    assert done.written == (60 if mode == "full" else lost)
    assert await place.is_in_step()


async def test_all_is_written_when_it_is_asked_for(
    place: Place, queued: Database, work_off: WorkOff, runs: Runs
) -> None:
    async with queued.work(place.id) as work:
        await job_runs.request(work, job_runs.REINDEX, {"full": True})
    await work_off()
    (run,) = await runs(place.id)
    assert run.result is not None
    assert (run.result["mode"], run.result["spaces"][0]["written"]) == ("full", 60)


async def test_an_index_restored_from_an_old_backup_is_written_anew(place: Place) -> None:
    """All ids are there, but nothing is what it was."""
    for house in place.town.south:
        await place.set_price(house, 5e6, marked=False)
    assert not await place.is_in_step()
    (done,) = (await place.indexer.reindex(place.id, unheard)).spaces
    assert (done.mode, done.missing) == ("full", 0)
    assert await place.is_in_step()


@pytest.mark.parametrize("what", ["emptied", "dropped", "without rows"])
async def test_an_index_that_lost_its_content_is_repaired(place: Place, what: str) -> None:
    second = await place.new_version()
    await place.indexer.activate(place.id, second.version_id, unheard)
    spaces = [place.space(second), place.space()]
    for space in spaces:
        if what == "emptied":
            await space.drop()
        elif what == "dropped":
            await place.indexer.index.keep_versions(place.id, [])
        else:
            own = space._filter()
            await place.indexer.index._client.delete_payload(PROPERTIES, [ROW], own)
    done = (await place.indexer.reindex(place.id, unheard)).spaces
    assert [one.version for one in done] == [2, 1]
    assert all((one.mode, one.verified) == ("full", 1.0) for one in done)
    assert await place.is_in_step(place.model, second)


async def test_whoever_searches_meanwhile_finds_everything(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr("jobs.reindexing.passes.PROPERTY_BATCH", 7)
    monkeypatch.setattr("jobs.reindexing.passes.TURN", 1)
    vector = (await place.space().interests(place.town.southerners[:1])).popitem()[1][0]

    async def search(_share: float, _message: str) -> None:
        hits = await place.space().query(vector, PropertyFilter(), (), 100)
        found.append((len(hits), await interests_in(place.space())))

    whole = len(await place.space().property_ids()), await interests_in(place.space())
    await place.indexer.reindex(place.id, search, full=True)
    assert len(found) > 9
    assert {*found} == {whole}


async def test_too_little_in_the_index_fails_the_job_with_the_figure(
    place: Place,
    queued: Database,
    work_off: WorkOff,
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upsert = Space.upsert_properties

    async def forgetful(space: Space, properties: object, items: object) -> None:
        await upsert(space, properties, items)  # type: ignore[arg-type]
        await space._client.delete(PROPERTIES, space._filter())

    monkeypatch.setattr(Space, "upsert_properties", forgetful)
    async with queued.work(place.id) as work:
        await job_runs.request(work, job_runs.REINDEX, {"full": True})
    await work_off()
    (run,) = await runs(place.id)
    assert run.status is JobStatus.FAILED
    assert run.error == ("version 1: 0.00% of 60 properties are in the index, less than 95%")


async def test_a_change_on_its_way_is_not_held_against_the_index(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write_and_create(*arguments: Any) -> Counts:
        """The last thing before database and index are compared again."""
        done = await _write_gaps(*arguments)
        async with place.database.work(place.id) as work:
            new = [(await add_property(work)).id for _ in range(60)]
            await index_outbox.mark(work, Marked.PROPERTY, new)
        return done

    monkeypatch.setattr("jobs.reindexing.reindex._write_gaps", write_and_create)
    (done,) = (await place.indexer.reindex(place.id, unheard)).spaces
    assert (done.database, done.index_after, done.verified) == (60, 60, 1.0)
    assert done.smoke.found == done.smoke.searches < 20
    assert await place.marks() == 60


@pytest.mark.parametrize(
    "smoke",
    [Smoke(20, 17, True, 5), Smoke(20, 20, False, 5), Smoke(20, 20, True, 0)],
)
def test_searches_that_fail_are_a_problem(smoke: Smoke) -> None:
    fine = SpaceResult(
        version=3, mode=Mode.FULL, database=100, index=90, missing=10, extra=0, written=100,
        users=5, removed=0, unwritable=0, index_after=100, verified=0.95,
        smoke=Smoke(20, 18, True, None),
    )  # fmt: skip
    assert fine.problem is None
    assert (replace(fine, verified=0.9499).problem or "").startswith("version 3: 94.99% of 100")
    problem = replace(fine, smoke=smoke).problem
    assert problem is not None
    assert problem.startswith("version 3: searches fail: ")
    assert str(asdict(smoke))[1:-1] in problem


async def test_an_empty_tenant_and_one_without_a_twin_have_nothing_to_index(
    rt: Runtime, place: Place, tenant: Tenant, database: Database
) -> None:
    indexer = Indexer(database, rt.index, rt.twin)
    await build_town(database, tenant, houses=2)
    done = (await indexer.reindex(tenant.id, unheard, full=True)).to_json()
    assert done["seconds"] < 600
    assert (done["mode"], done["verified"], done["spaces"]) == (None, None, [])

    async with database.work(place.id) as work:
        await work.session.execute(delete(Interaction))
        await work.session.execute(delete(Property))
    (empty,) = (await indexer.reindex(place.id, unheard)).spaces
    assert (empty.database, empty.index_after, empty.verified, empty.smoke.searches) == (0, 0, 1, 0)
    assert await place.space().user_ids() == set()


async def test_a_job_changes_nothing_of_another_tenant(
    place: Place, tenant: Tenant, rt: Runtime, database: Database
) -> None:
    before = await place.space().property_ids(), await interests_in(place.space())
    indexer = Indexer(database, rt.index, rt.twin)
    async with database.work(tenant.id) as work:
        await index_outbox.mark(work, Marked.PROPERTY, place.town.south)
        await index_outbox.mark(work, Marked.USER, place.town.southerners)
    assert not await indexer.index_marked(tenant.id)
    await indexer.reindex(tenant.id, unheard, full=True)
    await indexer.forget_unneeded(tenant.id)
    assert not await indexer.repair(tenant.id)
    with pytest.raises(DomainError, match="No such model version"):
        await indexer.activate(tenant.id, place.model.version_id, unheard)
    with pytest.raises(DomainError, match="No such model version"):
        await indexer.fill(tenant.id, place.model.version_id, unheard)
    foreign = ModelKey(tenant.id, place.model.version_id)
    assert await rt.index.space(foreign).count() == 0
    after = await place.space().property_ids(), await interests_in(place.space())
    assert after == before
    assert await place.is_in_step()
