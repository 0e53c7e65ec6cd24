"""Connections that stay open, over WebSockets and as event streams: how many, and how they end."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID

from domain.core.errors import DomainError, forbidden, unauthenticated
from domain.core.events import Event, Topic
from graph.core.context import Context
from graph.core.metrics import CONNECTIONS
from graph.identity import Principal
from graph.identity.authenticator import RECHECKED_AFTER

logger = logging.getLogger(__name__)

CLOSE_WITHIN = 3.0
"""Seconds that connections have to end when the server stops."""

RECHECK_EVERY = 30.0
"""Seconds after which a token is looked at again, if no event tells to do so before."""

SEND_WITHIN = 10.0
"""Seconds that a client may leave something unread while its buffers are full."""

STRANGERS = 10
"""One in so many connections may be of who has not said yet who it is."""


class TooManyError(Exception):
    """No further connection is taken; the message says of whom."""


class Connections:
    """Those of this process.

    Args:
        limit: of all tenants together.
        tenant_limit: of one tenant.
    """

    def __init__(self, limit: int, tenant_limit: int) -> None:
        self._limit = limit
        self._tenant_limit = tenant_limit
        self._stranger_limit = max(1, limit // STRANGERS)
        self._open = 0
        self._strangers = 0
        self._of_tenant: Counter[UUID] = Counter()
        self._none = asyncio.Event()
        self._none.set()
        self.closing = asyncio.Event()
        """Is set when the server stops: connections end, and no others begin."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a connection. Raises TooManyError."""
        if self.closing.is_set():
            raise TooManyError("The server is stopping; connect again")
        if self._open >= self._limit:
            raise TooManyError(f"This server has {self._limit} connections, and takes no more")
        self._open += 1
        CONNECTIONS.inc()
        self._none.clear()
        try:
            yield
        finally:
            self._open -= 1
            CONNECTIONS.dec()
            if not self._open:
                self._none.set()

    @contextmanager
    def of_stranger(self) -> Iterator[None]:
        """Count it as nobody's, until it says whose it is. Raises TooManyError."""
        if self._strangers >= self._stranger_limit:
            raise TooManyError("Too many connections wait for who they are; connect again")
        self._strangers += 1
        try:
            yield
        finally:
            self._strangers -= 1

    @contextmanager
    def of_tenant(self, tenant_id: UUID) -> Iterator[None]:
        """Count it as its tenant's, once that is known. Raises TooManyError."""
        if self._of_tenant[tenant_id] >= self._tenant_limit:
            raise TooManyError(f"Your tenant has {self._tenant_limit} connections; close some")
        self._of_tenant[tenant_id] += 1
        try:
            yield
        finally:
            self._of_tenant[tenant_id] -= 1
            if not self._of_tenant[tenant_id]:
                del self._of_tenant[tenant_id]

    async def close(self) -> None:
        """End all connections, and wait a little until they have."""
        self.closing.set()
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._none.wait()
        except TimeoutError:
            logger.warning("%d connections did not end in time", self._open)


async def end_of_token(context: Context, identify: Callable[[], Awaitable[Context]]) -> DomainError:
    """Wait until a connection may not go on as it began.

    Its token expired, its user was deactivated, or may do something else than before: what an admin
    changes counts as soon as for requests, if Redis tells of it. A failure to look again ends
    nothing.

    Args:
        context: of who began it.
        identify: looks at the token again.

    Returns:
        Why, for the caller.
    """
    principal = context.principal
    changed = Event(Topic.MEMBER, principal.user)
    async with context.listen(lambda event: event == changed) as listener:
        # What was told before it listened counts as well.
        listener.put(changed)
        while True:
            try:
                async with asyncio.timeout(time_left(principal)):
                    now = (await identify()).principal
                if _rights(now) != _rights(principal):
                    return forbidden("What you may do has changed; connect again.")
            except DomainError as error:
                return error
            except Exception:
                logger.warning("a token could not be looked at again", exc_info=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(RECHECK_EVERY, _seconds(principal))):
                    await listener.take()
                # So long may what was known of the user before be believed.
                await asyncio.sleep(min(RECHECKED_AFTER, _seconds(principal)))


def time_left(principal: Principal) -> float:
    """Seconds until a token ends. Raises DomainError UNAUTHENTICATED if it has."""
    left = _seconds(principal)
    if left <= 0:
        raise unauthenticated("The token has expired.")
    return left


def _seconds(principal: Principal) -> float:
    return (principal.expires_at - datetime.now(UTC)).total_seconds()


def _rights(principal: Principal) -> tuple[object, ...]:
    return principal.tenant_id, principal.user, principal.role, principal.operations
