"""What tokens are trusted and what their claims are called."""

from dataclasses import dataclass, field
from datetime import timedelta

MIN_SECRET = 32
ASYMMETRIC = ("RS256", "ES256")
"""The algorithms an issuer's keys may be of. Never a symmetric one: its keys are public."""


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """What an issuer calls its claims.

    Attributes:
        tenant: holds the id or the slug of the tenant.
        user: holds the id or the external id of the user; if it is "email", the e-mail address,
            which then counts only beside ``email_verified: true``.
        roles: a role or a list of them, which may narrow the user's role in the tenant.
        operations: makes the token a service's: the root fields that it is limited to, as a list
            or as text with spaces between them.
    """

    tenant: str = "tenant"
    user: str = "sub"
    roles: str = "roles"
    operations: str = "operations"


@dataclass(frozen=True, slots=True)
class Issuer:
    """An OpenID Connect issuer.

    Attributes:
        url: what tokens name as ``iss``, to the letter; the discovery document lies under it.
        audience: what tokens must name as ``aud``, alone or among others.
        jwks_url: where its keys are, instead of where the discovery document says.
        algorithms: what its tokens may be signed with, of ``ASYMMETRIC``.
        https_only: refuse to fetch over plain HTTP.
        claims: what it calls its claims.
    """

    url: str
    audience: str
    jwks_url: str | None = None
    algorithms: tuple[str, ...] = ASYMMETRIC
    https_only: bool = True
    claims: ClaimNames = ClaimNames()

    def __post_init__(self) -> None:
        """Refuse algorithms that mix public keys with shared secrets."""
        if not self.algorithms or not set(self.algorithms) <= set(ASYMMETRIC):
            raise ValueError(f"algorithms {self.algorithms}: use some of {ASYMMETRIC}")


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """Which tokens are trusted: those of an issuer, or those signed with a shared secret.

    Attributes:
        secret: signs HS256 tokens; at least ``MIN_SECRET`` characters.
        issuer: signs RS256 or ES256 tokens; exactly one of the two is given.
        clock_skew: how far the clocks of the issuer and of this server may be apart.
    """

    secret: str | None = field(default=None, repr=False)
    issuer: Issuer | None = None
    clock_skew: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        """Refuse to trust nothing, or two kinds of token at once."""
        if (self.secret is None) == (self.issuer is None):
            raise ValueError("give either a secret or an issuer")
        if self.secret is not None and len(self.secret) < MIN_SECRET:
            raise ValueError(f"the secret needs at least {MIN_SECRET} characters")

    @property
    def claims(self) -> ClaimNames:
        """What the claims are called."""
        return self.issuer.claims if self.issuer else ClaimNames()
