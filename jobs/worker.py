"""The workers' composition root: which jobs there are and what they run on.

``arq jobs.worker.WorkerSettings`` works off the indexing queue and
``arq jobs.worker.TrainingWorkerSettings`` the training queue; ``twin worker`` runs both. The two
names are made when they are asked for, since what they hold starts services. The training worker
needs neither PyTorch nor Qdrant: it leaves both to its children.
"""

from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from arq import cron, func
from arq.connections import ArqRedis

import runtime
import settings
from domain import indexing, job_runs, tenants
from domain.database import Database
from domain.errors import invalid
from jobs.child import run_cli, training_arguments
from jobs.queue import (
    EXPIRES_MS,
    INDEXING_QUEUE,
    TRAINING_QUEUE,
    deserialize,
    redis_settings,
    serialize,
)
from jobs.runs import recorded, shorten_leases

if TYPE_CHECKING:
    from jobs.reindexing import Indexer

INDEXING_LIMIT = 3600.0
TRAINING_LIMIT = 6 * 3600.0
"""The longest time a job may take, seconds."""

_KEPT = timedelta(days=30)
"""How long finished runs stay on record."""

_SILENCE = timedelta(seconds=30)
"""How long a mark or a run may go without a sign before the sweep looks after it."""

# Attempts are counted in job_runs, where a worker's restart is not held against a job.
_UNCOUNTED = 1_000_000

Context = dict[str, Any]


async def index_marked(context: Context, tenant: str) -> None:
    """Write into the index what is marked."""
    indexer: Indexer = context["indexer"]
    await indexer.index_marked(UUID(tenant))


async def reindex(context: Context, tenant: str, run_id: str) -> None:
    """Write everything of the tenant into the index."""
    database: Database = context["database"]
    indexer: Indexer = context["indexer"]
    async with recorded(context, database, tenant, run_id, INDEXING_LIMIT) as run:
        async with database.work(run.tenant_id) as work:
            await job_runs.forget(work, datetime.now(UTC) - _KEPT)
        run.result.update(asdict(await indexer.reindex(run.tenant_id, run.report)))


async def activate_model(context: Context, tenant: str, run_id: str) -> None:
    """Have a version of the tenant's twin answer, put into the index before if it is not there."""
    database: Database = context["database"]
    indexer: Indexer = context["indexer"]
    async with recorded(context, database, tenant, run_id, INDEXING_LIMIT) as run:
        version_id = UUID(run.arguments["version_id"])
        run.result.update(asdict(await indexer.activate(run.tenant_id, version_id, run.report)))


async def measure_drift(context: Context, tenant: str, run_id: str) -> None:
    """Measure how far the tenant's data has moved from what its active version learned from."""
    from jobs import drift

    database: Database = context["database"]
    indexer: Indexer = context["indexer"]
    async with recorded(context, database, tenant, run_id, INDEXING_LIMIT) as run:
        run.result.update(await drift.measure(database, indexer.twin, run.tenant_id))


async def train_twin(context: Context, tenant: str, run_id: str) -> None:
    """Train the tenant's twin in a child process; arguments are ``TRAINING_OPTIONS``."""
    database: Database = context["database"]
    async with recorded(context, database, tenant, run_id, TRAINING_LIMIT) as run:
        async with database.work(run.tenant_id) as work:
            slug = (await tenants.get(work)).slug
        options = training_arguments(run.arguments)
        result = await run_cli(["train", f"--tenant={slug}", f"--job-run={run.id}", *options])
        if "refused" in result:
            raise invalid(result["refused"])
        run.result.update(result)


async def reindex_all(context: Context) -> None:
    """Have every tenant reindexed."""
    database: Database = context["database"]
    await for_everyone(database, job_runs.REINDEX)


async def measure_all(context: Context) -> None:
    """Have the drift of every tenant that has a model measured."""
    database: Database = context["database"]
    async with database.work(None) as work:
        active = [one.id for one in await tenants.list_all(work) if one.active_model_version_id]
    for tenant_id in active:
        async with database.work(tenant_id) as work:
            await job_runs.request(work, job_runs.DRIFT)


async def sweep(context: Context) -> None:
    """Pick up what a lost job left: marks that nobody indexes, runs that no queue knows."""
    database: Database = context["database"]
    silent_since = datetime.now(UTC) - _SILENCE
    for tenant_id in await _tenant_ids(database):
        async with database.work(tenant_id) as work:
            oldest = (await indexing.waiting(work)).oldest
            if oldest is not None and oldest < silent_since:
                work.enqueue(indexing.INDEX_MARKED)
            await job_runs.enqueue_unfinished(work, silent_since)


async def for_everyone(database: Database, function: str) -> None:
    """Ask for a job of every tenant."""
    for tenant_id in await _tenant_ids(database):
        async with database.work(tenant_id) as work:
            await job_runs.request(work, function)


async def _tenant_ids(database: Database) -> list[UUID]:
    async with database.work(None) as work:
        return [tenant.id for tenant in await tenants.list_all(work)]


def worker_settings(found: runtime.Services, loaded: settings.Settings, queue: str) -> Context:
    """What arq needs to know to work off a queue on those services."""
    training = queue == TRAINING_QUEUE
    stack = AsyncExitStack()

    async def open_services(context: Context) -> None:
        redis: ArqRedis = context["redis"]
        await shorten_leases(redis, queue)
        if training:
            context["database"], _, _ = await stack.enter_async_context(
                runtime.connect_database(found)
            )
            return
        from jobs.reindexing import Indexer

        rt = await stack.enter_async_context(runtime.connect(loaded, found))
        context["database"] = rt.database
        context["indexer"] = await Indexer.open(rt.database, rt.index, rt.twin)

    async def close_services(_: Context) -> None:
        await stack.aclose()

    # Ours end the jobs in time, and say so in job_runs; arq's come after.
    limit = (TRAINING_LIMIT if training else INDEXING_LIMIT) + 60
    jobs: list[Any] = (
        [train_twin] if training else [index_marked, reindex, activate_model, measure_drift]
    )
    crons: list[Any] = [
        cron(cast(Any, reindex_all), hour=3, minute=0),
        cron(cast(Any, measure_all), hour=4, minute=0),
        cron(cast(Any, sweep), second=0),
    ]
    return {
        "functions": [func(job, timeout=limit, max_tries=_UNCOUNTED) for job in jobs],
        "cron_jobs": [] if training else crons,
        "queue_name": queue,
        "redis_settings": redis_settings(found.redis_url),
        "job_serializer": serialize,
        "job_deserializer": deserialize,
        "expires_extra_ms": EXPIRES_MS,
        # The runs are on record in job_runs; a kept result would block the same job's next run.
        "keep_result": 0,
        # A training takes all cores.
        "max_jobs": 1 if training else 10,
        "health_check_interval": 30,
        "on_startup": open_services,
        "on_shutdown": close_services,
    }


def __getattr__(name: str) -> Context:
    queues = {"WorkerSettings": INDEXING_QUEUE, "TrainingWorkerSettings": TRAINING_QUEUE}
    if name not in queues:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    loaded = settings.load()
    found = runtime.services(loaded)
    if found.embedded:
        runtime.migrate(found)
    return worker_settings(found, loaded, queues[name])
