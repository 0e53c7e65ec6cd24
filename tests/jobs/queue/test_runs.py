"""Runs on record: how they end, are tried again, postponed, called off and requeued."""

import asyncio
import logging
import time

import pytest
from arq.connections import ArqRedis

from domain.contract import log_context
from domain.core.database import Database
from domain.core.errors import invalid
from domain.core.work import Job
from domain.jobs import job_runs
from domain.jobs.job_runs import UNEXPLAINED, JobStatus
from domain.tenants.tenants import Tenant
from jobs.queue.pace import Pace
from jobs.queue.queue import INDEXING_QUEUE, JobQueue
from jobs.queue.runs import MOST_ATTEMPTS, JobError, JobPostponedError, Run
from tests.jobs.conftest import Ask, Runs, WaitForRun
from tests.jobs.working import MakeWorker, do_nothing, finish, never


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
    worker = await finish(make_worker(body))

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
    await finish(make_worker(body))

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
    worker = await finish(make_worker(body))

    assert (worker.jobs_retried, worker.jobs_failed) == (MOST_ATTEMPTS - 1, 1)
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.PARKED, MOST_ATTEMPTS)
    assert (run.error, run.message) == ("ConnectionError: no route", UNEXPLAINED)


def test_each_attempt_waits_longer() -> None:
    assert [Pace().before_retry(one) for one in (1, 2, 3, 4)] == [5, 20, 80, 320]


def test_what_cannot_run_now_is_looked_at_again_in_a_minute_and_not_with_all_others() -> None:
    pace = Pace()
    assert pace.postponed == 60
    looks = {pace.behind() for _ in range(100)}
    assert min(looks) >= 30
    assert max(looks) <= 60
    assert len(looks) > 50


async def test_what_waits_for_a_slot_or_for_others_is_not_looked_at_meanwhile(
    ask: Ask,
    make_worker: MakeWorker,
    tenant: Tenant,
    redis: ArqRedis,
) -> None:
    async def wait(_: Run) -> None:
        raise JobPostponedError("somebody else is at it")

    run = await ask(tenant.id, "job")
    due = []
    for slots in (0, 1):
        worker = make_worker(wait, pace=Pace(), max_burst_jobs=1)
        worker.ctx["long"] = asyncio.Semaphore(slots)
        await redis.zadd(INDEXING_QUEUE, {str(run.id): 1})
        await finish(worker)
        score = await redis.zscore(INDEXING_QUEUE, str(run.id))
        assert score is not None
        due.append(score / 1000 - time.time())
    assert 25 < due[0] <= 60
    assert 50 < due[1] <= 60


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
    await finish(make_worker(body))

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
        worker = await finish(make_worker(body))
        assert worker.jobs_retried == MOST_ATTEMPTS - 1
        async with queued.work(tenant.id) as work:
            again = await job_runs.requeue(work, run.id)
        assert (again.id, again.status, again.error) == (run.id, JobStatus.QUEUED, None)
    await finish(make_worker(do_nothing))

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
    await finish(make_worker(body))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt, run.failures) == (JobStatus.SUCCEEDED, 1, 0)


async def test_an_overrun_is_parked_at_once(
    ask: Ask, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    async def body(_: Run) -> None:
        await asyncio.sleep(60)

    await ask(tenant.id, "job")
    await finish(make_worker(body, limit=0.1))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.PARKED, 1)
    assert run.error == "took longer than 0 seconds"


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
    working = asyncio.create_task(finish(make_worker(hang, pace=Pace(lease=0.3, retry=0.01))))
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
    worker = await finish(make_worker(never))
    await queue.enqueue([Job("job", tenant.id, begun.id)])
    worker = await finish(make_worker(never))

    assert worker.jobs_failed == 0
    assert {one.status for one in await runs(tenant.id)} == {JobStatus.CANCELLED}
    assert {one.levelno for one in caplog.records} <= {logging.INFO}


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
    await finish(worker)

    assert most == 1
    for one in (tenant, other_tenant):
        (run,) = await runs(one.id)
        assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)
