"""The queue's front door: takes jobs by name and puts each on the queue of its kind.

A job that is recorded has its run's id in the queue too, so that it is there once. A routine job
reads the state of the database when it runs, so one that still waits does the work of a second.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, Self

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import health_check_key_suffix, in_progress_key_prefix, job_key_prefix
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from domain.core.work import Job, QueueState
from domain.jobs import job_runs

INDEXING_QUEUE = "twin:indexing"
TRAINING_QUEUE = "twin:training"
TRAINING_FUNCTIONS = frozenset({job_runs.TRAIN})

EXPIRES_MS = 30 * 86_400_000
"""Milliseconds after which a job that no worker took is dropped: a month."""

_SLOTS = 2


def serialize(value: dict[str, Any]) -> bytes:
    """A job as JSON, never pickle: who can write to Redis must not thereby run code.

    Raises TypeError for an argument that is no JSON value.
    """
    return json.dumps(value, default=_error_as_text).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """The job back."""
    value: dict[str, Any] = json.loads(data)
    return value


def _error_as_text(value: object) -> str:
    # arq serializes the exception of a failed job, even where it then keeps no result.
    if isinstance(value, BaseException):
        return repr(value)
    raise TypeError(f"a job's arguments must be JSON values: {value!r}")


def queue_of(function: str) -> str:
    """The queue that a job of this function goes to."""
    return TRAINING_QUEUE if function in TRAINING_FUNCTIONS else INDEXING_QUEUE


def redis_settings(redis_url: str) -> RedisSettings:
    """How to reach Redis, over a restart of it that takes seconds.

    Args:
        redis_url: a ``redis://``, ``rediss://`` or ``unix://`` URL.
    """
    found = RedisSettings.from_dsn(redis_url)
    found.retry = Retry(ExponentialBackoff(cap=1.0, base=0.05), retries=8)
    # Where nobody listens yet, the attempt to connect fails with an error of the system.
    found.retry_on_error = [RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError]
    return found


class JobQueue:
    """Enqueues jobs. Open one with ``connect``."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    @classmethod
    async def connect(cls, redis_url: str) -> Self:
        """Connect to Redis, see ``redis_settings``.

        Raises:
            redis.exceptions.ConnectionError: Redis does not answer.
        """
        return cls(
            await create_pool(
                redis_settings(redis_url),
                job_serializer=serialize,
                job_deserializer=deserialize,
                default_queue_name=INDEXING_QUEUE,
                expires_extra_ms=EXPIRES_MS,
            )
        )

    async def enqueue(self, jobs: Sequence[Job]) -> None:
        """Enqueue the jobs, except those that are there already."""
        for job in jobs:
            await self._enqueue(job)

    async def _enqueue(self, job: Job) -> None:
        queue = queue_of(job.function)
        if job.run_id is not None:
            await self._redis.enqueue_job(
                job.function,
                str(job.tenant_id),
                str(job.run_id),
                _job_id=str(job.run_id),
                _queue_name=queue,
            )
            return
        # One routine may run, which read the state of before, while a second one waits.
        for slot in range(_SLOTS):
            job_id = f"{job.function}:{job.tenant_id}:{slot}"
            enqueued = await self._redis.enqueue_job(
                job.function, str(job.tenant_id), _job_id=job_id, _queue_name=queue
            )
            if enqueued is not None or await self._is_waiting(job_id):
                return

    async def _is_waiting(self, job_id: str) -> bool:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.exists(job_key_prefix + job_id)
            pipe.exists(in_progress_key_prefix + job_id)
            exists, runs = await pipe.execute()
        return bool(exists) and not runs

    async def state(self) -> dict[str, QueueState]:
        """What waits in each queue, and whether anybody works it off.

        Raises:
            redis.exceptions.ConnectionError: Redis does not answer.
        """
        queues = (INDEXING_QUEUE, TRAINING_QUEUE)
        async with self._redis.pipeline(transaction=False) as pipe:
            for queue in queues:
                # A job's score is when it is due, in milliseconds; it leaves when it has run.
                pipe.zcount(queue, "-inf", time.time() * 1000)
                pipe.exists(queue + health_check_key_suffix)
            found = await pipe.execute()
        return {
            queue: QueueState(due, bool(alive))
            for queue, due, alive in zip(queues, found[::2], found[1::2], strict=True)
        }

    async def ping(self) -> None:
        """Check that Redis answers.

        Raises:
            redis.exceptions.ConnectionError: it does not.
        """
        await self._redis.ping()

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
