"""Leases: a job stays with its worker, but only as long as that worker lives.

On its own arq keeps a job for its longest timeout, hours for a training, even if the worker was
killed in the meantime.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


@asynccontextmanager
async def leased(redis: ArqRedis, job_id: str, seconds: float) -> AsyncIterator[None]:
    """Keep the job from other workers during the block, and no longer than that if we die."""
    key = in_progress_key_prefix + job_id

    async def renew() -> None:
        try:
            await redis.set(key, b"1", px=int(seconds * 1000))
        except (RedisError, OSError):
            logger.warning("could not renew the lease of job %s", job_id, exc_info=True)

    async def keep() -> None:
        while True:
            await asyncio.sleep(seconds / 3)
            await renew()

    await renew()
    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait((keeping,))


async def shorten_leases(redis: ArqRedis, queue: str, seconds: float) -> None:
    """Free the jobs whose worker died before it could shorten its lease; call it at start-up."""
    for job_id in await redis.zrange(queue, 0, -1):
        key = in_progress_key_prefix + job_id.decode()
        if await redis.pttl(key) > seconds * 1000:
            await redis.pexpire(key, int(seconds * 1000))
