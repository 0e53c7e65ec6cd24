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

from domain import job_runs
from domain.database import Database
from domain.errors import DomainError

logger = logging.getLogger(__name__)

LEASE = 15.0
"""Seconds without a sign of life after which another worker may take a job."""

HEARTBEAT = 5.0
"""Seconds between two signs of life of a run; within as many it notices that it was called off."""

MOST_ATTEMPTS = 3
RETRY_DELAY = 5.0
"""Seconds before the second attempt; twice as long before each further one."""


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
        arguments: what was asked for, JSON values.
        result: what the job fills in for the row, JSON values.
    """

    database: Database
    tenant_id: UUID
    id: UUID
    arguments: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    async def report(self, share: float, message: str) -> None:
        """Note how far the run got: a share in [0, 1] and what it does now."""
        async with self.database.work(self.tenant_id) as work:
            await job_runs.progress(work, self.id, share, message)


class EndedError(RuntimeError):
    """The run has ended already, or was called off before it began: there is nothing to do."""


@asynccontextmanager
async def recorded(
    context: dict[str, Any], database: Database, tenant: str, run_id: str, limit: float
) -> AsyncIterator[Run]:
    """Run the block as a job of the tenant.

    The block's end makes the run succeeded. A DomainError or a JobError makes it failed; any other
    error, or an overrun of ``limit`` seconds, parks it, an error after ``MOST_ATTEMPTS``. A block
    that is cancelled, since the worker stops, or postponed runs again and loses no attempt.

    Args:
        context: what arq passes to a job.
        database: where the run is recorded.
        tenant: the tenant's id as text.
        run_id: the run's id as text.
        limit: the longest time the block may take, seconds.

    Raises:
        EndedError: there is nothing to do.
    """
    async with _leased(context["redis"], context["job_id"]):
        run, attempt = await _start(database, UUID(tenant), UUID(run_id))
        scope = asyncio.timeout(limit)
        try:
            if attempt > MOST_ATTEMPTS:
                await _park(run, f"given up: {MOST_ATTEMPTS} workers died of it")
                raise EndedError(run_id)
            async with scope, _called_off(run):
                yield run
            async with database.work(run.tenant_id) as work:
                await job_runs.succeed(work, run.id, run.result)
        except CalledOffError:
            async with database.work(run.tenant_id) as work:
                await job_runs.cancelled(work, run.id)
            raise
        except asyncio.CancelledError:
            await _postpone(run, "interrupted, to be taken up again", counts=False)
            raise
        except JobPostponedError as reason:
            await _postpone(run, str(reason), counts=False)
            raise Retry(RETRY_DELAY) from reason
        except EndedError:
            raise
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
                await _park(run, problem)
                raise
            logger.exception("run %s of tenant %s failed and will be tried again", run_id, tenant)
            await _postpone(run, "failed, to be tried again", error=problem)
            raise Retry(RETRY_DELAY * 2 ** (attempt - 1)) from error


class CalledOffError(RuntimeError):
    """Somebody called the run off."""


@asynccontextmanager
async def _called_off(run: Run) -> AsyncIterator[None]:
    """Note signs of life, and end the block with CalledOffError once the run is called off."""
    block, ended = asyncio.current_task(), False
    assert block is not None

    async def beat() -> None:
        nonlocal ended
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                async with run.database.work(run.tenant_id) as work:
                    go_on = await job_runs.heartbeat(work, run.id)
            except Exception:
                logger.warning("could not note that run %s is alive", run.id, exc_info=True)
                continue
            if not go_on:
                ended = True
                block.cancel()
                return

    beating = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if ended and not block.uncancel():
            raise CalledOffError(str(run.id)) from None
        raise
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _start(database: Database, tenant_id: UUID, run_id: UUID) -> tuple[Run, int]:
    """The run and which attempt it is."""
    try:
        async with database.work(tenant_id) as work:
            row = await job_runs.start(work, run_id)
    except Exception as error:
        # Without the database there is nothing to do and nowhere to say so: keep the job.
        logger.exception("run %s of tenant %s cannot start and is tried again", run_id, tenant_id)
        raise Retry(RETRY_DELAY) from error
    if row is None:
        raise EndedError(str(run_id))
    return Run(database, tenant_id, run_id, row.arguments), row.attempt


async def _fail(run: Run, error: str, message: str = job_runs.UNEXPLAINED) -> None:
    async with run.database.work(run.tenant_id) as work:
        await job_runs.fail(work, run.id, error, message)


async def _park(run: Run, error: str) -> None:
    async with run.database.work(run.tenant_id) as work:
        await job_runs.park(work, run.id, error)


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
