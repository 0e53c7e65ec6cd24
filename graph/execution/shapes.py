"""What is known of a schema's types and fields before any value is seen.

Strawberry turns a class into a GraphQL type and each of its attributes and methods into a field
with a resolver. Here that is read back: which fields only read an attribute, which call a method
with nothing in between, and which class the values of an object type are of. Whatever does not
look exactly as Strawberry leaves it is unknown, and left to the stock executor.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MemberDescriptorType
from typing import Any

from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
)
from strawberry.types.arguments import convert_arguments
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.union import StrawberryUnion

from graph.execution.leaves import BACKREF

READY = "ready"
"""Key in a Strawberry field's metadata: the attribute that may hold what the field's method would
return without arguments, known before it was asked for; None while it is not."""


@dataclass(frozen=True, slots=True)
class Method:
    """How the resolver of a field is called.

    Attributes:
        call: the resolver.
        takes_self: whether the source is its first argument.
        source_names: the keywords by which it takes the source as well.
        info_name: the keyword by which it takes the info; None if it does not.
        make_info: Strawberry's info from graphql-core's.
        convert: its keywords from the arguments that graphql-core coerced.
    """

    call: Callable[..., Any]
    takes_self: bool
    source_names: tuple[str, ...]
    info_name: str | None
    make_info: Callable[[GraphQLResolveInfo[Any]], Any]
    convert: Callable[[dict[str, Any]], dict[str, Any]]


def attribute_of(field: GraphQLField) -> str | None:
    """The attribute that a field reads from its source; None if it does anything else."""
    definition = field.extensions.get(BACKREF)
    if type(definition) is not StrawberryField or not definition.is_basic_field or field.args:
        return None
    if definition.default_resolver is not getattr:
        return None
    closure = _closure(field.resolve, "_get_basic_result")
    if closure is None or closure["field"] is not definition:
        return None
    name: str = definition.python_name
    return name


def method_of(field: GraphQLField) -> Method | None:
    """The method that a field calls; None if anything comes before or after it."""
    definition = field.extensions.get(BACKREF)
    if type(definition) is not StrawberryField or definition.extensions:
        return None
    resolver = definition.base_resolver
    if type(resolver) is not StrawberryResolver or not callable(resolver.wrapped_func):
        return None
    closure = _closure(field.resolve, "_async_resolver" if definition.is_async else "_resolver")
    if closure is None or closure["field_exception_handlers"]:
        return None
    make_info = closure["_strawberry_info_from_graphql"]
    made = _closure(make_info, "_strawberry_info_from_graphql")
    if made is None or made["field"] is not definition:
        return None
    converter = made["self"]

    def convert(coerced: dict[str, Any]) -> dict[str, Any]:
        return convert_arguments(
            coerced,
            definition.arguments,
            scalar_registry=converter.scalar_registry,
            config=converter.config,
        )

    sources = (resolver.parent_parameter, resolver.root_parameter)
    return Method(
        call=resolver.wrapped_func,
        takes_self=resolver.self_parameter is not None,
        source_names=tuple(one.name for one in sources if one is not None),
        info_name=resolver.info_parameter.name if resolver.info_parameter else None,
        make_info=make_info,
        convert=convert,
    )


def ready_of(field: GraphQLField) -> str | None:
    """The attribute that may hold a field's value already; see ``READY``. None without one."""
    if method_of(field) is None:
        return None
    name: str | None = field.extensions[BACKREF].metadata.get(READY)
    return name


def class_of(kind: GraphQLObjectType) -> type | None:
    """The class of the values of an object type; None if it is not known.

    Resolvers return ``Edge(...)`` for ``Edge[Property]``: its values are of the generic class,
    which several types share. Strawberry's own subclass for the concrete type has no instances.
    """
    definition = kind.extensions.get(BACKREF)
    if type(definition) is not StrawberryObjectDefinition:
        return None
    if kind.is_type_of is not None and _closure(kind.is_type_of, "is_type_of") is None:
        return None
    declared = definition.concrete_of or definition
    found: type = declared.origin
    # Exceptions and awaitables mean something else to an executor.
    special = issubclass(found, BaseException) or hasattr(found, "__await__")
    own = getattr(found, "__strawberry_definition__", None) is declared
    return found if own and not special else None


def classes_of(schema: GraphQLSchema, kind: GraphQLAbstractType) -> dict[type, GraphQLObjectType]:
    """The possible types of an interface or a union, by class; empty if it resolves them itself.

    Types whose class does not tell them from others are left out.
    """
    definition = kind.extensions.get(BACKREF)
    if type(definition) is StrawberryObjectDefinition:
        if _closure(kind.resolve_type, "resolve_type") is None:
            return {}
        base: type = definition.origin
    elif type(definition) is StrawberryUnion:
        if _closure(kind.resolve_type, "_resolve_union_type") is None:
            return {}
        base = object
    else:
        return {}
    found = {class_of(one): one for one in schema.get_possible_types(kind) if _told_by_class(one)}
    return {one: possible for one, possible in found.items() if one and issubclass(one, base)}


def _told_by_class(kind: GraphQLObjectType) -> bool:
    """Whether Strawberry takes an object of the type's class for one of that type, and no other."""
    definition: Any = kind.extensions.get(BACKREF)
    if class_of(kind) is None or definition.name != kind.name:
        return False
    # Which concrete type an object of a generic class has, Strawberry guesses from its attributes.
    return definition.concrete_of is None and not definition.is_graphql_generic


def reads_plainly(kind: type, attribute: str) -> bool:
    """Whether reading the attribute of an instance runs no code, so that it may be read twice."""
    lookup: Any = kind.__getattribute__
    if lookup is not object.__getattribute__ or hasattr(kind, "__getattr__"):
        return False
    found = inspect.getattr_static(kind, attribute, None)
    return isinstance(found, MemberDescriptorType) or not hasattr(type(found), "__get__")


def _closure(function: Any, name: str) -> dict[str, Any] | None:
    """What one of Strawberry's own inner functions refers to; None of any other function."""
    if type(function) is not FunctionType or function.__name__ != name:
        return None
    if function.__module__ not in ("strawberry.schema.schema_converter", "strawberry.types.union"):
        return None
    cells = function.__closure__ or ()
    return {
        name: cell.cell_contents
        for name, cell in zip(function.__code__.co_freevars, cells, strict=True)
    }
