"""Who is asking: a bearer token names the tenant, the user or service, and what it may do."""

from graph.identity.authenticator import Authenticator
from graph.identity.config import ClaimNames, IdentityConfig, Issuer
from graph.identity.principal import Principal, root_fields
from graph.identity.tokens import mint

__all__ = [
    "Authenticator",
    "ClaimNames",
    "IdentityConfig",
    "Issuer",
    "Principal",
    "mint",
    "root_fields",
]
