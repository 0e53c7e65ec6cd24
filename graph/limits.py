"""How large and how deep a document may be. A stranger can send one, so all of it is bounded."""

from collections.abc import Iterator
from typing import cast

from strawberry.extensions import SchemaExtension
from strawberry.extensions.max_aliases import create_validator as aliases_within
from strawberry.extensions.query_depth_limiter import create_validator as depth_within

PARSER = {"max_source_length": 50_000, "max_lexical_tokens": 3000, "max_comments": 1000}
MAX_DEPTH = 12
MAX_ALIASES = 30

# Made once: a rule class made for each request would be new to the cache of validated documents.
RULES = (depth_within(MAX_DEPTH, None, None), aliases_within(MAX_ALIASES))


class Limits(SchemaExtension):
    """Bounds what is parsed and what is executed."""

    def on_operation(self) -> Iterator[None]:
        """Set the bounds before the document is parsed."""
        context = self.execution_context
        # Strawberry declares one option, which graphql-core has deprecated, and passes them all on.
        cast(dict[str, int], context.parse_options).update(PARSER)
        context.validation_rules = (*context.validation_rules, *RULES)
        yield
