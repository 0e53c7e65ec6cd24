"""Tokens: making them in development, and verifying what they claim."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from domain.contract.vocabulary import Role
from domain.core.base import storable
from domain.core.errors import unauthenticated
from graph.identity.config import ClaimNames, IdentityConfig
from graph.identity.keys import Keys

MAX_TOKEN = 8192
"""Characters; more are not looked at."""

MAX_REFERENCE = 200
MAX_OPERATIONS = 200
YEAR_9999 = 253_402_300_799

_EXPLANATIONS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet: its iat or nbf is in the future.",
    jwt.InvalidSignatureError: "The token was not signed by a key that this server trusts.",
    jwt.InvalidAlgorithmError: "The token's algorithm is not one that this server accepts.",
    jwt.InvalidIssuerError: "The token comes from another issuer than this server trusts.",
    jwt.InvalidAudienceError: "The token is meant for another audience.",
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    Attributes:
        tenant: the id or the slug of the tenant.
        user: the id, external id or verified e-mail address of the user; a service's name.
        role: the most powerful role it names, if it names any.
        operations: the root fields it is limited to; None unless it is a service's.
        expires_at: when it ends.
    """

    tenant: str
    user: str
    role: Role | None
    operations: frozenset[str] | None
    expires_at: datetime


def mint(
    secret: str,
    tenant_id: UUID,
    subject: UUID | str,
    roles: Iterable[Role],
    lifetime: timedelta,
    *,
    operations: Iterable[str] | None = None,
) -> str:
    """A token signed with the shared secret, valid from now for ``lifetime``.

    Args:
        secret: the server's.
        tenant_id: of which tenant.
        subject: the user's id, or the name of a service.
        roles: what it may do, at most what the user's role in the tenant allows; without any, all
            of that. A service needs one.
        lifetime: how long it is valid.
        operations: makes it the token of a service that may call these root fields only.
    """
    now = datetime.now(UTC)
    names = ClaimNames()
    claims: dict[str, Any] = {
        names.user: str(subject),
        names.tenant: str(tenant_id),
        "iat": now,
        "exp": now + lifetime,
    }
    if named := [role.value for role in roles]:
        claims[names.roles] = named
    if operations is not None:
        claims[names.operations] = sorted(operations)
    return jwt.encode(claims, secret, algorithm="HS256")


def bearer(authorization: str | None) -> str:
    """The token of an ``Authorization`` header. Raises DomainError UNAUTHENTICATED."""
    if not authorization:
        raise unauthenticated("Send a token: Authorization: Bearer <token>.")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthenticated("The Authorization header must read: Bearer <token>.")
    token = token.strip()
    if len(token) > MAX_TOKEN or not token.isascii():
        raise unauthenticated(
            f"The token is malformed: it is ASCII of at most {MAX_TOKEN} characters."
        )
    return token


async def verify(token: str, config: IdentityConfig, keys: Keys) -> Claims:
    """What a token says, once its signature, issuer, audience and times are found right.

    Raises:
        DomainError: UNAUTHENTICATED; the message says what is wrong.
    """
    names, issuer = config.claims, config.issuer
    try:
        key = await keys.find(jwt.get_unverified_header(token).get("kid"))
        claims = jwt.decode(
            token,
            key,
            # Of the settings; what the token says of itself is compared with them.
            algorithms=keys.algorithms,
            options={"require": ["exp", "iat"]},
            audience=issuer.audience if issuer else None,
            issuer=issuer.url if issuer else None,
            leeway=config.clock_skew,
        )
    except jwt.PyJWTError as error:
        raise unauthenticated(_explain(error)) from None
    if names.user == "email" and claims.get("email_verified") is not True:
        raise unauthenticated("The token's e-mail address is not verified (email_verified).")
    return Claims(
        tenant=_text(claims, names.tenant),
        user=_text(claims, names.user),
        role=_role(claims, names.roles),
        operations=_operations(claims, names.operations),
        expires_at=datetime.fromtimestamp(min(int(claims["exp"]), YEAR_9999), UTC),
    )


def _explain(error: jwt.PyJWTError) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"The token lacks the claim {error.claim!r}."
    return _EXPLANATIONS.get(type(error), "The token is malformed.")


def _text(claims: dict[str, Any], name: str) -> str:
    found = claims.get(name)
    if found is None:
        raise unauthenticated(f"The token lacks the claim {name!r}.")
    if not isinstance(found, str) or not 0 < len(found) <= MAX_REFERENCE or not storable(found):
        raise unauthenticated(
            f"The token's claim {name!r} is not text of 1 to {MAX_REFERENCE} characters."
        )
    return found


def _role(claims: dict[str, Any], name: str) -> Role | None:
    named = claims.get(name)
    if named is None:
        return None
    # From the most powerful down; roles of other systems mean nothing here.
    for role in reversed(Role):
        if named == role.value or (isinstance(named, list) and role.value in named):
            return role
    raise unauthenticated(f"The token's claim {name!r} names none of: {', '.join(Role)}.")


def _operations(claims: dict[str, Any], name: str) -> frozenset[str] | None:
    named = claims.get(name)
    if named is None:
        return None
    listed = named.split() if isinstance(named, str) else named
    if (
        not isinstance(listed, list)
        or len(listed) > MAX_OPERATIONS
        or not all(isinstance(one, str) for one in listed)
    ):
        raise unauthenticated(
            f"The token's claim {name!r} is no list of at most {MAX_OPERATIONS} root fields."
        )
    return frozenset(listed)
