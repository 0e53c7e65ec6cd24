"""The jobs: what arq calls by name.

A recorded job says in its run's result what came of it; see ``jobs.queue.runs`` and
``jobs.queue.routines``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from domain.core.errors import DomainError, ErrorCode, invalid
from domain.core.leases import LockedError
from domain.imports import purging
from domain.tenants import tenants
from jobs.queue.child import run_cli, training_arguments
from jobs.queue.routines import SLICE, routine
from jobs.queue.runs import Context, JobPostponedError, Run, recorded

if TYPE_CHECKING:
    from jobs.reindexing.indexer import Indexer

Measure: TypeAlias = Callable[[UUID], Awaitable[dict[str, Any]]]

INDEXING_LIMIT = 3600.0
TRAINING_LIMIT = 6 * 3600.0
"""The longest time a job may take, seconds."""


@routine(INDEXING_LIMIT)
async def index_marked(context: Context, tenant_id: UUID) -> bool:
    """Write into the index what is marked."""
    indexer: Indexer = context["indexer"]
    try:
        return await indexer.index_marked(tenant_id, SLICE, context["long"])
    except DomainError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        # The tenant was deleted, and so are its vectors.
        return False


@recorded(INDEXING_LIMIT)
async def reindex(context: Context, run: Run) -> None:
    """Have the index hold what the database does; ``full`` writes all of it anew."""
    indexer: Indexer = context["indexer"]
    full = bool(run.arguments.get("full"))
    try:
        # A full one may have been asked for while another one runs. That of an attempt that was
        # killed may hold its lease for a while yet.
        wait = 1.5 * run.database.lease
        async with run.database.exclusive(run.tenant_id, "reindexing", wait=wait):
            done = await indexer.reindex(run.tenant_id, run.report, full=full)
    except LockedError as reason:
        raise JobPostponedError(str(reason)) from reason
    run.result.update(done.to_json())


@recorded(INDEXING_LIMIT)
async def activate_model(context: Context, run: Run) -> None:
    """Have a version of the tenant's twin answer, put into the index before if it is not there."""
    indexer: Indexer = context["indexer"]
    version_id = UUID(run.arguments["version_id"])
    run.result.update(asdict(await indexer.activate(run.tenant_id, version_id, run.report)))


@recorded(INDEXING_LIMIT)
async def measure_drift(context: Context, run: Run) -> None:
    """Measure how far the tenant's data has moved from what its active version learned from."""
    measure: Measure = context["measure_drift"]
    run.result.update(await measure(run.tenant_id))


@recorded(INDEXING_LIMIT)
async def purge_changes(_: Context, run: Run) -> None:
    """Delete what the tenant's policy does not keep of overwritten values and deleted rows."""
    run.result["deleted"] = await purging.purge(run.database, run.tenant_id)


@recorded(TRAINING_LIMIT)
async def train_twin(_: Context, run: Run) -> None:
    """Train the tenant's twin in a child process; arguments are ``TRAINING_OPTIONS``."""
    async with run.database.work(run.tenant_id) as work:
        slug = (await tenants.get(work)).slug
    options = training_arguments(run.arguments)
    result = await run_cli(["train", f"--tenant={slug}", f"--job-run={run.id}", *options])
    if "refused" in result:
        raise invalid(result["refused"])
    run.result.update(result)


INDEXING_JOBS = (
    index_marked,
    reindex,
    activate_model,
    measure_drift,
    purge_changes,
)
TRAINING_JOBS = (train_twin,)
"""The jobs of each queue."""
