"""The server's own types behind a query type of their own, for tests that compare executors."""

from typing import Any

import strawberry
from graphql import GraphQLSchema

from domain.core.errors import DomainError, not_found
from graph.core.nodes import Node
from graph.core.strawberry_internals import graphql_schema
from graph.properties.types import Property, PropertyConnection
from graph.recommendations.reasons import REASONS, Reason
from graph.recommendations.similarity import SimilarPropertyConnection
from graph.recommendations.types import Affinity, RecommendationConnection
from graph.users.types import User
from tests.graph.execution.values import Later, Maker


class Loader:
    """Knows what it is asked, half of the time."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker

    def __call__(self, key: Any) -> Any:
        """Where a method of the loaders is meant."""
        return self.load(key)

    def load(self, _key: Any) -> Any:
        random = self._maker.random
        found = [0.5, None, [0.25, 0.5], not_found("property", ("id",)), "wrong", []]
        return Later(random.choice(found))


class Loaders:
    """As many as are asked for."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker

    def __getattr__(self, name: str) -> Loader:
        return Loader(self._maker)


class OurContext:
    """What the server's resolvers need of theirs."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.calls: list[str] = []

    def loaders(self, _kind: type) -> Loaders:
        """Those of any noun."""
        return Loaders(self.maker)

    def make(self, info: Any) -> Any:
        """A value of the field's type."""
        self.calls.append(str(info.path.as_list()))
        return self.maker.make(info._raw_info.return_type)

    def investor(self, user_id: str | None, *field: str) -> str | None:
        """Whoever it is."""
        self.calls.append(f"investor {user_id} {field}")
        if user_id == "x":
            raise DomainError.__new__(DomainError)
        return user_id


Info = strawberry.Info[Any, None]


def build_ours() -> GraphQLSchema:
    """A schema of the server's types, whose values a context makes."""

    async def recommendations(info: Info) -> RecommendationConnection:
        made: RecommendationConnection = info.context.make(info)
        return made

    def properties(info: Info, first: int = 2) -> PropertyConnection:
        made: PropertyConnection = info.context.make(info)
        return made

    async def similar(info: Info) -> SimilarPropertyConnection:
        made: SimilarPropertyConnection = info.context.make(info)
        return made

    def affinity(info: Info) -> list[Affinity]:
        made: list[Affinity] = info.context.make(info)
        return made

    def node(info: Info) -> Node | None:
        made: Node | None = info.context.make(info)
        return made

    async def reasons(info: Info) -> list[Reason]:
        made: list[Reason] = info.context.make(info)
        return made

    def me(info: Info) -> User:
        made: User = info.context.make(info)
        return made

    resolvers = (recommendations, properties, similar, affinity, node, reasons, me)
    fields = {one.__name__: strawberry.field(resolver=one) for one in resolvers}
    query = strawberry.type(type("Query", (), fields))
    return graphql_schema(strawberry.Schema(query, types=[Property, User, *REASONS]))
