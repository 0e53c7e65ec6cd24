"""Routine jobs: tried again, on record while they keep failing, and fair to other tenants."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Worker, func

import runtime
from domain.core.database import Database
from domain.core.work import Job
from domain.jobs import job_runs
from domain.jobs.index_outbox import INDEX_MARKED
from domain.jobs.job_runs import UNEXPLAINED, JobStatus
from domain.tenants.tenants import Tenant
from jobs.queue.pace import Pace
from jobs.queue.queue import INDEXING_QUEUE, JobQueue, deserialize, redis_settings, serialize
from jobs.queue.routines import routine
from jobs.queue.runs import MOST_ATTEMPTS, Context, JobPostponedError
from tests.jobs.conftest import Runs
from tests.jobs.working import close

Body = Callable[[UUID], Awaitable[bool]]
WorkOff = Callable[[Body], Awaitable[Worker]]


@pytest.fixture
def work_off(job_services: runtime.Services, database: Database, redis: ArqRedis) -> WorkOff:
    """Runs a worker of one routine, that of the body, until its queue is empty."""

    async def run(body: Body) -> Worker:
        async def index_marked(_: Context, tenant_id: UUID) -> bool:
            return await body(tenant_id)

        worker = Worker(
            [func(routine(60.0)(index_marked), name=INDEX_MARKED, max_tries=1000)],  # type: ignore[arg-type]
            queue_name=INDEXING_QUEUE,
            redis_settings=redis_settings(job_services.redis_url),
            job_serializer=serialize,
            job_deserializer=deserialize,
            handle_signals=False,
            poll_delay=0.02,
            keep_result=0,
            burst=True,
            ctx={"database": database, "pace": Pace(lease=1.5, retry=0.005)},
        )
        await worker.async_run()
        await close(worker)
        return worker

    return run


async def test_a_routine_that_works_leaves_no_run(
    queue: JobQueue, work_off: WorkOff, tenant: Tenant, runs: Runs
) -> None:
    seen: list[UUID] = []

    async def body(tenant_id: UUID) -> bool:
        seen.append(tenant_id)
        if len(seen) == 1:
            raise ConnectionError("no route")
        return False

    await queue.enqueue([Job(INDEX_MARKED, tenant.id)])
    worker = await work_off(body)

    assert seen == [tenant.id, tenant.id]
    assert worker.jobs_complete == 1
    assert await runs(tenant.id) == []


async def test_one_that_keeps_failing_is_parked_once_until_it_works_again(
    queue: JobQueue, work_off: WorkOff, tenant: Tenant, other_tenant: Tenant, runs: Runs
) -> None:
    reason = "no route"

    async def fail(_: UUID) -> bool:
        raise ConnectionError(reason)

    async def succeed(_: UUID) -> bool:
        return False

    async def once(body: Body) -> Worker:
        await queue.enqueue([Job(INDEX_MARKED, tenant.id)])
        return await work_off(body)

    worker = await once(fail)
    assert (worker.jobs_retried, worker.jobs_failed) == (MOST_ATTEMPTS - 1, 1)
    (first,) = await runs(tenant.id)
    assert (first.function, first.status) == (INDEX_MARKED, JobStatus.PARKED)
    assert (first.error, first.message) == ("ConnectionError: no route", UNEXPLAINED)

    # Whenever it is enqueued it runs again, and is not recorded again.
    reason = "no answer"
    await once(fail)
    (still,) = await runs(tenant.id)
    assert (still.id, still.error) == (first.id, "ConnectionError: no answer")

    await once(succeed)
    (over,) = await runs(tenant.id)
    assert (over.id, over.status, over.message) == (first.id, JobStatus.SUCCEEDED, None)

    await once(fail)
    newest, _ = await runs(tenant.id)
    assert (newest.status, newest.id != first.id) == (JobStatus.PARKED, True)
    assert await runs(other_tenant.id) == []


async def test_its_parked_run_can_be_requeued_as_any_other(
    queue: JobQueue, queued: Database, work_off: WorkOff, tenant: Tenant, runs: Runs
) -> None:
    async def fail(_: UUID) -> bool:
        raise ConnectionError("no route")

    left = 3

    async def succeed(_: UUID) -> bool:
        nonlocal left
        left -= 1
        return left > 0

    await queue.enqueue([Job(INDEX_MARKED, tenant.id)])
    await work_off(fail)
    (parked,) = await runs(tenant.id)
    async with queued.work(tenant.id) as work:
        await job_runs.requeue(work, parked.id)
    await work_off(succeed)

    (run,) = await runs(tenant.id)
    assert (run.id, run.status, run.error, left) == (parked.id, JobStatus.SUCCEEDED, None, 0)


async def test_a_tenant_with_much_to_do_lets_others_go_first(
    queue: JobQueue, work_off: WorkOff
) -> None:
    busy, idle, order = uuid4(), uuid4(), []

    async def body(tenant_id: UUID) -> bool:
        order.append(tenant_id)
        if order == [busy]:
            await queue.enqueue([Job(INDEX_MARKED, idle)])
        # More often than it may fail: it is no failure that something is left.
        return tenant_id == busy and order.count(busy) < 2 * MOST_ATTEMPTS

    await queue.enqueue([Job(INDEX_MARKED, busy)])
    await work_off(body)

    assert order.index(idle) < 3
    assert order.count(busy) == 2 * MOST_ATTEMPTS


async def test_what_is_postponed_waits_for_the_next_to_ask_and_is_no_failure(
    queue: JobQueue, redis: ArqRedis, work_off: WorkOff, tenant: Tenant, runs: Runs
) -> None:
    begun = 0

    async def body(_: UUID) -> bool:
        nonlocal begun
        begun += 1
        raise JobPostponedError("others are first")

    for times in range(1, 2 * MOST_ATTEMPTS):
        await queue.enqueue([Job(INDEX_MARKED, tenant.id)])
        worker = await work_off(body)
        assert (begun, worker.jobs_retried) == (times, 0)
        assert await redis.keys() == []
    assert await runs(tenant.id) == []


async def test_who_finds_the_tenants_slot_taken_asks_no_more(
    queue: JobQueue, redis: ArqRedis, work_off: WorkOff, tenant: Tenant
) -> None:
    """It wakes the one that runs, instead of looking again and again."""
    begun = 0

    async def body(_: UUID) -> bool:
        nonlocal begun
        begun += 1
        if begun == 1:
            await queue.enqueue([Job(INDEX_MARKED, tenant.id)])
            async with asyncio.timeout(60):
                while await redis.zcard(INDEXING_QUEUE) > 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        return False

    await queue.enqueue([Job(INDEX_MARKED, tenant.id)])
    worker = await work_off(body)

    assert (begun, worker.jobs_retried) == (2, 1)


async def test_a_tenant_has_one_slot_at_a_time(
    queue: JobQueue, redis: ArqRedis, work_off: WorkOff
) -> None:
    tenant_id = uuid4()
    at_once = most = begun = 0

    async def body(_: UUID) -> bool:
        nonlocal at_once, most, begun
        at_once, begun = at_once + 1, begun + 1
        most = max(most, at_once)
        if begun == 1:
            # What changes while it runs is for a second one.
            await queue.enqueue([Job(INDEX_MARKED, tenant_id)])
        await asyncio.sleep(0.2)
        at_once -= 1
        return False

    await queue.enqueue([Job(INDEX_MARKED, tenant_id)])
    await work_off(body)

    assert (begun, most) == (2, 1)


async def test_it_is_held_by_a_short_lease(
    queue: JobQueue, redis: ArqRedis, work_off: WorkOff, tenant: Tenant
) -> None:
    left: list[int] = []

    async def body(_: UUID) -> bool:
        (job_id,) = await redis.zrange(INDEXING_QUEUE, 0, -1)
        left.append(await redis.pttl(in_progress_key_prefix + job_id.decode()))
        return False

    await queue.enqueue([Job(INDEX_MARKED, tenant.id)])
    await work_off(body)

    assert 0 < left[0] <= 1500
    assert await redis.keys() == []
