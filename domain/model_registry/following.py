"""Has a server process follow its tenants' active versions, so that no request waits for a load.

Requests read the active version together with their data: a switch counts at once, whether this
has heard of it or not. PostgreSQL notifies of each; a look every few seconds finds what was missed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

from domain.core.database import Database
from domain.core.listening import LISTEN_AGAIN_AFTER, notifications
from domain.model_registry.model_versions import ACTIVATED
from domain.tenants import tenants

logger = logging.getLogger(__name__)

LOOK_EVERY = 10.0


class LoadedVersions(Protocol):
    """The versions that a process has in memory."""

    def tenants(self) -> Collection[UUID]:
        """Who has one there."""
        ...

    async def follow(self, active: Mapping[UUID, UUID | None]) -> None:
        """Load what became active of those tenants, and let go of what it replaced."""
        ...


@asynccontextmanager
async def following(
    database: Database,
    loaded: LoadedVersions,
    *,
    look_every: float = LOOK_EVERY,
    listen_again_after: float = LISTEN_AGAIN_AFTER,
) -> AsyncIterator[None]:
    """Have what is loaded follow what is active while the block runs.

    Args:
        database: where the versions are.
        loaded: what is told of their switches.
        look_every: seconds after which it looks without having heard anything.
        listen_again_after: seconds after which it listens again once the connection was lost.
    """
    follower = _Follower(database, loaded)
    tasks = [
        asyncio.create_task(follower.look(look_every)),
        asyncio.create_task(follower.listen(listen_again_after)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Follower:
    def __init__(self, database: Database, loaded: LoadedVersions) -> None:
        self._database = database
        self._loaded = loaded
        self._heard = asyncio.Event()

    async def look(self, every: float) -> None:
        """Look what is active whenever something was heard, and now and then."""
        while True:
            try:
                async with asyncio.timeout(every):
                    await self._heard.wait()
            except TimeoutError:
                pass
            self._heard.clear()
            try:
                if concerned := self._loaded.tenants():
                    async with self._database.work(None) as work:
                        active = await tenants.active_versions(work, concerned)
                    await self._loaded.follow(active)
            except Exception:
                logger.warning("could not see which versions are active", exc_info=True)

    async def listen(self, again_after: float) -> None:
        """Note what is heard of those who are concerned, and when something may be missed."""
        async for payload in notifications(self._database, ACTIVATED, again_after):
            if payload is None or self._concerns(payload):
                self._heard.set()

    def _concerns(self, payload: str) -> bool:
        tenant, _, _ = payload.partition(":")
        return tenant in map(str, self._loaded.tenants())
