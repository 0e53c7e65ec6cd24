"""The workers' composition root: which jobs there are and what they run on.

``arq jobs.worker.WorkerSettings`` works off the indexing queue and
``arq jobs.worker.TrainingWorkerSettings`` the training queue; ``twin worker`` runs both. The two
names are made when they are asked for, since what they hold starts services. The training worker
needs neither PyTorch nor Qdrant: it leaves both to its children.
"""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, cast

from arq import cron, func
from arq.connections import ArqRedis

import runtime
import settings
from jobs.functions import INDEXING_JOBS, INDEXING_LIMIT, TRAINING_JOBS, TRAINING_LIMIT
from jobs.queue.leases import shorten_leases
from jobs.queue.pace import Pace
from jobs.queue.queue import (
    EXPIRES_MS,
    INDEXING_QUEUE,
    TRAINING_QUEUE,
    deserialize,
    redis_settings,
    serialize,
)
from jobs.queue.runs import Context
from jobs.schedules import ROUND_LIMIT, Decided, Round, count, sweep

SLOTS = 10
"""Jobs that an indexing worker runs at once."""

LONG_JOBS = 4
"""How many of them may take long; the other slots are for what just changed."""

COUNTED_EACH = 10
"""Minutes between two looks at whether indexes hold as many properties as they should."""

# Attempts are counted in job_runs, where a worker's restart is not held against a job.
_UNCOUNTED = 1_000_000


def worker_settings(found: runtime.Services, loaded: settings.Settings, queue: str) -> Context:
    """What arq needs to know to work off a queue on those services."""
    training = queue == TRAINING_QUEUE
    pace = Pace(loaded.job_lease, loaded.job_retry_delay, loaded.sweep_interval)
    stack = AsyncExitStack()

    async def open_services(context: Context) -> None:
        redis: ArqRedis = context["redis"]
        await shorten_leases(redis, queue, pace.lease)
        if training:
            context["database"], _, _ = await stack.enter_async_context(
                runtime.connect_database(found)
            )
            return
        from jobs.model_registry import drift
        from jobs.reindexing.indexer import Indexer

        rt = await stack.enter_async_context(runtime.connect(loaded, found))
        context["database"] = rt.database
        context["indexer"] = await Indexer.open(rt.database, rt.index, rt.twin)
        context["measure_drift"] = partial(drift.measure, rt.database, rt.twin)
        context["long"] = asyncio.Semaphore(LONG_JOBS)
        context["decided"] = Decided()
        context["sweeping"], context["counting"] = Round(), Round()

    async def close_services(_: Context) -> None:
        await stack.aclose()

    # Ours end the jobs in time, and say so in job_runs; arq's come after.
    limit = (TRAINING_LIMIT if training else INDEXING_LIMIT) + 60
    jobs: Any = TRAINING_JOBS if training else INDEXING_JOBS
    crons = [
        cron(cast(Any, sweep), second=set(range(0, 60, pace.sweep)), timeout=ROUND_LIMIT),
        cron(
            cast(Any, count),
            minute=set(range(0, 60, COUNTED_EACH)),
            second=30,
            timeout=ROUND_LIMIT,
        ),
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
        "max_jobs": 1 if training else SLOTS,
        # What changed is to be found within a second.
        "poll_delay": 0.5 if training else 0.1,
        "health_check_interval": 30,
        "on_startup": open_services,
        "on_shutdown": close_services,
        "ctx": {"pace": pace},
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
