"""Routine jobs: they follow every change, and leave a run only while they keep failing."""

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import NoReturn
from uuid import UUID

from arq import Retry
from arq.connections import ArqRedis
from arq.constants import retry_key_prefix

from domain.contract import log_context
from domain.core.database import Database
from domain.jobs import routines
from jobs.queue.leases import leased
from jobs.queue.pace import Pace
from jobs.queue.runs import MOST_ATTEMPTS, Context, Job, JobPostponedError, Run, attempt, ids

logger = logging.getLogger(__name__)

Routine = Callable[[Context, UUID], Awaitable[bool]]
"""Does the work of a tenant for a while; whether some is left."""

SLICE = 5.0
"""Seconds after which a routine lets those of other tenants go first."""


def routine(limit: float) -> Callable[[Routine], Job]:
    """Make of a function a routine job.

    What it leaves is done after what other tenants wait for. What it postpones by a
    JobPostponedError, which is no failure, waits for the next change or the sweep. Another error is
    tried again; after ``MOST_ATTEMPTS`` a run is parked with it, once, until the routine succeeds
    again. Until then it runs whenever it is enqueued: by a change or the sweep, or by whoever
    requeues that run, which then is recorded as any other is, with ``limit`` seconds at most.
    """

    def decorate(body: Routine) -> Job:
        name = body.__name__
        # The tenants being worked on in this process, and whether to run again for each.
        busy: dict[UUID, bool] = {}

        async def recorded_body(context: Context, run: Run) -> None:
            while await body(context, run.tenant_id):
                pass

        @wraps(body)
        async def job(context: Context, *arguments: object) -> None:
            match ids(arguments):
                case [tenant_id] if tenant_id in busy:
                    # What changed after the last look of the one that runs is for its next one.
                    busy[tenant_id] = True
                case [tenant_id]:
                    busy[tenant_id] = False
                    try:
                        some_left = await _run(context, name, tenant_id, body)
                    finally:
                        asked_again = busy.pop(tenant_id)
                    if some_left or asked_again:
                        await _again(context, 0.001)
                case [tenant_id, run_id]:
                    await attempt(context, tenant_id, run_id, recorded_body, limit)
                case _:
                    logger.warning("ignored %s%r: not as this version asks for it", name, arguments)

        return job

    return decorate


async def _run(context: Context, name: str, tenant_id: UUID, body: Routine) -> bool:
    pace: Pace = context["pace"]
    database: Database = context["database"]
    with log_context.about(tenant_id=str(tenant_id)):
        async with leased(context["redis"], context["job_id"], pace.lease):
            try:
                some_left = await body(context, tenant_id)
                async with database.work(tenant_id) as work:
                    await routines.works_again(work, name)
            except JobPostponedError as reason:
                logger.info("%s waits for the next change or sweep: %s", name, reason)
                return False
            except Exception as error:
                # arq counts over all workers.
                tries: int = context["job_try"]
                if tries < MOST_ATTEMPTS:
                    logger.exception("%s failed and will be tried again", name)
                    # Soon: meanwhile changes wait that the job would index.
                    raise Retry(pace.before_retry(min(tries, 2))) from error
                async with database.work(tenant_id) as work:
                    await routines.lay_aside(work, name, f"{type(error).__name__}: {error}")
                raise
    return some_left


async def _again(context: Context, seconds: float) -> NoReturn:
    """Have the job run later, behind what others wait for; no failure is counted."""
    redis: ArqRedis = context["redis"]
    await redis.delete(retry_key_prefix + context["job_id"])
    raise Retry(seconds)
