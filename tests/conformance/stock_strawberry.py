"""The least that Strawberry serves, to be audited beside this project's server."""

import logging

import strawberry
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    """A field, since a type needs one."""

    answer: int = 42


@strawberry.type
class Mutation:
    """A mutation, so that one by GET can be refused."""

    @strawberry.mutation
    def double(self, number: int) -> int:
        """Twice the number."""
        return 2 * number


# It would print each refused document.
logging.getLogger("strawberry.execution").disabled = True

app: GraphQL[None, None] = GraphQL(strawberry.Schema(Query, Mutation))
