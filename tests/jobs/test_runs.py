"""Runs on record, tried again and held by leases."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.worker import Worker, func

import runtime
from domain import job_runs
from domain.database import Database
from domain.errors import invalid
from domain.job_runs import JobStatus
from domain.tenants import Tenant
from jobs import runs as runs_module
from jobs.queue import deserialize, redis_settings, serialize
from jobs.runs import MOST_ATTEMPTS, JobError, JobPostponedError, Run, recorded, shorten_leases
from tests.jobs.conftest import Runs, close

QUEUE = "test:runs"
Body = Callable[[Run], Awaitable[None]]
MakeWorker = Callable[..., Worker]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "RETRY_DELAY", 0.01)


@pytest.fixture
def make_worker(job_services: runtime.Services, redis: ArqRedis, database: Database) -> MakeWorker:
    """A worker of one job, "job", that runs the body."""

    def make(body: Body, limit: float = 60.0, **options: Any) -> Worker:
        async def job(context: dict[str, Any], tenant: str) -> None:
            async with recorded(context, database, "job", tenant, [], limit) as run:
                await body(run)

        return Worker(
            [func(job, name="job", max_tries=1000, timeout=120)],  # type: ignore[arg-type]
            queue_name=QUEUE,
            redis_settings=redis_settings(job_services.redis_url),
            job_serializer=serialize,
            job_deserializer=deserialize,
            handle_signals=False,
            poll_delay=0.02,
            keep_result=0,
            **{"burst": True, **options},
        )

    redis.job_serializer = serialize
    return make


async def enqueue(redis: ArqRedis, tenant_id: object) -> str:
    job = await redis.enqueue_job("job", str(tenant_id), _job_id="one", _queue_name=QUEUE)
    assert job is not None
    return job.job_id


async def work_off(worker: Worker) -> Worker:
    await worker.async_run()
    await close(worker)
    return worker


async def test_success_is_recorded(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    async def body(run: Run) -> None:
        await run.report(0.5, "half-way")
        (seen,) = await runs(tenant.id)
        assert (seen.status, seen.progress, seen.message) == (JobStatus.RUNNING, 0.5, "half-way")
        run.result["properties"] = 3

    await enqueue(redis, tenant.id)
    worker = await work_off(make_worker(body))

    assert worker.jobs_complete == 1
    (run,) = await runs(tenant.id)
    assert (run.function, run.status, run.progress) == ("job", JobStatus.SUCCEEDED, 1.0)
    assert run.result == {"properties": 3}
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at


@pytest.mark.parametrize("error", [JobError("too little data"), invalid("too little data")])
async def test_a_refusal_is_final(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, runs: Runs, error: Exception
) -> None:
    async def body(_: Run) -> None:
        raise error

    await enqueue(redis, tenant.id)
    worker = await work_off(make_worker(body))

    assert worker.jobs_failed == 1
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt, run.error) == (JobStatus.FAILED, 1, "too little data")
    assert run.finished_at is not None


async def test_any_other_error_is_tried_again_and_then_final(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    async def body(_: Run) -> None:
        raise ConnectionError("no route")

    await enqueue(redis, tenant.id)
    worker = await work_off(make_worker(body))

    assert (worker.jobs_retried, worker.jobs_failed) == (MOST_ATTEMPTS - 1, 1)
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.FAILED, MOST_ATTEMPTS)
    assert run.error == "ConnectionError: no route"


async def test_a_second_attempt_may_succeed(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    attempts = 0

    async def body(_: Run) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ConnectionError("no route")

    await enqueue(redis, tenant.id)
    await work_off(make_worker(body))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt, run.error) == (JobStatus.SUCCEEDED, 2, None)


async def test_a_postponed_run_loses_no_attempt(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    attempts = 0

    async def body(_: Run) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= MOST_ATTEMPTS + 1:
            raise JobPostponedError("somebody else is at it")
        (run,) = await runs(tenant.id)
        assert run.message == "somebody else is at it"

    await enqueue(redis, tenant.id)
    await work_off(make_worker(body))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)


async def test_an_overrun_is_final(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    async def body(_: Run) -> None:
        await asyncio.sleep(60)

    await enqueue(redis, tenant.id)
    await work_off(make_worker(body, limit=0.1))

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.FAILED, 1)
    assert run.error == "took longer than 0 seconds"


async def test_what_a_stopping_worker_interrupts_runs_again(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, runs: Runs
) -> None:
    started = asyncio.Event()

    async def hang(_: Run) -> None:
        started.set()
        await asyncio.sleep(60)

    async def succeed(_: Run) -> None:
        pass

    await enqueue(redis, tenant.id)
    stopping = make_worker(hang, burst=False)
    task = asyncio.create_task(stopping.async_run())
    await started.wait()
    await close(stopping)
    with pytest.raises(asyncio.CancelledError):
        await task
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.RUNNING, 0)
    assert run.message == "interrupted, to be taken up again"

    await work_off(make_worker(succeed))
    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)


async def test_a_job_that_kills_its_workers_is_given_up(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, database: Database, runs: Runs
) -> None:
    async def body(_: Run) -> None:
        raise AssertionError("not reached")

    job_id = await enqueue(redis, tenant.id)
    enqueued = deserialize(await redis.get(job_key_prefix + job_id))["et"]
    for _ in range(MOST_ATTEMPTS):
        async with database.work(tenant.id) as work:
            await job_runs.start(work, f"{job_id}:{enqueued / 1000:.3f}", "job", [])
    await work_off(make_worker(body))

    (run,) = await runs(tenant.id)
    assert run.status is JobStatus.FAILED
    assert run.error == f"given up: {MOST_ATTEMPTS} workers died of it"


async def test_an_unknown_tenant_leaves_nothing(redis: ArqRedis, make_worker: MakeWorker) -> None:
    async def body(_: Run) -> None:
        raise AssertionError("not reached")

    await enqueue(redis, uuid4())
    worker = await work_off(make_worker(body))

    assert worker.jobs_failed == 1
    assert await redis.zcard(QUEUE) == 0


async def test_a_run_holds_its_job_by_a_short_lease(
    redis: ArqRedis, make_worker: MakeWorker, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "LEASE", 0.3)
    left: list[int] = []

    async def body(_: Run) -> None:
        for _step in range(12):
            await asyncio.sleep(0.05)
            left.append(await redis.pttl(in_progress_key_prefix + "one"))

    await enqueue(redis, tenant.id)
    await work_off(make_worker(body))

    assert max(left) <= 300
    assert left[-1] > 0, "renewed, since the run took longer than one lease"
    assert await redis.exists(in_progress_key_prefix + "one") == 0


async def test_a_starting_worker_shortens_leases_only(redis: ArqRedis) -> None:
    for job_id, milliseconds in (("long", 3_600_000), ("short", 1000)):
        await redis.zadd(QUEUE, {job_id: 1})
        await redis.set(in_progress_key_prefix + job_id, b"1", px=milliseconds)
    await redis.zadd(QUEUE, {"waiting": 1})

    await shorten_leases(redis, QUEUE)

    assert 0 < await redis.pttl(in_progress_key_prefix + "long") <= 15_000
    assert 0 < await redis.pttl(in_progress_key_prefix + "short") <= 1000
    assert await redis.exists(in_progress_key_prefix + "waiting") == 0
