"""How large and how deep a document may be. A stranger can send one, so all of it is bounded."""

from strawberry.extensions.max_aliases import create_validator as aliases_within
from strawberry.extensions.query_depth_limiter import create_validator as depth_within

MAX_SOURCE_LENGTH = 50_000
MAX_TOKENS = 3000
MAX_COMMENTS = 1000
MAX_DEPTH = 12
MAX_ALIASES = 30

RULES = (depth_within(MAX_DEPTH, None, None), aliases_within(MAX_ALIASES))
"""Checked with the rules of the specification."""
