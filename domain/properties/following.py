"""Has a server process follow changes of the properties that it holds in memory.

PostgreSQL notifies of each commit that changed properties. A look every few seconds finds what was
missed: what changed since the last look is in the property log.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

from domain.core.base import parse_uuid
from domain.core.database import Database
from domain.core.listening import LISTEN_AGAIN_AFTER, notifications
from domain.jobs.property_log import CHANNEL

logger = logging.getLogger(__name__)

LOOK_EVERY = 10.0


class Catalogues(Protocol):
    """The properties that a process has in memory."""

    def tenants(self) -> Collection[UUID]:
        """Whose are there."""
        ...

    async def catch_up(self, tenant_id: UUID) -> None:
        """Read what changed since the last time, or everything where that is not known."""
        ...


@asynccontextmanager
async def following(
    database: Database,
    catalogues: Catalogues,
    *,
    look_every: float = LOOK_EVERY,
    listen_again_after: float = LISTEN_AGAIN_AFTER,
) -> AsyncIterator[None]:
    """Have what is in memory follow what is committed while the block runs.

    Args:
        database: where the properties are.
        catalogues: what catches up, one tenant beside the other. Once a tenant has caught up, it
            does so again if more was heard of meanwhile, however often.
        look_every: seconds within which each tenant catches up without anything being heard.
        listen_again_after: seconds after which it listens again once the connection was lost.
    """
    follower = _Follower(database, catalogues)
    tasks = [
        asyncio.create_task(follower.look(look_every)),
        asyncio.create_task(follower.listen(listen_again_after)),
    ]
    try:
        yield
    finally:
        # Those two start others.
        for running in (tasks, follower.catching_up):
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


class _Follower:
    def __init__(self, database: Database, catalogues: Catalogues) -> None:
        self._database = database
        self._catalogues = catalogues
        self._behind: dict[UUID, bool] = {}
        """Of the tenants that catch up, whether more was heard since that began."""
        self.catching_up: set[asyncio.Task[None]] = set()

    async def look(self, every: float) -> None:
        """Have all catch up now and then, spread over the time."""
        while True:
            held = list(self._catalogues.tenants())
            for tenant_id in held:
                await asyncio.sleep(every / len(held))
                self._follow(tenant_id)
            if not held:
                await asyncio.sleep(every)

    async def listen(self, again_after: float) -> None:
        """Have those catch up of whom something is heard; all, if something may be missed."""
        async for payload in notifications(self._database, CHANNEL, again_after):
            heard = payload and parse_uuid(payload)
            for tenant_id in self._catalogues.tenants():
                if payload is None or tenant_id == heard:
                    self._follow(tenant_id)

    def _follow(self, tenant_id: UUID) -> None:
        catches_up = tenant_id in self._behind
        self._behind[tenant_id] = True
        if not catches_up:
            task = asyncio.create_task(self._catch_up(tenant_id))
            self.catching_up.add(task)
            task.add_done_callback(self.catching_up.discard)

    async def _catch_up(self, tenant_id: UUID) -> None:
        while self._behind[tenant_id]:
            self._behind[tenant_id] = False
            try:
                await self._catalogues.catch_up(tenant_id)
            except Exception:
                # Until the next look.
                logger.warning("tenant %s could not catch up", tenant_id, exc_info=True)
        del self._behind[tenant_id]
