"""From the selections of an operation to Python functions that complete values.

A value is *plain* if its type and selections say that completing it runs no code but ours: a known
leaf, or an object of a known class of which only attributes are read, or a list of such. For plain
values a function is written that returns what the executor would, and raises for anything else
that it meets: a null where there may be none, another class, an awaitable. Since nothing was done
but to read attributes, the executor may then do the same value again in its own way, and so
errors, their paths and the spread of nulls stay the executor's.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from graphql import (
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLIncludeDirective,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLSkipDirective,
    is_abstract_type,
)

from graph.core.strawberry_internals import CAST_ATTRIBUTE, attribute_of, class_of, classes_of
from graph.execution.attributes import reads_plainly, ready_of
from graph.execution.graphql_internals import FieldDetailsList, GroupedFieldSet
from graph.execution.leaves import Unusual, leaf_lines

Complete = Callable[[Any], Any]
Read = Callable[[Any, dict[str, Any]], None]
Collect = Callable[[GraphQLObjectType, FieldDetailsList], GroupedFieldSet]
Selected = tuple[str, FieldDetailsList]
Lines = list[str]

_CONDITIONS = {GraphQLSkipDirective.name, GraphQLIncludeDirective.name}
_CAST = f"if hasattr({{v}}, {CAST_ATTRIBUTE!r}): raise Unusual"
"""Strawberry takes a cast object for one of the type that it was cast to."""


class Run(NamedTuple):
    """Some consecutive fields of an object type.

    Attributes:
        read: adds them all to the result, in order, or raises and adds none; None if they are not
            plain.
        fields: the same, for the executor.
    """

    read: Read | None
    fields: Sequence[Selected]


class Written(NamedTuple):
    """A field of an object and the lines that read it into a variable; None if it is not plain."""

    key: str
    details: FieldDetailsList
    variable: str
    lines: Lines | None


class Compiler:
    """Writes functions for one place in an operation.

    Args:
        schema: made by Strawberry.
        collect: the fields selected of an object type below some field.
        limit: how many fields may be compiled; the others count as not plain.

    Attributes:
        size: how many fields were looked at.
        hopes: whether objects count as plain whose values need to be ready; see
            ``attributes.READY``.
    """

    def __init__(self, schema: GraphQLSchema, collect: Collect, limit: int) -> None:
        self._schema = schema
        self._collect = collect
        self._namespace: dict[str, Any] = {"Unusual": Unusual}
        self._objects: dict[tuple[GraphQLObjectType, int], str | None] = {}
        self._limit = limit
        self.size = 0
        self.hopes = False

    def completion(self, kind: GraphQLOutputType, details: FieldDetailsList) -> Complete | None:
        """A function that completes the values of a field, or raises; None if not all are plain."""
        lines = self._value(kind, details, "v")
        if lines is None:
            return None
        complete: Complete = self._namespace[self._define("v", [*lines, "return v"])]
        return complete

    def runs(self, kind: GraphQLObjectType, fields: GroupedFieldSet) -> list[Run]:
        """The fields of an object, divided into those that are plain and those that are not."""
        written = [
            Written(key, details, f"v{index}", self._field(kind, details, f"v{index}"))
            for index, (key, details) in enumerate(fields.items())
        ]
        runs = []
        for plain, group in groupby(written, key=lambda one: one.lines is not None):
            run = list(group)
            read = self._read(kind, run) if plain else None
            runs.append(Run(read, [(one.key, one.details) for one in run]))
        return runs

    def _read(self, kind: GraphQLObjectType, run: Sequence[Written]) -> Read:
        lines = self._is(kind)
        for one in run:
            lines += one.lines or []
        lines += [f"r[{one.key!r}] = {one.variable}" for one in run]
        read: Read = self._namespace[self._define("o, r", lines)]
        return read

    def _object(self, kind: GraphQLObjectType, details: FieldDetailsList) -> str | None:
        """The name of a function that completes an object; None if not all of it is plain."""
        place = (kind, id(details))
        if place not in self._objects:
            self._objects[place] = self._write_object(kind, details)
        return self._objects[place]

    def _write_object(self, kind: GraphQLObjectType, details: FieldDetailsList) -> str | None:
        first, rest, items = self._is(kind), [], []
        for index, (key, selected) in enumerate(self._collect(kind, details).items()):
            lines = self._field(kind, selected, f"v{index}")
            if lines is None and (ready := self._ready(kind, selected)) is not None:
                # Looked at first of all, so that little is done in vain.
                first.append(f"if o.{ready} is None: raise Unusual")
                lines = self._plain(kind, selected, f"v{index}", ready)
                self.hopes = True
            if lines is None:
                return None
            rest += lines
            items.append(f"{key!r}: v{index}")
        return self._define("o", [*first, *rest, f"return {{{', '.join(items)}}}"])

    def _is(self, kind: GraphQLObjectType) -> list[str]:
        """Lines that raise unless ``o`` is of the type's own class."""
        self._namespace[f"class_{kind.name}"] = class_of(kind)
        lines = [f"if type(o) is not class_{kind.name}: raise Unusual"]
        return [*lines, _CAST.format(v="o")] if kind.is_type_of else lines

    def _field(self, kind: GraphQLObjectType, details: FieldDetailsList, v: str) -> Lines | None:
        """Lines that read a field of ``o`` into a variable; None if it is not plain."""
        nodes = [one.node for one in details]
        name, owner = nodes[0].name.value, class_of(kind)
        self.size += 1
        if owner is None or self.size > self._limit:
            return None
        if any(
            one.name.value not in _CONDITIONS for node in nodes for one in node.directives or ()
        ):
            return None
        if name == "__typename":
            return [f"{v} = {kind.name!r}"]
        field = self._schema.get_field(kind, name)
        attribute = attribute_of(field) if field else None
        return None if attribute is None else self._plain(kind, details, v, attribute)

    def _ready(self, kind: GraphQLObjectType, details: FieldDetailsList) -> str | None:
        """The attribute of ``o`` that may hold a field's value already; None without one."""
        field = self._schema.get_field(kind, details[0].node.name.value)
        given = any(one.node.arguments or one.node.directives for one in details)
        return None if field is None or given else ready_of(field)

    def _plain(
        self, kind: GraphQLObjectType, details: FieldDetailsList, v: str, attribute: str
    ) -> Lines | None:
        """Lines that complete what an attribute of ``o`` holds as the value of a field."""
        field, owner = self._schema.get_field(kind, details[0].node.name.value), class_of(kind)
        if field is None or owner is None or not reads_plainly(owner, attribute):
            return None
        lines = self._value(field.type, details, v)
        return None if lines is None else [f"{v} = o.{attribute}", *lines]

    def _value(self, kind: GraphQLOutputType, details: FieldDetailsList, v: str) -> Lines | None:
        """Lines that complete a variable in place; None if its values are not all plain."""
        if isinstance(kind, GraphQLNonNull):
            return self._present(kind.of_type, details, v)
        lines = self._present(kind, details, v)
        return None if lines is None else [f"if {v} is not None:", *indented(lines)]

    def _present(self, kind: GraphQLOutputType, details: FieldDetailsList, v: str) -> Lines | None:
        if isinstance(kind, GraphQLList):
            return self._list(kind, details, v)
        if isinstance(kind, GraphQLObjectType):
            function = self._object(kind, details)
            return [f"{v} = {function}({v})"] if function else None
        if is_abstract_type(kind):
            return self._abstract(kind, details, v)
        assert isinstance(kind, GraphQLScalarType | GraphQLEnumType)
        return leaf_lines(kind, v, self._namespace)

    def _list(self, kind: GraphQLList[Any], details: FieldDetailsList, v: str) -> Lines | None:
        item = kind.of_type
        function = None
        if isinstance(item, GraphQLNonNull) and isinstance(item.of_type, GraphQLObjectType):
            function = self._object(item.of_type, details)
        elif (lines := self._value(item, details, "v")) is not None:
            function = self._define("v", [*lines, "return v"])
        if function is None:
            return None
        return [
            f"if type({v}) is not list and type({v}) is not tuple: raise Unusual",
            f"{v} = [{function}(item) for item in {v}]",
        ]

    def _abstract(
        self, kind: GraphQLAbstractType, details: FieldDetailsList, v: str
    ) -> Lines | None:
        """By its class; a class that is not known, or not plain, is unusual."""
        functions = {
            found: self._namespace[function]
            for found, possible in classes_of(self._schema, kind).items()
            if (function := self._object(possible, details))
        }
        if not functions:
            return None
        name = f"functions_{len(self._namespace)}"
        self._namespace[name] = functions
        return [
            _CAST.format(v=v),
            f"{v} = {name}[type({v})]({v})",
        ]

    def _define(self, arguments: str, body: Lines) -> str:
        """Make a function, and say its name."""
        name = f"function_{len(self._namespace)}"
        # Only names of the schema, and keys written by repr, ever come into the text.
        source = "\n".join([f"def {name}({arguments}):", *indented(body)])
        exec(compile(source, f"<{name} of an operation>", "exec"), self._namespace)  # noqa: S102
        return name


def indented(lines: Lines) -> Lines:
    """Lines, one step further in."""
    return [f"    {line}" for line in lines]
