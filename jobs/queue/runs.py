"""A run of a job: recorded in ``job_runs``, held by a lease, tried again where that can help."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from uuid import UUID

from arq import Retry

from domain.contract import log_context, tracing
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.jobs import job_runs
from domain.jobs.job_runs import JobRun
from jobs.queue.leases import leased
from jobs.queue.pace import Pace

logger = logging.getLogger(__name__)

Context = dict[str, Any]
"""What arq passes to a job: what the worker opened, and the job's id."""

Job = Callable[..., Awaitable[None]]
"""A job as arq calls it: with the context, the tenant's id and mostly the run's, as text."""

MOST_ATTEMPTS = 5
"""Failures after which a job is parked."""

MOST_DEATHS = 20
"""Workers that died with a job after which it is parked.

More than failures, since mostly it is not the job that kills a worker.
"""


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


Body = Callable[[Context, Run], Awaitable[None]]


def recorded(limit: float) -> Callable[[Body], Job]:
    """Make of a function a job that is recorded.

    Its end makes the run succeeded. A DomainError or a JobError makes it failed. Any other error
    is tried again and parks the run after ``MOST_ATTEMPTS``; so does, at once, an overrun of
    ``limit`` seconds. What a stopping worker interrupts, or what is postponed, runs again and
    loses no attempt. A run that has ended already, or was called off, is passed over.

    The worker's context holds ``database`` and ``pace``, and where jobs that take long are not to
    take all of its slots, ``long``: a semaphore of those that may run at once.
    """

    def decorate(body: Body) -> Job:
        name = body.__name__

        @wraps(body)
        async def job(context: Context, *arguments: object) -> None:
            match ids(arguments):
                case [tenant_id, run_id]:
                    async with _place(context):
                        await attempt(context, tenant_id, run_id, body, limit)
                case _:
                    logger.warning("ignored %s%r: not as this version asks for it", name, arguments)

        return job

    return decorate


@asynccontextmanager
async def _place(context: Context) -> AsyncIterator[None]:
    long: asyncio.Semaphore | None = context.get("long")
    if long is None:
        yield
        return
    if long.locked():
        # Behind what others wait for, so that a slot stays free for short jobs.
        pace: Pace = context["pace"]
        raise Retry(pace.behind())
    async with long:
        yield


def ids(arguments: tuple[object, ...]) -> list[UUID]:
    """A job's arguments, which all are ids; none if they are anything else."""
    try:
        return [UUID(str(one)) for one in arguments]
    except ValueError:
        return []


async def attempt(
    context: Context, tenant_id: UUID, run_id: UUID, body: Body, limit: float
) -> None:
    """Make one attempt of a run, see ``recorded``.

    Raises:
        Retry: for arq, to run the job again later.
        Exception: what the body raised, once the run is parked.
    """
    pace: Pace = context["pace"]
    database: Database = context["database"]
    about = log_context.about(tenant_id=str(tenant_id), run_id=str(run_id))
    with about:
        async with leased(context["redis"], context["job_id"], pace.lease):
            row = await _start(database, tenant_id, run_id, pace)
            if row is None:
                return
            if row.attempt > row.failures + MOST_DEATHS:
                logger.error("given up: %d workers died of it", MOST_DEATHS)
                async with database.work(tenant_id) as work:
                    await job_runs.park(work, run_id, f"given up: {MOST_DEATHS} workers died of it")
                return
            run = Run(database, tenant_id, run_id, row.arguments)
            with tracing.span(f"job {row.function}", parent=row.trace, kind="CONSUMER"):
                await _attempt(context, run, row.failures + 1, body, limit, pace)


async def _attempt(
    context: Context, run: Run, attempts: int, body: Body, limit: float, pace: Pace
) -> None:
    database, scope = run.database, asyncio.timeout(limit)
    try:
        async with scope, _called_off(run, pace.heartbeat):
            await body(context, run)
        async with database.work(run.tenant_id) as work:
            await job_runs.succeed(work, run.id, run.result)
    except _CalledOffError:
        async with database.work(run.tenant_id) as work:
            await job_runs.cancelled(work, run.id)
    except asyncio.CancelledError:
        await _postpone(run, "interrupted, to be taken up again")
        raise
    except JobPostponedError as reason:
        await _postpone(run, str(reason))
        raise Retry(pace.postponed) from reason
    except (DomainError, JobError) as error:
        logger.warning("failed: %s", error)
        # A DomainError is for the tenant to read; another may name what is none of its business.
        message = str(error) if isinstance(error, DomainError) else job_runs.UNEXPLAINED
        async with database.work(run.tenant_id) as work:
            await job_runs.fail(work, run.id, str(error), message)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        if scope.expired():
            problem = f"took longer than {limit:.0f} seconds"
        if attempts >= MOST_ATTEMPTS or scope.expired():
            async with database.work(run.tenant_id) as work:
                await job_runs.park(work, run.id, problem)
            raise
        logger.exception("failed and will be tried again")
        await _postpone(run, "failed, to be tried again", problem)
        raise Retry(pace.before_retry(attempts)) from error


class _CalledOffError(RuntimeError):
    """Somebody called the run off, or it has ended elsewhere."""


@asynccontextmanager
async def _called_off(run: Run, pause: float) -> AsyncIterator[None]:
    """Note signs of life, and end the block with _CalledOffError once the run is called off."""
    block, ended = asyncio.current_task(), False
    assert block is not None

    async def beat() -> None:
        nonlocal ended
        while True:
            await asyncio.sleep(pause)
            try:
                async with run.database.work(run.tenant_id) as work:
                    go_on = await job_runs.heartbeat(work, run.id)
            except Exception:
                logger.warning("could not note that the run is alive", exc_info=True)
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
            raise _CalledOffError(str(run.id)) from None
        raise
    finally:
        beating.cancel()
        await asyncio.wait((beating,))


async def _start(database: Database, tenant_id: UUID, run_id: UUID, pace: Pace) -> JobRun | None:
    try:
        async with database.work(tenant_id) as work:
            return await job_runs.start(work, run_id)
    except Exception as error:
        # Without the database there is nothing to do and nowhere to say so: keep the job.
        logger.exception("the run cannot start and is tried again")
        raise Retry(pace.retry) from error


async def _postpone(run: Run, message: str, error: str | None = None) -> None:
    try:
        async with run.database.work(run.tenant_id) as work:
            await job_runs.postpone(work, run.id, message, error)
    except Exception:
        # The job goes on whether or not its row says so.
        logger.exception("could not record that the run is to be taken up again")
