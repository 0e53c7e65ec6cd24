"""Connections that stay open, over WebSockets and as event streams: how many, and how they end."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from domain.errors import DomainError, ErrorCode
from graph.context import Context
from graph.identity import Principal

logger = logging.getLogger(__name__)

CLOSE_WITHIN = 3.0
"""Seconds that connections have to end when the server stops."""

RECHECK_EVERY = 30.0
"""Seconds after which a token is looked at again."""


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
        self._open = 0
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
        self._none.clear()
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._none.set()

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


async def end_of_token(identify: Callable[[], Awaitable[Context]]) -> DomainError:
    """Wait until the caller's token is valid no more: it expired, or its user was deactivated.

    Args:
        identify: looks at the token again.

    Returns:
        Why, for the caller.
    """
    while True:
        try:
            left = time_left((await identify()).principal)
        except DomainError as error:
            return error
        await asyncio.sleep(min(RECHECK_EVERY, left))


def time_left(principal: Principal) -> float:
    """Seconds until a token ends. Raises DomainError UNAUTHENTICATED if it has."""
    left = (principal.expires_at - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise DomainError(ErrorCode.UNAUTHENTICATED, "The token has expired.")
    return left
