"""How many items the arguments of a field ask for or hold, before they are coerced."""

from collections.abc import Callable
from typing import Any, TypeAlias

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    value_from_ast_untyped,
)

from graph.limits.cost import MOST

MaybeCount: TypeAlias = Callable[[Any], int | None]
"""How many, given the variables; None if nothing is said."""


class Reader:
    """Reads the arguments of one operation.

    Attributes:
        depends: whether anything that was read depends on a variable.
    """

    def __init__(self, operation: OperationDefinitionNode) -> None:
        self.depends = False
        self._defaults = {
            one.variable.name.value: value_from_ast_untyped(one.default_value)
            for one in operation.variable_definitions or ()
            if one.default_value is not None
        }

    def default(self, variable: VariableNode) -> Any:
        """The default of a variable; None if it has none."""
        return self._defaults.get(variable.name.value)

    def arguments(self, definition: GraphQLField, node: FieldNode) -> "Arguments":
        """The arguments of one field."""
        return Arguments(self, definition, node)


class Arguments:
    """The arguments of one field."""

    def __init__(self, reader: Reader, definition: GraphQLField, node: FieldNode) -> None:
        self._reader = reader
        self._definition = definition
        self._given = {one.name.value: one.value for one in node.arguments or ()}

    def count(self, name: str, *path: str) -> MaybeCount:
        """The number in an argument, or of its items, by the path to it through input objects."""
        argument = self._definition.args[name]
        default = argument.default_value
        how_many = _number if _is_int(argument.type, path) else _items
        if name not in self._given:
            found = how_many(_within(default, path))
            return lambda _: found
        return self._count(self._given[name], path, default, how_many)

    def _count(
        self, node: ValueNode, path: tuple[str, ...], default: Any, how_many: MaybeCount
    ) -> MaybeCount:
        if isinstance(node, VariableNode):
            self._reader.depends = True
            variable = node.name.value
            otherwise = self._reader.default(node)
            if otherwise is None:
                otherwise = default
            return lambda variables: how_many(_within(variables.get(variable, otherwise), path))
        if path and isinstance(node, ObjectValueNode):
            fields = {one.name.value: one.value for one in node.fields}
            if path[0] in fields:
                return self._count(fields[path[0]], path[1:], None, how_many)
            return lambda _: None
        found: int | None = 1
        if path or isinstance(node, NullValueNode):
            found = None
        elif isinstance(node, ListValueNode):
            found = len(node.values)
        elif isinstance(node, IntValueNode) and how_many is _number:
            # The document is valid, and so it is an Int.
            found = _number(int(node.value))
        return lambda _: found


def _within(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _is_int(kind: GraphQLInputType, path: tuple[str, ...]) -> bool:
    for name in path:
        within = get_named_type(kind)
        assert isinstance(within, GraphQLInputObjectType), "paths lead through input objects"
        kind = within.fields[name].type
    return get_nullable_type(kind) is GraphQLInt


def _number(value: Any) -> int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(min(max(value, 0), MOST))
    # Of no number; it is refused when it is coerced. Undefined is graphql-core's for absent.
    return 1 if value else None


def _items(value: Any) -> int | None:
    if isinstance(value, list):
        return len(value)
    # Alone, a value stands for a list of one.
    return None if value is None or value is Undefined else 1
