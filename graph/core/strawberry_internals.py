"""Strawberry's internals. No other module reads what Strawberry does not document.

Strawberry turns a class into a GraphQL type and each of its attributes and methods into a field
with a resolver. The functions here read that back: which fields only read an attribute, which call
a method with nothing in between, and which class the values of a type are of.

Anything that does not look exactly as the known version of Strawberry leaves it is unknown: the
functions return None, and the caller takes Strawberry's own way, which is slower and always right.
tests/graph/core/test_strawberry_internals.py names that version and checks each assumption, so that
an upgrade does not make the server slow unnoticed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple

import strawberry
from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import CustomGraphQLEnumType, GraphQLCoreConverter
from strawberry.schema.types import base_scalars
from strawberry.types.arguments import convert_arguments
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE
from strawberry.types.enum import EnumValue
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.union import StrawberryUnion
from strawberry.utils.str_converters import to_camel_case

from graph.core.scalars import DATE_TIME

CAST_ATTRIBUTE = TYPE_CAST_ATTRIBUTE
"""Attribute of an object that ``strawberry.cast`` has marked as one of another type."""

EnumType = CustomGraphQLEnumType
"""Class of the enums of a schema; ``wrapped_cls`` is the Python enum."""

build_resolve_info: Any = StrawberryGraphQLCoreExecutionContext.build_resolve_info
"""Method of Strawberry's executor. It needs only what every executor of graphql-core has, and
``operation_extensions``."""

SCALARS = (
    base_scalars.DateDefinition,
    base_scalars.DateTimeDefinition,
    DATE_TIME,
    base_scalars.TimeDefinition,
    base_scalars.DecimalDefinition,
    base_scalars.UUIDDefinition,
)
"""Scalars whose serialization is known: ``isoformat`` or ``str``."""


class InnerFunction(NamedTuple):
    """A function that Strawberry defines inside another one.

    Attributes:
        module: that defines it.
        name: of the function.
        variables: free variables that are read from its closure.
    """

    module: str
    name: str
    variables: tuple[str, ...] = ()

    def closure_of(self, function: Any) -> dict[str, Any] | None:
        """The values of the variables if it is this function; None of any other function."""
        if type(function) is not FunctionType or function.__name__ != self.name:
            return None
        free = function.__code__.co_freevars
        if function.__module__ != self.module or not set(self.variables) <= set(free):
            return None
        cells = function.__closure__ or ()
        return {name: cells[free.index(name)].cell_contents for name in self.variables}


_CONVERTER = "strawberry.schema.schema_converter"

BASIC_RESOLVER = InnerFunction(_CONVERTER, "_get_basic_result", ("field",))
RESOLVER = InnerFunction(
    _CONVERTER, "_resolver", ("_strawberry_info_from_graphql", "field_exception_handlers")
)
ASYNC_RESOLVER = RESOLVER._replace(name="_async_resolver")
MAKE_INFO = InnerFunction(_CONVERTER, "_strawberry_info_from_graphql", ("field", "self"))
IS_TYPE_OF = InnerFunction(_CONVERTER, "is_type_of")
RESOLVE_INTERFACE = InnerFunction(_CONVERTER, "resolve_type")
RESOLVE_UNION = InnerFunction("strawberry.types.union", "_resolve_union_type")


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


def graphql_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """The schema that graphql-core executes."""
    return schema._schema


def schema_definition(part: Any) -> Any:
    """What Strawberry made a part of a GraphQL schema from; None if it did not make it."""
    return part.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)


def class_definition(kind: type) -> Any:
    """What Strawberry keeps of a decorated class or enum; None of any other class."""
    return getattr(kind, "__strawberry_definition__", None)


def scalar_class(kind: GraphQLLeafType) -> type | None:
    """The Python class of one of ``SCALARS``; None of any other type."""
    definition = schema_definition(kind)
    found: type | None = definition.origin if any(definition is one for one in SCALARS) else None
    return found


def attribute_of(field: GraphQLField) -> str | None:
    """The attribute that a field reads from its source; None if it does anything else."""
    definition = schema_definition(field)
    if type(definition) is not StrawberryField or not definition.is_basic_field or field.args:
        return None
    if definition.default_resolver is not getattr:
        return None
    closure = BASIC_RESOLVER.closure_of(field.resolve)
    if closure is None or closure["field"] is not definition:
        return None
    name: str = definition.python_name
    return name


def method_of(field: GraphQLField) -> Method | None:
    """The method that a field calls; None if anything comes before or after it."""
    definition = schema_definition(field)
    if type(definition) is not StrawberryField or definition.extensions:
        return None
    resolver = definition.base_resolver
    if type(resolver) is not StrawberryResolver or not callable(resolver.wrapped_func):
        return None
    closure = (ASYNC_RESOLVER if definition.is_async else RESOLVER).closure_of(field.resolve)
    if closure is None or closure["field_exception_handlers"]:
        return None
    make_info = closure["_strawberry_info_from_graphql"]
    made = MAKE_INFO.closure_of(make_info)
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


def class_of(kind: GraphQLObjectType) -> type | None:
    """The class of the values of an object type; None if it is not known.

    Resolvers return ``Edge(...)`` for ``Edge[Property]``: its values are of the generic class,
    which several types share. Strawberry's own subclass for the concrete type has no instances.
    """
    definition = schema_definition(kind)
    if type(definition) is not StrawberryObjectDefinition:
        return None
    if kind.is_type_of is not None and IS_TYPE_OF.closure_of(kind.is_type_of) is None:
        return None
    declared = definition.concrete_of or definition
    found: type = declared.origin
    # Exceptions and awaitables mean something else to an executor.
    special = issubclass(found, BaseException) or hasattr(found, "__await__")
    return found if class_definition(found) is declared and not special else None


def classes_of(schema: GraphQLSchema, kind: GraphQLAbstractType) -> dict[type, GraphQLObjectType]:
    """The possible types of an interface or a union, by class; empty if it resolves them itself.

    Types whose class does not tell them from others are left out.
    """
    definition = schema_definition(kind)
    if type(definition) is StrawberryObjectDefinition:
        if RESOLVE_INTERFACE.closure_of(kind.resolve_type) is None:
            return {}
        base: type = definition.origin
    elif type(definition) is StrawberryUnion:
        if RESOLVE_UNION.closure_of(kind.resolve_type) is None:
            return {}
        base = object
    else:
        return {}
    found = {class_of(one): one for one in schema.get_possible_types(kind) if _told_by_class(one)}
    return {one: possible for one, possible in found.items() if one and issubclass(one, base)}


def _told_by_class(kind: GraphQLObjectType) -> bool:
    """Whether Strawberry takes an object of the type's class for one of that type, and no other."""
    definition = schema_definition(kind)
    if class_of(kind) is None or definition.name != kind.name:
        return False
    # Which concrete type an object of a generic class has, Strawberry guesses from its attributes.
    return definition.concrete_of is None and not definition.is_graphql_generic
