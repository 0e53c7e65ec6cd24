"""How many items the arguments of a field ask for or hold, before they are coerced."""

from collections.abc import Callable
from typing import Any, TypeAlias

from graphql import (
    FieldNode,
    GraphQLField,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    ValueNode,
    VariableNode,
    value_from_ast_untyped,
)

MOST = 2**31 - 1
"""What an Int can hold; nothing above it is ever executed."""

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
        default = self._definition.args[name].default_value
        if name not in self._given:
            found = _how_many(_within(default, path))
            return lambda _: found
        return self._count(self._given[name], path, default)

    def _count(self, node: ValueNode, path: tuple[str, ...], default: Any) -> MaybeCount:
        if isinstance(node, VariableNode):
            self._reader.depends = True
            variable = node.name.value
            otherwise = self._reader.default(node)
            if otherwise is None:
                otherwise = default
            return lambda variables: _how_many(_within(variables.get(variable, otherwise), path))
        if path and isinstance(node, ObjectValueNode):
            fields = {one.name.value: one.value for one in node.fields}
            if path[0] in fields:
                return self._count(fields[path[0]], path[1:], None)
            return lambda _: None
        found: int | None = 1
        if path or isinstance(node, NullValueNode):
            found = None
        elif isinstance(node, ListValueNode):
            found = len(node.values)
        elif isinstance(node, IntValueNode):
            found = _how_many(int(node.value))
        return lambda _: found


def _within(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _how_many(value: Any) -> int | None:
    if isinstance(value, list):
        return len(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(min(max(value, 0), MOST))
    # Alone, a value stands for a list of one. Undefined is graphql-core's word for absent.
    return 1 if value else None
