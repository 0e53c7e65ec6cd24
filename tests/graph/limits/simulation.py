"""Answers of the real schema without its resolvers: full lists, empty ones and nulls at random."""

from random import Random
from typing import Any

from graphql import (
    GraphQLResolveInfo,
    GraphQLSchema,
    build_schema,
    default_field_resolver,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    print_schema,
)

from graph.core.pagination import DEFAULT_PAGE

LONGEST = {"provenance": 24, "reasons": 3, "gates": 10, "figures": 10, "features": 25}
"""Lists whose length no argument sets. Whatever is missing here is taken to be of a page."""

LEAVES = {"Int": 1, "Float": 0.5, "Boolean": True, "String": "a", "ID": "a", "DateTime": "2026"}

MAX_OBJECTS = 3000


def bare(schema: GraphQLSchema) -> GraphQLSchema:
    """The same schema without resolvers and weights."""
    return build_schema(print_schema(schema))


class World:
    """Resolves each field to something of its type.

    Args:
        seed: of the random choices.
        full: make all lists as long as they can be, and nothing null.
    """

    def __init__(self, seed: int, *, full: bool = False) -> None:
        self._random = Random(seed)
        self._full = full
        self._objects = 0

    def resolve(self, source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        """The value of a field."""
        if info.field_name.startswith("__"):
            return default_field_resolver(source, info, **arguments)
        kind = info.return_type
        if not is_non_null_type(kind) and not self._full and self._random.random() < 0.1:
            return None
        size = _size(source, info, arguments)
        if is_list_type(get_nullable_type(kind)):
            return [self._one(info, size) for _ in range(self._length(size))]
        return self._one(info, size)

    def _length(self, size: int) -> int:
        if self._full:
            return size
        return (
            0 if self._objects > MAX_OBJECTS else self._random.choice([0, min(1, size), size, size])
        )

    def _one(self, info: GraphQLResolveInfo[Any], size: int) -> Any:
        kind: Any = get_named_type(info.return_type)
        if is_abstract_type(kind):
            kind = self._random.choice(info.schema.get_possible_types(kind))
        if is_object_type(kind):
            self._objects += 1
            return {"__typename": kind.name, "size": size}
        return LEAVES.get(kind.name) or next(iter(kind.values))


def _size(source: Any, info: GraphQLResolveInfo[Any], arguments: dict[str, Any]) -> int:
    for sliced in ("first", "last"):
        if arguments.get(sliced) is not None:
            return min(100, max(0, int(arguments[sliced])))
    for listed in ("ids", "propertyIds"):
        if isinstance(arguments.get(listed), list):
            return len(arguments[listed])
    if isinstance(arguments.get("input"), dict):
        for value in arguments["input"].values():
            if isinstance(value, list):
                return len(value)
    if info.field_name in LONGEST:
        return LONGEST[info.field_name]
    # The lists in a connection or payload are as long as its arguments said.
    within = source is not None and not info.parent_type.fields[info.field_name].args
    return source["size"] if within else DEFAULT_PAGE
