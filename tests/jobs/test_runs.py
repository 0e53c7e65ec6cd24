"""Runs on record, tried again and held by leases."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Worker, func

import runtime
from domain import job_runs, log_context
from domain.database import Database
from domain.errors import invalid
from domain.job_runs import UNEXPLAINED, JobStatus
from domain.tenants import Tenant
from domain.work import Job
from jobs.leases import shorten_leases
from jobs.pace import Pace
from jobs.queue import INDEXING_QUEUE, JobQueue, deserialize, redis_settings, serialize
from jobs.runs import MOST_ATTEMPTS, MOST_DEATHS, JobError, JobPostponedError, Run, recorded
from tests.jobs.conftest import Ask, Runs, WaitForRun, close

Body = Callable[[Run], Awaitable[None]]
MakeWorker = Callable[..., Worker]

PACE = Pace(lease=1.5, retry=0.005)


@pytest.fixture
def make_worker(job_services: runtime.Services, database: Database) -> MakeWorker:
    """A worker of one job, "job", that runs the body."""

    def make(body: Body, limit: float = 60.0, pace: Pace = PACE, **options: Any) -> Worker:
        async def job(_: dict[str, Any], run: Run) -> None:
            await body(run)

        return Worker(
            [func(recorded(limit)(job), name="job", max_tries=1000, timeout=120)],  # type: ignore[arg-type]
            queue_name=INDEXING_QUEUE,
            redis_settings=redis_settings(job_services.redis_url),
            job_serializer=serialize,
            job_deserializer=deserialize,
            handle_signals=False,
            poll_delay=0.02,
            keep_result=0,
            ctx={"database": database, "pace": pace},
            **{"burst": True, **options},
        )

    return make


async def work_off(worker: Worker) -> Worker:
    await worker.async_run()
    await close(worker)
    return worker


async def never(_: Run) -> None:
    raise AssertionError("not reached")


async def do_nothing(_: Run) -> None:
    pass


async def test_success_is_recorded(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    async def body(run: Run) -> None:
        assert run.arguments == {"deep": True}
        assert log_context.fields()["run_id"] == str(run.id)
        assert log_context.fields()["tenant_id"] == str(tenant.id)
        await run.report(0.5, "half-way")
        (seen,) = await runs(tenant.id)
        assert (seen.status, seen.progress, seen.message) == (JobStatus.RUNNING, 0.5, "half-way")
        run.result["properties"] = 3

    await ask(tenant.id, "job", deep=True)
    worker = await work_off(make_worker(body))

    assert worker.jobs_complete == 1
    (run,) = await runs(tenant.id)
    assert (run.function, run.status, run.progress) == ("job", JobStatus.SUCCEEDED, 1.0)
    assert run.result == {"properties": 3}
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at


@pytest.mark.parametrize(
    ("error", "message"),
    [(JobError("no file /etc"), UNEXPLAINED), (invalid("too little data"), "too little data")],
)
async def test_a_refusal_is_final(
    ask: Ask,
    make_worker: MakeWorker,
    tenant: Tenant,
    runs: Runs,
    error: Exception,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(_: Run) -> None:
        raise error

    await ask(tenant.id, "job")
    await work_off(make_worker(body))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt, run.error) == (JobStatus.FAILED, 1, str(error))
    assert run.message == message
    assert run.finished_at is not None
    # Nothing is wrong with the worker.
    assert {one.levelno for one in caplog.records} <= {logging.INFO, logging.WARNING}


async def test_any_other_error_is_tried_again_and_then_parked(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    async def body(_: Run) -> None:
        raise ConnectionError("no route")

    await ask(tenant.id, "job")
    worker = await work_off(make_worker(body))

    assert (worker.jobs_retried, worker.jobs_failed) == (MOST_ATTEMPTS - 1, 1)
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.PARKED, MOST_ATTEMPTS)
    assert (run.error, run.message) == ("ConnectionError: no route", UNEXPLAINED)


def test_each_attempt_waits_longer() -> None:
    assert [Pace().before_retry(one) for one in (1, 2, 3, 4)] == [5, 20, 80, 320]


async def test_a_second_attempt_may_succeed(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    attempts = 0

    async def body(_: Run) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ConnectionError("no route")

    await ask(tenant.id, "job")
    await work_off(make_worker(body))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt, run.failures) == (JobStatus.SUCCEEDED, 2, 1)
    assert run.error is None


async def test_a_parked_run_is_requeued_with_all_its_attempts(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, queued: Database, runs: Runs
) -> None:
    async def body(_: Run) -> None:
        raise ConnectionError("no route")

    run = await ask(tenant.id, "job")
    for _ in range(2):
        worker = await work_off(make_worker(body))
        assert worker.jobs_retried == MOST_ATTEMPTS - 1
        async with queued.work(tenant.id) as work:
            again = await job_runs.requeue(work, run.id)
        assert (again.id, again.status, again.error) == (run.id, JobStatus.QUEUED, None)
    await work_off(make_worker(do_nothing))

    (ended,) = await runs(tenant.id)
    assert (ended.status, ended.attempt, ended.message) == (JobStatus.SUCCEEDED, 1, None)


async def test_a_postponed_run_loses_no_attempt(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    attempts = 0

    async def body(_: Run) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= MOST_ATTEMPTS + 1:
            raise JobPostponedError("somebody else is at it")
        (run,) = await runs(tenant.id)
        assert run.message == "somebody else is at it"

    await ask(tenant.id, "job")
    await work_off(make_worker(body))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt, run.failures) == (JobStatus.SUCCEEDED, 1, 0)


async def test_an_overrun_is_parked_at_once(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    async def body(_: Run) -> None:
        await asyncio.sleep(60)

    await ask(tenant.id, "job")
    await work_off(make_worker(body, limit=0.1))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.PARKED, 1)
    assert run.error == "took longer than 0 seconds"


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

    await work_off(make_worker(do_nothing))
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)


async def test_a_job_that_kills_its_workers_is_given_up(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, database: Database, runs: Runs
) -> None:
    run = await ask(tenant.id, "job")
    async with database.work(tenant.id) as work:
        for _ in range(MOST_DEATHS):
            await job_runs.start(work, run.id)
    await work_off(make_worker(never))

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
    await work_off(make_worker(body))

    (ended,) = await runs(tenant.id)
    assert (ended.status, ended.failures) == (JobStatus.SUCCEEDED, MOST_ATTEMPTS - 1)


async def test_a_run_that_is_called_off_stops_soon_and_quietly(
    ask: Ask,
    make_worker: MakeWorker,
    tenant: Tenant,
    database: Database,
    wait_for_run: WaitForRun,
    runs: Runs,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[bool] = []

    async def hang(_: Run) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    run = await ask(tenant.id, "job")
    working = asyncio.create_task(work_off(make_worker(hang, pace=Pace(lease=0.3, retry=0.01))))
    await wait_for_run(tenant, lambda one: one.status is JobStatus.RUNNING)
    async with database.work(tenant.id) as work:
        asked = await job_runs.cancel(work, run.id)
        assert (asked.status, asked.cancel_requested) == (JobStatus.RUNNING, True)
    await working

    (seen,) = await runs(tenant.id)
    assert (seen.status, seen.message, ended) == (JobStatus.CANCELLED, "called off", [True])
    assert {one.levelno for one in caplog.records} <= {logging.INFO}


async def test_a_run_that_ended_or_was_called_off_is_passed_over_quietly(
    ask: Ask,
    queue: JobQueue,
    make_worker: MakeWorker,
    tenant: Tenant,
    database: Database,
    runs: Runs,
    caplog: pytest.LogCaptureFixture,
) -> None:
    waiting = await ask(tenant.id, "job")
    async with database.work(tenant.id) as work:
        await job_runs.cancel(work, waiting.id)
    # While it waits for a further attempt.
    begun = await ask(tenant.id, "job")
    async with database.work(tenant.id) as work:
        await job_runs.start(work, begun.id)
        await job_runs.cancel(work, begun.id)
    # And once more, though it has ended: as a worker leaves it that dies before it told the queue.
    worker = await work_off(make_worker(never))
    await queue.enqueue([Job("job", tenant.id, begun.id)])
    worker = await work_off(make_worker(never))

    assert worker.jobs_failed == 0
    assert {one.status for one in await runs(tenant.id)} == {JobStatus.CANCELLED}
    assert {one.levelno for one in caplog.records} <= {logging.INFO}


async def test_a_worker_that_was_thought_dead_changes_nothing_when_it_is_back(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, database: Database, runs: Runs
) -> None:
    async def lag(run: Run) -> None:
        # Meanwhile another took the run up and parked it.
        async with database.work(tenant.id) as work:
            await job_runs.start(work, run.id)
            await job_runs.park(work, run.id, "no route")

    await ask(tenant.id, "job")
    await work_off(make_worker(lag))

    (run,) = await runs(tenant.id)
    assert (run.status, run.error) == (JobStatus.PARKED, "no route")


async def test_a_job_of_a_tenant_that_is_gone_leaves_nothing(
    redis: ArqRedis, queue: JobQueue, make_worker: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.enqueue([Job("job", uuid4(), uuid4())])
    worker = await work_off(make_worker(never))

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
    await work_off(make_worker(never))

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
    await work_off(make_worker(body, pace=Pace(lease=0.3)))

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


async def test_jobs_that_take_long_leave_slots_to_others(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, other_tenant: Tenant, runs: Runs
) -> None:
    at_once = most = 0

    async def body(_: Run) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.1)
        at_once -= 1

    for one in (tenant, other_tenant):
        await ask(one.id, "job")
    worker = make_worker(body)
    worker.ctx["long"] = asyncio.Semaphore(1)
    await work_off(worker)

    assert most == 1
    for one in (tenant, other_tenant):
        (run,) = await runs(one.id)
        assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)
