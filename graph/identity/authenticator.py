"""From the ``Authorization`` header to the principal, in one cached step."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from domain.core.database import Database
from domain.core.errors import unauthenticated
from domain.tenants import tenants
from domain.users import users
from graph.identity.config import IdentityConfig
from graph.identity.keys import IssuerKeys, Keys, SharedSecret
from graph.identity.principal import Principal
from graph.identity.tokens import Claims, bearer, verify

RECHECKED_AFTER = 2.0
"""Seconds after which a token is verified anew and its user looked up again: so long may a user go
on who was deactivated, deleted or given another role."""

MAX_KNOWN = 10_000
"""Principals kept at a time, those that were asked for last."""


class _Known(NamedTuple):
    principal: Principal
    until: float


class Authenticator:
    """Tells whom a request speaks for. One serves a process.

    What was verified is kept for ``RECHECKED_AFTER`` seconds under the hash of the token, so that
    the cost of cryptography and of the look-up of the user is paid once in that time.

    Args:
        config: which tokens are trusted.
        database: where tenants and users are looked up.
        clock: tells seconds, from any start.
    """

    def __init__(
        self,
        config: IdentityConfig,
        database: Database,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._keys: Keys
        if config.issuer is not None:
            self._keys = IssuerKeys(config.issuer, clock)
        else:
            self._keys = SharedSecret(config.secret or "")
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._generation = self._keys.generation

    async def authenticate(self, authorization: str | None) -> Principal:
        """Whom an ``Authorization`` header speaks for.

        Raises:
            DomainError: UNAUTHENTICATED; the message tells a missing token from a malformed, an
                expired and an untrusted one, and from one whose user is gone.
        """
        token = bearer(authorization)
        digest = hashlib.sha256(token.encode()).digest()
        if self._generation != self._keys.generation:
            # A key may have been taken back, and what it signed with it.
            self._known.clear()
            self._generation = self._keys.generation
        known = self._known.get(digest)
        if known is not None and self._clock() < known.until:
            self._known.move_to_end(digest)
            return known.principal
        self._known.pop(digest, None)
        # From before it is read: of what changes meanwhile it may not know.
        until = self._clock() + RECHECKED_AFTER
        claims = await verify(token, self._config, self._keys)
        principal = await self._principal(claims)
        self._remember(digest, principal, until)
        return principal

    async def close(self) -> None:
        """Give up what is under way."""
        await self._keys.close()

    def _remember(self, digest: bytes, principal: Principal, until: float) -> None:
        # In this order: no date is later than what a token may end with.
        left = principal.expires_at - datetime.now(UTC) + self._config.clock_skew
        until = min(until, self._clock() + left.total_seconds())
        self._known[digest] = _Known(principal, until)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    async def _principal(self, claims: Claims) -> Principal:
        async with self._database.read(None) as reading:
            tenant_id = await tenants.referred(reading, claims.tenant)
        if tenant_id is None:
            raise unauthenticated("The token's tenant is unknown here.")
        if claims.operations is not None:
            if claims.role is None:
                raise unauthenticated("A service's token must name its role.")
            return Principal(tenant_id, None, claims.role, claims.expires_at, claims.operations)
        by_email = self._config.claims.user == "email"
        async with self._database.read(tenant_id) as reading:
            user = await users.referred(reading, claims.user, by_email=by_email)
        if user is None:
            raise unauthenticated("The token's user does not exist (any more).")
        if user.deactivated_at is not None:
            raise unauthenticated(
                "The token's user was deactivated; an admin can activate it again."
            )
        # A token may narrow what its user may do, and never widens it: who was demoted stays so.
        role = user.role if claims.role is None else claims.role.at_most(user.role)
        return Principal(tenant_id, user.id, role, claims.expires_at)
