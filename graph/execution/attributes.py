"""Attributes of the objects that resolvers return, where they hold the values of fields."""

import inspect
from types import MemberDescriptorType
from typing import Any

from graphql import GraphQLField

from graph.core.strawberry_internals import method_of, schema_definition

READY = "ready"
"""Key in a Strawberry field's metadata: the attribute that may hold what the field's method would
return without arguments, known before it was asked for; None while it is not."""


def ready_of(field: GraphQLField) -> str | None:
    """The attribute that may hold a field's value already; see ``READY``. None without one."""
    if method_of(field) is None:
        return None
    name: str | None = schema_definition(field).metadata.get(READY)
    return name


def reads_plainly(kind: type, attribute: str) -> bool:
    """Whether reading the attribute of an instance runs no code, so that it may be read twice."""
    lookup: Any = kind.__getattribute__
    if lookup is not object.__getattribute__ or hasattr(kind, "__getattr__"):
        return False
    found = inspect.getattr_static(kind, attribute, None)
    return isinstance(found, MemberDescriptorType) or not hasattr(type(found), "__get__")
