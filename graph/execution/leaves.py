"""Leaf values that can be completed by looking at their exact type alone.

For each scalar and enum whose serialisation is known, the lines of Python that do what
``coerce_output_value`` does for the types that values usually have, and raise ``Unusual`` for all
others: subclasses, numbers out of range, strings where numbers are expected. What is unusual is
not necessarily wrong; the stock executor decides.
"""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLBoolean,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
)

from graph.core.strawberry_internals import EnumType, scalar_class

MAX_FLOAT = 1.7976931348623157e308
EXACT_INTEGERS = 2**53
"""Integers up to here, either way, are floats of the same value."""


class Unusual(Exception):  # noqa: N818 - no error: a question for the stock executor
    """Compiled code met a value that it does not know how to complete."""


_BUILT_IN: dict[GraphQLLeafType, list[str]] = {
    GraphQLString: ["if type({v}) is not str: raise Unusual"],
    GraphQLID: ["if type({v}) is not str: raise Unusual"],
    GraphQLBoolean: ["if {v} is not True and {v} is not False: raise Unusual"],
    GraphQLInt: [
        f"if type({{v}}) is not int or not {GRAPHQL_MIN_INT} <= {{v}} <= {GRAPHQL_MAX_INT}: "
        "raise Unusual"
    ],
    GraphQLFloat: [
        "if type({v}) is float:",
        # Also false of a NaN.
        f"    if not {-MAX_FLOAT} <= {{v}} <= {MAX_FLOAT}: raise Unusual",
        f"elif type({{v}}) is int and {-EXACT_INTEGERS} <= {{v}} <= {EXACT_INTEGERS}:",
        "    {v} = float({v})",
        "else: raise Unusual",
    ],
}

_STRAWBERRY: dict[type, str] = {
    date: "{v}.isoformat()",
    datetime: "{v}.isoformat()",
    time: "{v}.isoformat()",
    Decimal: "str({v})",
    UUID: "str({v})",
}
"""Of Strawberry's own scalars, by their class in Python."""


def leaf_lines(kind: GraphQLLeafType, v: str, namespace: dict[str, Any]) -> list[str] | None:
    """The lines that complete the variable ``v`` in place; None of other leaf types.

    Args:
        kind: a scalar or an enum.
        v: the variable's name. Its value is not None.
        namespace: of the code; what the lines refer to is added to it.
    """
    if (lines := _BUILT_IN.get(kind)) is not None:
        return [line.format(v=v) for line in lines]
    if isinstance(kind, EnumType):
        return _enum_lines(kind, v, namespace)
    exact = scalar_class(kind)
    if exact is None:
        return None
    namespace[exact.__name__] = exact
    return [
        f"if type({v}) is not {exact.__name__}: raise Unusual",
        f"{v} = {_STRAWBERRY[exact].format(v=v)}",
    ]


def _enum_lines(kind: EnumType, v: str, namespace: dict[str, Any]) -> list[str] | None:
    """By the member's name, for a member's hash may be slow or its own."""
    if type(kind) is not EnumType:
        return None
    members: list[Any] = list(kind.wrapped_cls.__members__.values())
    try:
        names = {member._name_: kind.coerce_output_value(member) for member in members}
    except ValueError:
        return None
    namespace[f"enum_{kind.name}"] = kind.wrapped_cls
    namespace[f"names_{kind.name}"] = names
    return [
        f"if type({v}) is not enum_{kind.name}: raise Unusual",
        f"{v} = names_{kind.name}[{v}._name_]",
    ]
