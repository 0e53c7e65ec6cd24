"""Listening to what PostgreSQL notifies, over one connection after the other."""

import asyncio
import logging
from collections.abc import AsyncIterator

from domain.core.database import Database

logger = logging.getLogger(__name__)

LISTEN_AGAIN_AFTER = 1.0


async def notifications(
    database: Database, channel: str, again_after: float = LISTEN_AGAIN_AFTER
) -> AsyncIterator[str | None]:
    """What is notified on a channel, without end.

    Yields None whenever it begins to listen: what was notified before is not heard.

    Args:
        database: who notifies.
        channel: the channel, whatever the tenant.
        again_after: seconds after which it listens again once the connection was lost.
    """
    while True:
        try:
            async with database.listen(channel) as payloads:
                yield None
                async for payload in payloads:
                    yield payload
            logger.warning("the connection over which %s is heard was lost", channel)
        except Exception:
            logger.warning("cannot listen to %s", channel, exc_info=True)
        await asyncio.sleep(again_after)
