"""Who is asking: a bearer token names the tenant, the user and its roles."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from domain.errors import DomainError, ErrorCode
from domain.vocabulary import Role

ALGORITHM = "HS256"
CLAIMS = ["sub", "tenant", "roles", "exp", "iat"]
CLOCK_SKEW = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Principal:
    """A user of a tenant, in the most powerful of its roles."""

    tenant_id: UUID
    user_id: UUID
    role: Role

    @property
    def privileged(self) -> bool:
        """Whether it may write, and may read and act for the other users of its tenant."""
        return self.role is not Role.VIEWER


def mint(
    secret: str, tenant_id: UUID, user_id: UUID, roles: Iterable[Role], lifetime: timedelta
) -> str:
    """A token for a user of a tenant, valid from now for ``lifetime``."""
    now = datetime.now(UTC)
    claims = {
        "sub": str(user_id),
        "tenant": str(tenant_id),
        "roles": [role.value for role in roles],
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def authenticate(authorization: str | None, secret: str) -> Principal:
    """Whom an ``Authorization`` header speaks for.

    Raises:
        DomainError: UNAUTHENTICATED; the message tells a missing token from a malformed, an
            expired and an untrusted one.
    """
    if not authorization:
        raise _refused("Send a token: Authorization: Bearer <token>.")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise _refused("The Authorization header must read: Bearer <token>.")
    try:
        claims = jwt.decode(
            token.strip(),
            secret,
            algorithms=[ALGORITHM],
            options={"require": CLAIMS},
            leeway=CLOCK_SKEW,
        )
    except jwt.ExpiredSignatureError:
        raise _refused("The token has expired.") from None
    except jwt.InvalidSignatureError:
        raise _refused("The token was not signed by this server's key.") from None
    except jwt.MissingRequiredClaimError as error:
        raise _refused(f"The token lacks the claim {error.claim!r}.") from None
    except jwt.InvalidTokenError:
        raise _refused("The token is malformed.") from None
    return Principal(
        tenant_id=_uuid(claims, "tenant"), user_id=_uuid(claims, "sub"), role=_role(claims)
    )


def _uuid(claims: dict[str, Any], name: str) -> UUID:
    try:
        return UUID(str(claims[name]))
    except ValueError:
        raise _refused(f"The token's claim {name!r} is not a UUID.") from None


def _role(claims: dict[str, Any]) -> Role:
    named = claims["roles"]
    # From the most powerful down; roles of other systems mean nothing here.
    for role in reversed(Role):
        if isinstance(named, list) and role.value in named:
            return role
    roles = ", ".join(Role)
    raise _refused(f"The token's claim 'roles' names none of: {roles}.")


def _refused(message: str) -> DomainError:
    return DomainError(ErrorCode.UNAUTHENTICATED, message)
