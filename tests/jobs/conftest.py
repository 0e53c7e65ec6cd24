"""Real workers on a queue of the tests' own."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from uuid import UUID

import pytest
from arq.connections import ArqRedis, create_pool
from arq.worker import Worker

import runtime
from domain.core.database import Database
from domain.jobs import job_runs
from domain.jobs.job_runs import JobRun
from domain.tenants.tenants import Tenant
from jobs.queue.queue import INDEXING_QUEUE, JobQueue, redis_settings
from jobs.worker import worker_settings
from settings import Settings
from tests.jobs.working import MakeWorker, close, worker_of

WaitForRun = Callable[[Tenant, Callable[[JobRun], bool]], Awaitable[JobRun]]
WaitFor = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
WorkOff = Callable[..., Coroutine[None, None, Worker]]
Ask = Callable[..., Awaitable[JobRun]]
Runs = Callable[[UUID], Awaitable[list[JobRun]]]


@pytest.fixture(scope="session")
def job_services(services: runtime.Services) -> runtime.Services:
    """The services with a Redis database that no other test enqueues into."""
    return replace(services, redis_url=services.redis_url.replace("?db=0", "?db=7"))


@pytest.fixture
async def redis(job_services: runtime.Services) -> AsyncIterator[ArqRedis]:
    """The queue's Redis, empty."""
    pool = await create_pool(redis_settings(job_services.redis_url))
    await pool.flushdb()
    yield pool
    await pool.aclose()


@pytest.fixture
async def queue(job_services: runtime.Services, redis: ArqRedis) -> AsyncIterator[JobQueue]:
    """The queue, empty."""
    opened = await JobQueue.connect(job_services.redis_url)
    yield opened
    await opened.close()


@pytest.fixture
async def queued(services: runtime.Services, queue: JobQueue) -> AsyncIterator[Database]:
    """The database with its jobs going to the queue."""
    opened = Database(services.database_url, queue.enqueue)
    yield opened
    await opened.close()


@pytest.fixture
def ask(queued: Database) -> Ask:
    """Asks for a recorded job of a tenant."""

    async def request(tenant_id: UUID, function: str, **arguments: object) -> JobRun:
        async with queued.work(tenant_id) as work:
            return await job_runs.request(work, function, arguments)

    return request


@pytest.fixture
def make_worker(job_services: runtime.Services, database: Database) -> MakeWorker:
    """Makes a worker of a body, see ``worker_of``."""
    return partial(worker_of, job_services.redis_url, database)


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch,
    job_services: runtime.Services,
    service_environment: dict[str, str],
) -> None:
    """Child processes use the tests' services."""
    for name, value in service_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDIS_URL", job_services.redis_url)


@pytest.fixture
def work_off(settings: Settings, job_services: runtime.Services, environment: None) -> WorkOff:
    """Runs a worker until its queue is empty."""
    hasty = settings.model_copy(update={"job_retry_delay": 0.2})

    async def run(name: str = INDEXING_QUEUE) -> Worker:
        # Its sweep would run what other tests left waiting.
        changes = {"poll_delay": 0.05, "cron_jobs": []}
        options = worker_settings(job_services, hasty, name) | changes
        worker = Worker(**options, burst=True, handle_signals=False)
        await worker.async_run()
        await close(worker)
        return worker

    return run


@pytest.fixture
def runs(database: Database) -> Runs:
    """The tenant's runs, newest first."""

    async def read(tenant_id: UUID) -> list[JobRun]:
        async with database.work(tenant_id) as work:
            return await job_runs.recent(work)

    return read


@pytest.fixture
def wait_for() -> WaitFor:
    """Waits until something holds."""

    async def wait(holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(240):
            while not await holds():  # noqa: ASYNC110 - another process makes it hold
                await asyncio.sleep(0.1)

    return wait


@pytest.fixture
def wait_for_run(runs: Runs) -> WaitForRun:
    """Waits until the tenant's only run is as wanted."""

    async def wait(tenant: Tenant, wanted: Callable[[JobRun], bool]) -> JobRun:
        deadline = time.monotonic() + 240
        while True:
            found = await runs(tenant.id)
            if found and wanted(found[0]):
                return found[0]
            if time.monotonic() > deadline:
                seen = [(one.status, one.attempt, one.message, one.error) for one in found]
                pytest.fail(f"waited in vain: {seen}")
            await asyncio.sleep(0.05)

    return wait
