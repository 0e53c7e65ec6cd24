"""What the sweep asks for, and when."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from domain.core.database import Database
from domain.core.work import Job
from domain.interactions.interactions import Interaction
from domain.jobs import index_outbox, job_runs
from domain.jobs.index_outbox import IndexMark, Marked
from domain.jobs.job_runs import DRIFT, REINDEX, TRAIN
from domain.jobs.property_log import KEPT, PropertyChange
from domain.model_registry import model_versions
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from domain.tenants import policies, tenants
from domain.tenants.tenants import Tenant
from jobs import schedules
from jobs.queue.pace import Pace
from jobs.queue.runs import Context
from jobs.schedules import (
    PURGING,
    REINDEXING,
    SCHEDULES,
    SUNDAY,
    TRAINING,
    Decided,
    Round,
    sweep,
    sweep_tenant,
)
from tests.factories import build_town
from tests.jobs.conftest import Runs

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where clocks change twice a year."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@given(
    now=st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    tenant_id=st.uuids(),
    schedule=st.sampled_from(SCHEDULES),
)
def test_every_tenant_has_its_turn_at_night(
    in_new_york: None, now: datetime, tenant_id: UUID, schedule: schedules.Schedule
) -> None:
    turn = schedule.last(tenant_id, now)

    period = timedelta(days=1 if schedule.weekday is None else 7)
    # A night may be an hour longer or shorter.
    assert timedelta(hours=-1) <= now - turn <= period + timedelta(hours=1)
    local = turn.astimezone(NEW_YORK)
    begin = local.replace(hour=schedule.hour, minute=0, second=0, microsecond=0)
    assert -timedelta(hours=1) <= local - begin <= schedule.spread + timedelta(hours=1)
    if schedule.weekday is not None:
        assert local.weekday() == schedule.weekday
    # Whoever asks until the next turn gets the same.
    assert schedule.last(tenant_id, turn + timedelta(hours=2)) == turn


def test_turns_are_spread_over_tenants() -> None:
    now = datetime(2026, 6, 3, 12, tzinfo=UTC)
    turns = sorted(REINDEXING.last(uuid4(), now) for _ in range(200))
    assert turns[-1] - turns[0] > REINDEXING.spread / 2
    assert len(set(turns)) > 100
    sundays = {TRAINING.last(uuid4(), now).astimezone().weekday() for _ in range(20)}
    assert sundays == {SUNDAY}


@pytest.fixture
def context(database: Database) -> Context:
    """As a worker has it that has just begun."""
    return {"database": database, "decided": Decided(), "sweeping": Round(), "pace": Pace()}


def after(schedule: schedules.Schedule, tenant: Tenant, periods: int = 1) -> datetime:
    """A minute after one of the tenant's next turns."""
    days = 1 if schedule.weekday is None else 7
    now = datetime.now(UTC) + timedelta(days=days * periods)
    return schedule.last(tenant.id, now) + timedelta(minutes=1)


async def activate(database: Database, tenant: Tenant, read_at: datetime | None = None) -> None:
    """Have the tenant's next version answer."""
    async with database.work(tenant.id) as work:
        version = await model_versions.add(work, b"", {}, {}, read_at=read_at)
        await model_versions.judge(work, version.id, [], None)
        await model_versions.begin_filling(work, version.id)
        await model_versions.complete(work, version.id)
        await model_versions.activate(work, version.id)


async def asked(runs: Runs, tenant: Tenant, function: str) -> int:
    return sum(run.function == function for run in await runs(tenant.id))


async def end_all(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        for run in await job_runs.unfinished(work):
            await job_runs.start(work, run.id)
            await job_runs.succeed(work, run.id, {})


async def test_an_active_version_is_reindexed_and_measured_every_night(
    context: Context, database: Database, tenant: Tenant, runs: Runs
) -> None:
    night = after(REINDEXING, tenant)
    await sweep_tenant(context, tenant.id, night)
    assert await runs(tenant.id) == []

    await activate(database, tenant)
    # It was decided that nothing is due until the next turn.
    await sweep_tenant(context, tenant.id, night + timedelta(minutes=1))
    assert await runs(tenant.id) == []
    # After the last of the turns of a later night, whatever time of the night it is now.
    morning = after(schedules.DRIFT, tenant, periods=3)
    for minute in range(3):
        await sweep_tenant(context, tenant.id, morning + timedelta(minutes=minute))
    assert sorted(run.function for run in await runs(tenant.id)) == [DRIFT, REINDEX]


async def test_a_version_that_answers_since_the_turn_is_not_indexed_anew(
    context: Context, database: Database, tenant: Tenant, runs: Runs
) -> None:
    await activate(database, tenant)
    await sweep_tenant(context, tenant.id, datetime.now(UTC))
    assert await runs(tenant.id) == []


async def test_a_night_that_was_slept_through_is_made_up_for_once(
    database: Database, tenant: Tenant, runs: Runs
) -> None:
    await activate(database, tenant)
    noon = after(REINDEXING, tenant, periods=3) + timedelta(hours=7)

    def restarted() -> Context:
        return {"database": database, "decided": Decided(), "pace": Pace()}

    await sweep_tenant(restarted(), tenant.id, noon)
    assert await asked(runs, tenant, REINDEX) == 1
    async with database.work(tenant.id) as work:
        for run in await job_runs.unfinished(work):
            # As the clock of this test has it.
            (await job_runs.get(work, run.id)).created_at = noon
    await end_all(database, tenant)
    # Whoever sweeps knows from the database that it was asked for.
    await sweep_tenant(restarted(), tenant.id, noon + timedelta(minutes=1))
    assert await asked(runs, tenant, REINDEX) == 1
    await sweep_tenant(restarted(), tenant.id, noon + timedelta(days=1))
    assert await asked(runs, tenant, REINDEX) == 2


async def train_due(
    context: Context, database: Database, tenant: Tenant, runs: Runs, **rules: float
) -> bool:
    """Whether the tenant is trained after its next Sunday; what it has is known by then."""
    async with database.work(tenant.id) as work:
        await policies.change(work, rules)
    context["decided"] = Decided()
    await sweep_tenant(context, tenant.id, after(TRAINING, tenant))
    found = await asked(runs, tenant, TRAIN) > 0
    async with database.work(tenant.id) as work:
        for run in await job_runs.unfinished(work):
            await work.session.delete(run)
    return found


async def test_only_tenants_with_enough_to_learn_from_are_trained(
    context: Context, database: Database, tenant: Tenant, runs: Runs
) -> None:
    assert not await train_due(context, database, tenant, runs)
    # 60 houses; 12 investors with ten acts each, all of which speak for a house.
    await build_town(database, tenant)
    assert await train_due(context, database, tenant, runs)
    for rule, least in (("approvals", 121), ("properties", 61), ("investors", 13)):
        name = f"least_{rule}"
        assert not await train_due(context, database, tenant, runs, **{name: least})
        assert await train_due(context, database, tenant, runs, **{name: least - 1})


async def test_only_tenants_with_enough_that_is_new_are_trained(
    context: Context, database: Database, tenant: Tenant, runs: Runs
) -> None:
    before = datetime.now(UTC)
    await build_town(database, tenant)
    async with database.work(tenant.id) as work:
        # As an act that is dated ahead, which the version was given.
        acts = list(await work.session.scalars(select(Interaction).limit(50)))
        acts[0].occurred_at = before + timedelta(days=2)
        # What came in while it trained is of any day in the past.
        for act in acts[2:]:
            act.created_at = before + timedelta(hours=1)
    await activate(database, tenant, before + timedelta(minutes=30))
    assert await train_due(context, database, tenant, runs, train_after=48)
    assert not await train_due(context, database, tenant, runs, train_after=49)
    assert await train_due(context, database, tenant, runs, train_after=0)


async def test_of_a_version_without_a_note_of_what_it_read_its_own_time_counts(
    context: Context, database: Database, tenant: Tenant, runs: Runs
) -> None:
    await build_town(database, tenant)
    await activate(database, tenant)
    assert not await train_due(context, database, tenant, runs, train_after=1)


async def test_what_came_after_the_turn_waits_for_the_next(
    context: Context, database: Database, tenant: Tenant, runs: Runs
) -> None:
    await build_town(database, tenant)
    await sweep_tenant(context, tenant.id, datetime.now(UTC))
    assert await runs(tenant.id) == []
    await sweep_tenant(context, tenant.id, after(TRAINING, tenant))
    assert await asked(runs, tenant, TRAIN) == 1


async def test_the_property_log_is_purged(
    context: Context, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        await upsert(work, [PropertyInput(external_id="A")])
    for age, kept in ((KEPT - timedelta(minutes=1), 1), (KEPT + timedelta(minutes=1), 0)):
        await sweep_tenant(context, tenant.id, datetime.now(UTC) + age)
        async with database.work(tenant.id) as work:
            assert len(list(await work.session.scalars(select(PropertyChange)))) == kept


async def test_old_marks_and_silent_runs_are_picked_up(
    context: Context, database: Database, tenant: Tenant, enqueued: list[Job]
) -> None:
    async with database.work(tenant.id) as work:
        mark = IndexMark(tenant_id=tenant.id, kind=Marked.PROPERTY, subject_id=uuid4())
        work.session.add(mark)
        waiting = await job_runs.request(work, REINDEX)
        running = await job_runs.request(work, DRIFT)
        await job_runs.start(work, running.id)
        ended = await job_runs.request(work, TRAIN)
        await job_runs.cancel(work, ended.id)
    enqueued.clear()

    now = datetime.now(UTC)
    await sweep_tenant(context, tenant.id, now)
    assert enqueued == []
    await sweep_tenant(context, tenant.id, now + timedelta(minutes=1))
    assert set(enqueued) == {
        Job(index_outbox.INDEX_MARKED, tenant.id),
        Job(REINDEX, tenant.id, waiting.id),
        Job(DRIFT, tenant.id, running.id),
    }

    # A sign of life.
    async with database.work(tenant.id) as work:
        await job_runs.heartbeat(work, running.id)
        await job_runs.cancel(work, waiting.id)
        await work.session.delete(await work.session.merge(mark))
    enqueued.clear()
    await sweep_tenant(context, tenant.id, datetime.now(UTC))
    assert enqueued == []


async def test_what_ended_long_ago_is_forgotten_at_night(
    context: Context, database: Database, tenant: Tenant, other_tenant: Tenant, runs: Runs
) -> None:
    for one in (tenant, other_tenant):
        async with database.work(one.id) as work:
            await job_runs.request(work, REINDEX)
        await end_all(database, one)
    await sweep_tenant(context, tenant.id, datetime.now(UTC) + timedelta(days=29))
    assert len(await runs(tenant.id)) == 1
    await sweep_tenant(context, tenant.id, datetime.now(UTC) + timedelta(days=31))
    assert await runs(tenant.id) == []
    assert len(await runs(other_tenant.id)) == 1


async def test_old_changes_are_purged_at_night(
    context: Context, database: Database, tenant: Tenant, runs: Runs
) -> None:
    async with database.work(tenant.id) as work:
        item = PropertyInput(external_id="A", bedrooms=1)
        await upsert(work, [item])
        await upsert(work, [item.model_copy(update={"bedrooms": 2})])
    await sweep_tenant(context, tenant.id, after(PURGING, tenant, periods=29))
    assert await runs(tenant.id) == []
    await sweep_tenant(context, tenant.id, after(PURGING, tenant, periods=32))
    assert [run.function for run in await runs(tenant.id)] == [job_runs.PURGE]


async def test_one_tenant_s_trouble_is_not_another_s(
    context: Context,
    database: Database,
    tenant: Tenant,
    other_tenant: Tenant,
    enqueued: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def two(_: object) -> list[Tenant]:
        return [tenant, other_tenant]

    monkeypatch.setattr(tenants, "list_all", two)
    async with database.work(other_tenant.id) as work:
        run = await job_runs.request(work, REINDEX)
        run.created_at -= timedelta(minutes=1)
    async with database.work(tenant.id) as work:
        # A policy that another version wrote.
        row = await tenants.get(work)
        row.policy = {"train_after": "many"}
        lost = await job_runs.request(work, DRIFT)
        lost.created_at -= timedelta(minutes=1)
    enqueued.clear()
    await sweep(context)

    assert f"could not sweep tenant {tenant.id}" in caplog.text
    # What was lost of either is picked up.
    assert set(enqueued) == {Job(REINDEX, other_tenant.id, run.id), Job(DRIFT, tenant.id, lost.id)}
