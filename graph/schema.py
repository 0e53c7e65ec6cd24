"""The schema: what each noun can answer and do. ``python -m graph.schema`` prints it."""

import inspect
from datetime import datetime
from itertools import takewhile

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
)
from strawberry.schema.config import StrawberryConfig

from graph.core.errors import RequestErrorCode
from graph.core.nodes import node_types
from graph.core.queries import NodeQueries
from graph.core.scalars import DATE_TIME
from graph.core.strawberry_internals import (
    StrawberryObjectDefinition,
    graphql_schema,
    schema_definition,
)
from graph.imports.mutations import ImportMutations
from graph.imports.queries import ImportQueries
from graph.interactions.mutations import InteractionMutations
from graph.jobs.mutations import JobMutations
from graph.jobs.queries import JobQueries
from graph.members.mutations import MemberMutations
from graph.members.queries import MemberQueries
from graph.model_registry.mutations import ModelMutations
from graph.model_registry.queries import ModelQueries
from graph.properties.mutations import PropertyMutations
from graph.properties.queries import PropertyQueries
from graph.recommendations.audience import AudienceQueries
from graph.recommendations.queries import RecommendationQueries
from graph.recommendations.reasons import REASONS
from graph.recommendations.similarity import SimilarityQueries
from graph.subscriptions import Subscription
from graph.users.mutations import UserMutations
from graph.users.queries import UserQueries


@strawberry.type
class Query(
    NodeQueries,
    UserQueries,
    MemberQueries,
    PropertyQueries,
    SimilarityQueries,
    RecommendationQueries,
    AudienceQueries,
    ModelQueries,
    JobQueries,
    ImportQueries,
):
    """What can be read, of the caller's tenant alone."""


@strawberry.type
class Mutation(
    InteractionMutations,
    UserMutations,
    PropertyMutations,
    MemberMutations,
    JobMutations,
    ModelMutations,
    ImportMutations,
):
    """What can be done. Each may be repeated with the same effect as once."""


def build_schema() -> strawberry.Schema:
    """A new schema. ``graph.server.operations`` runs it."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*node_types(), *REASONS, RequestErrorCode],
        config=StrawberryConfig(scalar_map={datetime: DATE_TIME}),
    )
    described = graphql_schema(schema)
    _describe(described)
    _drop_null_defaults(described)
    return schema


def _describe(schema: GraphQLSchema) -> None:
    """Describe types and resolved fields to clients in the words of their docstrings."""
    for kind in schema.type_map.values():
        definition = schema_definition(kind)
        if not isinstance(definition, StrawberryObjectDefinition):
            continue
        kind.description = _words(definition.origin)
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field in kind.fields.values():
                resolver = schema_definition(field).base_resolver
                if field.description is None and resolver is not None:
                    field.description = _words(resolver.wrapped_func)


def _words(described: object) -> str:
    """The paragraphs of a docstring that come before what only developers need."""
    paragraphs = (inspect.getdoc(described) or "").split("\n\n")
    apart = ("Args:", "Attributes:", "Raises", "Returns:")
    plain = takewhile(lambda one: not one.startswith(apart), paragraphs)
    return " ".join(" ".join(plain).split())


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """Have optional arguments without ``= null``, which would be said of each and means nothing."""
    for kind in schema.type_map.values():
        optional: list[GraphQLArgument | GraphQLInputField] = []
        if isinstance(kind, GraphQLObjectType):
            optional += [one for field in kind.fields.values() for one in field.args.values()]
        elif isinstance(kind, GraphQLInputObjectType):
            optional += kind.fields.values()
        for one in optional:
            if one.default_value is None:
                one.default_value = Undefined


def main() -> None:
    """Print the schema in GraphQL's own language."""
    print(build_schema().as_str())  # noqa: T201


if __name__ == "__main__":
    main()
