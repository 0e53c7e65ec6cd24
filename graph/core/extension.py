"""How a higher noun adds to the types of a lower one, which does not know of it.

Call these when the higher noun's module is imported: a schema has what was added before it was
built.
"""

from collections.abc import Callable
from enum import EnumMeta, StrEnum
from typing import Any, TypeVar, cast

import strawberry
from strawberry.types import get_object_definition

from graph.core.strawberry_internals import (
    EnumValue,
    StrawberryField,
    class_definition,
    to_camel_case,
)

F = TypeVar("F", bound=Callable[..., Any])


def extend(kind: type, name: str, /, **options: Any) -> Callable[[F], F]:
    """Add a field to an object type: the function that this decorates resolves it.

    The function takes the object as ``strawberry.Parent[kind]``.

    Args:
        kind: the object type.
        name: of the field, in snake case.
        options: as for ``strawberry.field``.

    Raises:
        ValueError: the type has such a field.
    """

    def add(resolver: F) -> F:
        field = strawberry.field(resolver=resolver, **options)
        _add(kind, strawberry.type(type(f"{kind.__name__}_{name}", (), {name: field})))
        return resolver

    return add


def extend_input(kind: type, name: str, annotation: Any, /, **options: Any) -> None:
    """Add an optional field to an input type; its values are None unless a client gives them.

    ``options`` are as for ``strawberry.field``.

    Raises:
        ValueError: the type has such a field.
    """
    field: Any = strawberry.field(default=None, **options)
    namespace = {"__annotations__": {name: annotation}, name: field}
    _add(kind, strawberry.input(type(f"{kind.__name__}_{name}", (), namespace)))
    extended: Any = kind
    plain = extended.__init__

    def with_field(self: Any, *given: Any, **named: Any) -> None:
        setattr(self, name, named.pop(name, None))
        plain(self, *given, **named)

    extended.__init__ = with_field


def extend_enum(kind: type[StrEnum], name: str, value: str, description: str) -> None:
    """Add a value to an enum that only inputs have; resolvers get a member of another class.

    Raises:
        ValueError: the enum has such a value.
    """
    definition = class_definition(kind)
    members = {one.name: one.value for one in definition.wrapped_cls}
    if name in members or value in members.values():
        raise ValueError(f"{kind.__name__} has {name} or {value!r} already")
    definition.values = [*definition.values, EnumValue(name, value, description=description)]
    definition.wrapped_cls = cast(EnumMeta, StrEnum(kind.__name__, members | {name: value}))


def _add(kind: type, addition: type) -> None:
    fields = get_object_definition(kind, strict=True).fields
    (field,) = get_object_definition(addition, strict=True).fields
    if _name(field) in map(_name, fields):
        raise ValueError(f"{kind.__name__} has the field {_name(field)} already")
    fields.append(field)


def _name(field: StrawberryField) -> str:
    return field.graphql_name or to_camel_case(field.python_name)
