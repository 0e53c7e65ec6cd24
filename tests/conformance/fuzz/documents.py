"""Random documents of a schema."""

from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_non_null_type,
)

from tests.conformance.fuzz.messages import World
from tests.conformance.fuzz.values import fitting, literal

MAX_LEVELS = 6
MAX_FIELDS = 5


class Documents:
    """Makes documents, with values as literals or as variables.

    Args:
        rng: makes all choices.
        world: whose schema is asked.
    """

    def __init__(self, rng: Random, world: World) -> None:
        self._rng = rng
        self._world = world
        self._enums = enum_values(world.schema)
        self.declared: dict[str, str] = {}
        self.variables: dict[str, Any] = {}

    def operation(self, kind: str = "query") -> str:
        """A document of one operation that fits the schema; its variables are noted."""
        schema = self._world.schema
        root = schema.mutation_type if kind == "mutation" else schema.query_type
        assert root is not None
        selection = self.selection(root, 1)
        declared = ", ".join(f"${name}: {kind}" for name, kind in self.declared.items())
        return f"{kind} Fuzz{f'({declared})' if declared else ''} {selection}"

    def selection(self, kind: GraphQLNamedType, level: int) -> str:
        """A selection set on a type."""
        if not isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            return "{ __typename }"
        rng = self._rng
        chosen = rng.sample(list(kind.fields), min(len(kind.fields), rng.randint(1, MAX_FIELDS)))
        parts = [self.field(name, kind.fields[name], level) for name in chosen]
        parts = [part for part in parts if part]
        if isinstance(kind, GraphQLInterfaceType) and level < MAX_LEVELS:
            concrete = rng.choice(self._world.schema.get_possible_types(kind))
            parts.append(f"... on {concrete.name} {self.selection(concrete, level + 1)}")
        if not parts or rng.random() < 0.2:
            parts.append("__typename")
        return "{ " + " ".join(parts) + " }"

    def field(self, name: str, definition: GraphQLField, level: int) -> str:
        """One field with its arguments and selection; empty if it would be too deep."""
        rng = self._rng
        kind = get_named_type(definition.type)
        if not is_leaf_type(kind) and level >= MAX_LEVELS:
            return ""
        arguments = ", ".join(
            f"{argument}: {self.value(one.type)}"
            for argument, one in definition.args.items()
            if is_non_null_type(one.type) or rng.random() < 0.4
        )
        alias = f"a{rng.randrange(10**6)}: "
        directive = rng.choice(("", "", "", " @include(if: true)", " @skip(if: false)"))
        selection = "" if is_leaf_type(kind) else " " + self.selection(kind, level + 1)
        return f"{alias}{name}{f'({arguments})' if arguments else ''}{directive}{selection}"

    def value(self, kind: Any) -> str:
        """A value of an argument, in the text or as a new variable."""
        value = fitting(self._rng, self._world, kind)
        if self._rng.random() < 0.5:
            return literal(value, self._enums)
        name = f"v{len(self.declared)}"
        self.declared[name] = str(kind)
        self.variables[name] = value
        return f"${name}"


def enum_values(schema: GraphQLSchema) -> frozenset[str]:
    """The names of all enum values, which stand in documents without quotes."""
    enums = (kind for kind in schema.type_map.values() if isinstance(kind, GraphQLEnumType))
    return frozenset(name for enum in enums for name in enum.values)
