"""A run of a job: recorded in ``job_runs``, held by a lease, tried again where that can help."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from arq import Retry
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from redis.exceptions import RedisError

from domain import job_runs, tenants
from domain.database import Database
from domain.errors import DomainError

logger = logging.getLogger(__name__)

LEASE = 15.0
"""Seconds without a sign of life after which another worker may take a job."""

MOST_ATTEMPTS = 3
RETRY_DELAY = 5.0
"""Seconds before the second attempt; twice as long before the third."""


class JobError(RuntimeError):
    """The job failed and would fail again; the message goes into its run."""


class JobPostponedError(RuntimeError):
    """The job cannot run now through no fault of its own, and is to be tried again.

    The tenant reads the message.
    """


@dataclass(frozen=True, slots=True)
class Run:
    """A run under way.

    Attributes:
        database: where it is recorded.
        tenant_id: whose job it is.
        id: of its row in ``job_runs``.
        result: what the job fills in for the row, JSON values.
    """

    database: Database
    tenant_id: UUID
    id: UUID
    result: dict[str, Any] = field(default_factory=dict)

    async def report(self, share: float, message: str) -> None:
        """Note how far the run got: a share in [0, 1] and what it does now."""
        async with self.database.work(self.tenant_id) as work:
            await job_runs.progress(work, self.id, share, message)


@asynccontextmanager
async def recorded(
    context: dict[str, Any],
    database: Database,
    function: str,
    tenant: str,
    arguments: list[Any],
    limit: float,
) -> AsyncIterator[Run]:
    """Run the block as a job of the tenant.

    The block's end makes the run succeeded. A DomainError, a JobError or an overrun of ``limit``
    seconds makes it failed; any other error does so after ``MOST_ATTEMPTS``. A block that is
    cancelled, since the worker stops, or postponed runs again and loses no attempt.

    Args:
        context: what arq passes to a job.
        database: where the run is recorded.
        function: the job's name.
        tenant: the tenant's id as text.
        arguments: the job's further arguments, for the record.
        limit: the longest time the block may take, seconds.
    """
    async with _leased(context["redis"], context["job_id"]):
        run, attempt = await _start(context, database, function, tenant, arguments)
        scope = asyncio.timeout(limit)
        try:
            if attempt > MOST_ATTEMPTS:
                raise JobError(f"given up: {MOST_ATTEMPTS} workers died of it")
            async with scope:
                yield run
            async with database.work(run.tenant_id) as work:
                await job_runs.succeed(work, run.id, run.result)
        except asyncio.CancelledError:
            await _postpone(run, "interrupted, to be taken up again", counts=False)
            raise
        except JobPostponedError as reason:
            await _postpone(run, str(reason), counts=False)
            raise Retry(RETRY_DELAY) from reason
        except DomainError as error:
            # Made for the tenant to read; any other error may name what is none of its business.
            await _fail(run, str(error), str(error))
            raise
        except JobError as error:
            await _fail(run, str(error))
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            if scope.expired():
                problem = f"took longer than {limit:.0f} seconds"
            if attempt >= MOST_ATTEMPTS or scope.expired():
                await _fail(run, problem)
                raise
            logger.exception("%s of tenant %s failed and will be tried again", function, tenant)
            await _postpone(run, "failed, to be tried again", error=problem)
            raise Retry(RETRY_DELAY * attempt) from error


async def _start(
    context: dict[str, Any], database: Database, function: str, tenant: str, arguments: list[Any]
) -> tuple[Run, int]:
    """The run and which attempt it is."""
    tenant_id = UUID(tenant)
    # The queue's ids come back; with the time they name one job for good, over its attempts.
    job_id = f"{context['job_id']}:{context['enqueue_time'].timestamp():.3f}"
    try:
        async with database.work(tenant_id) as work:
            await tenants.get(work)
            row = await job_runs.start(work, job_id, function, arguments)
            attempt = row.attempt or 1
    except DomainError:
        raise
    except Exception as error:
        # Without the database there is nothing to do and nowhere to say so: keep the job.
        logger.exception("%s of tenant %s cannot start and will be tried again", function, tenant)
        raise Retry(RETRY_DELAY) from error
    return Run(database, tenant_id, row.id), attempt


async def _fail(run: Run, error: str, message: str = job_runs.UNEXPLAINED) -> None:
    async with run.database.work(run.tenant_id) as work:
        await job_runs.fail(work, run.id, error, message)


async def _postpone(
    run: Run, message: str, *, error: str | None = None, counts: bool = True
) -> None:
    try:
        async with run.database.work(run.tenant_id) as work:
            await job_runs.postpone(work, run.id, message, error=error, counts=counts)
    except Exception:
        # The job goes on whether or not its row says so.
        logger.exception("could not record that run %s is to be taken up again", run.id)


@asynccontextmanager
async def _leased(redis: ArqRedis, job_id: str) -> AsyncIterator[None]:
    """Keep the job from other workers, but only as long as this process lives.

    On its own arq keeps a job for its longest timeout, hours for a training, even if the worker
    was killed in the meantime.
    """
    key = in_progress_key_prefix + job_id

    async def renew() -> None:
        while True:
            try:
                await redis.set(key, b"1", px=int(LEASE * 1000))
            except (RedisError, OSError):
                logger.warning("could not renew the lease of job %s", job_id, exc_info=True)
            await asyncio.sleep(LEASE / 3)

    renewal = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError):
            await renewal


async def shorten_leases(redis: ArqRedis, queue: str) -> None:
    """Free the jobs whose worker died before it could shorten its lease; call it at start-up."""
    for job_id in await redis.zrange(queue, 0, -1):
        key = in_progress_key_prefix + job_id.decode()
        if await redis.pttl(key) > LEASE * 1000:
            await redis.pexpire(key, int(LEASE * 1000))
