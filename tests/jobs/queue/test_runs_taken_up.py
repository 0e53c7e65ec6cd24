"""Runs whose worker stops, dies, lags or is of another version: all are taken up, none twice."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import func

from domain.core.database import Database
from domain.core.work import Job
from domain.jobs import job_runs
from domain.jobs.job_runs import JobStatus
from domain.tenants.tenants import Tenant
from jobs.queue.leases import shorten_leases
from jobs.queue.pace import Pace
from jobs.queue.queue import INDEXING_QUEUE, JobQueue
from jobs.queue.runs import MOST_ATTEMPTS, MOST_DEATHS, Run
from jobs.schedules import Decided, sweep_tenant
from tests.jobs.conftest import Ask, Runs
from tests.jobs.working import MakeWorker, close, do_nothing, finish, never


async def test_what_a_stopping_worker_interrupts_runs_again(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    started = asyncio.Event()

    async def hang(_: Run) -> None:
        started.set()
        await asyncio.sleep(60)

    await ask(tenant.id, "job")
    stopping = make_worker(hang, burst=False)
    task = asyncio.create_task(stopping.async_run())
    await started.wait()
    await close(stopping)
    with pytest.raises(asyncio.CancelledError):
        await task
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.RUNNING, 0)
    assert run.message == "interrupted, to be taken up again"

    await finish(make_worker(do_nothing))
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)


async def test_a_job_that_kills_its_workers_is_given_up(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, database: Database, runs: Runs
) -> None:
    run = await ask(tenant.id, "job")
    async with database.work(tenant.id) as work:
        for _ in range(MOST_DEATHS):
            await job_runs.start(work, run.id)
    await finish(make_worker(never))

    (ended,) = await runs(tenant.id)
    assert ended.status is JobStatus.PARKED
    assert ended.error == f"given up: {MOST_DEATHS} workers died of it"


async def test_failures_are_not_held_against_a_job_as_deaths_nor_deaths_as_failures(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, database: Database, runs: Runs
) -> None:
    attempts = 0

    async def body(_: Run) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < MOST_ATTEMPTS:
            raise ConnectionError("no route")

    run = await ask(tenant.id, "job")
    async with database.work(tenant.id) as work:
        for _ in range(MOST_DEATHS - 1):
            await job_runs.start(work, run.id)
    await finish(make_worker(body))

    (ended,) = await runs(tenant.id)
    assert (ended.status, ended.failures) == (JobStatus.SUCCEEDED, MOST_ATTEMPTS - 1)


async def test_a_worker_that_was_thought_dead_changes_nothing_when_it_is_back(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, database: Database, runs: Runs
) -> None:
    async def lag(run: Run) -> None:
        # Meanwhile another took the run up and parked it.
        async with database.work(tenant.id) as work:
            await job_runs.start(work, run.id)
            await job_runs.park(work, run.id, "no route")

    await ask(tenant.id, "job")
    await finish(make_worker(lag))

    (run,) = await runs(tenant.id)
    assert (run.status, run.error) == (JobStatus.PARKED, "no route")


async def test_a_job_of_a_tenant_that_is_gone_leaves_nothing(
    redis: ArqRedis, queue: JobQueue, make_worker: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.enqueue([Job("job", uuid4(), uuid4())])
    worker = await finish(make_worker(never))

    assert worker.jobs_failed == 0
    assert await redis.keys() == []
    assert {one.levelno for one in caplog.records} <= {logging.INFO}


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("index_properties", [str(uuid4()), ["x"]]),
        ("job", [str(uuid4())]),
        ("job", [str(uuid4()), {"epochs": 3}]),
        ("job", [str(uuid4()), str(uuid4()), "more"]),
        ("job", ["no id", "no id"]),
    ],
)
async def test_a_job_of_another_version_is_ignored_with_a_warning(
    redis: ArqRedis,
    queue: JobQueue,
    make_worker: MakeWorker,
    caplog: pytest.LogCaptureFixture,
    function: str,
    arguments: list[object],
) -> None:
    await queue._redis.enqueue_job(function, *arguments, _queue_name=INDEXING_QUEUE)
    await finish(make_worker(never))

    assert await redis.keys() == []
    (warning,) = (one for one in caplog.records if one.levelno > logging.INFO)
    assert warning.levelno == logging.WARNING
    assert function in warning.getMessage()


async def test_a_run_holds_its_job_by_a_short_lease(
    redis: ArqRedis, ask: Ask, make_worker: MakeWorker, tenant: Tenant
) -> None:
    left: list[int] = []

    async def body(run: Run) -> None:
        for _step in range(12):
            await asyncio.sleep(0.05)
            left.append(await redis.pttl(f"{in_progress_key_prefix}{run.id}"))

    run = await ask(tenant.id, "job")
    await finish(make_worker(body, pace=Pace(lease=0.3)))

    assert max(left) <= 300
    assert left[-1] > 0, "renewed, since the run took longer than one lease"
    assert await redis.exists(f"{in_progress_key_prefix}{run.id}") == 0


async def test_a_starting_worker_shortens_leases_only(redis: ArqRedis) -> None:
    for job_id, milliseconds in (("long", 3_600_000), ("short", 1000)):
        await redis.zadd(INDEXING_QUEUE, {job_id: 1})
        await redis.set(in_progress_key_prefix + job_id, b"1", px=milliseconds)
    await redis.zadd(INDEXING_QUEUE, {"waiting": 1})

    await shorten_leases(redis, INDEXING_QUEUE, 15.0)

    assert 0 < await redis.pttl(in_progress_key_prefix + "long") <= 15_000
    assert 0 < await redis.pttl(in_progress_key_prefix + "short") <= 1000
    assert await redis.exists(in_progress_key_prefix + "waiting") == 0


async def test_a_job_that_a_worker_does_not_know_yet_waits_for_one_that_does(
    ask: Ask, queued: Database, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    async def other(_: object) -> None:
        raise AssertionError("not reached")

    await ask(tenant.id, "job")
    # Of before the deployment that brought the job.
    await finish(make_worker(never, functions=[func(other, name="other")]))  # type: ignore[arg-type]
    (run,) = await runs(tenant.id)
    assert run.status is JobStatus.QUEUED

    later = datetime.now(UTC) + timedelta(minutes=1)
    context = {"database": queued, "decided": Decided(), "pace": Pace()}
    await sweep_tenant(context, tenant.id, later)
    await finish(make_worker(do_nothing))
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)
