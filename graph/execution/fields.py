"""What the fields of an operation do, found out once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    Undefined,
    is_abstract_type,
    is_required_argument,
)

from graph.core.strawberry_internals import (
    CAST_ATTRIBUTE,
    Method,
    attribute_of,
    class_of,
    classes_of,
    method_of,
)
from graph.execution.compiler import Collect, Compiler, Complete, Read
from graph.execution.graphql_internals import CollectedFields, FieldDetailsList, GroupedFieldSet


class Selected(NamedTuple):
    """What is selected of the objects of a class.

    Attributes:
        kind: their type.
        fields: below the field whose values they are.
        castable: whether Strawberry would take an object that was cast for one of another type.
    """

    kind: GraphQLObjectType
    fields: GroupedFieldSet
    castable: bool


class Objects(NamedTuple):
    """Values that are objects, some of whose fields are not plain, or lists of such.

    Attributes:
        item_type: of the items of a list; None if the value is no list.
        by_class: what is selected of them.
    """

    item_type: GraphQLOutputType | None
    by_class: dict[type, Selected]

    def selected(self, value: Any) -> Selected | None:
        """What is selected of an object; None if it is nothing that is known."""
        found = self.by_class.get(type(value))
        if found is not None and found.castable and hasattr(value, CAST_ATTRIBUTE):
            return None
        return found


class KnownField(NamedTuple):
    """A field of an operation.

    Attributes:
        parent: the type that has it.
        definition: the schema's.
        type: the field's.
        details: where the operation asks for it.
        nodes: the same, as resolvers are told.
        attribute: that it reads; None if it does anything else.
        method: that it calls; None if it does anything else.
        arguments: of the method or the attribute: empty, or None if they are not known.
        complete: completes its values, or raises; None if they are not plain.
        objects: how its values are completed otherwise; None if only graphql-core knows.
    """

    parent: GraphQLObjectType
    definition: GraphQLField
    type: GraphQLOutputType
    details: FieldDetailsList
    nodes: list[FieldNode]
    attribute: str | None
    method: Method | None
    arguments: dict[str, Any] | None
    complete: Complete | None
    objects: Objects | None


class Step(NamedTuple):
    """Some consecutive fields of an object type.

    Attributes:
        read: adds them all to the result, in order, or raises and adds none; None if they are not
            plain.
        fields: the same one by one, by their keys; None for those that ``read`` should do.
    """

    read: Read | None
    fields: list[tuple[str, FieldDetailsList, KnownField | None]]


@dataclass(slots=True)
class Budget:
    """How many fields may still be compiled for an operation."""

    left: int


@dataclass(slots=True)
class Variant:
    """What is known of an operation, given which of its fields @skip and @include leave.

    Lists of field details are known by their identity; ``root`` and ``sub_fields`` keep them.
    """

    budget: Budget
    root: GroupedFieldSet | None = None
    sub_fields: dict[tuple[GraphQLObjectType, int], tuple[FieldDetailsList, CollectedFields]] = (
        field(default_factory=dict)
    )
    fields: dict[int, KnownField] = field(default_factory=dict)
    steps: dict[int, list[Step]] = field(default_factory=dict)


class Learner:
    """Finds out what is not known of a variant yet.

    Args:
        schema: made by Strawberry.
        variant: of an operation.
        collect: the fields selected of an object type below some field.
    """

    def __init__(self, schema: GraphQLSchema, variant: Variant, collect: Collect) -> None:
        self._schema = schema
        self._variant = variant
        self._collect = collect

    def field(self, parent: GraphQLObjectType, details: FieldDetailsList) -> KnownField:
        """What a field does."""
        known = self._variant.fields.get(id(details))
        if known is None:
            known = self._field(parent, details)
            self._variant.fields[id(details)] = known
        return known

    def steps(self, kind: GraphQLObjectType, fields: GroupedFieldSet) -> list[Step]:
        """How the fields of an object are executed."""
        runs = self._compile(lambda compiler: compiler.runs(kind, fields))
        steps = []
        for read, selected in runs:
            known = [
                (key, details, self.field(kind, details) if read is None else None)
                for key, details in selected
            ]
            steps.append(Step(read, known))
        self._variant.steps[id(fields)] = steps
        return steps

    def _field(self, parent: GraphQLObjectType, details: FieldDetailsList) -> KnownField:
        nodes = [one.node for one in details]
        definition = self._schema.get_field(parent, nodes[0].name.value)
        assert definition is not None, "the document was validated"
        kind = definition.type
        complete, hopes = self._compile(
            lambda compiler: (compiler.completion(kind, details), compiler.hopes)
        )
        attribute, method = attribute_of(definition), method_of(definition)
        return KnownField(
            parent=parent,
            definition=definition,
            type=kind,
            details=details,
            nodes=nodes,
            attribute=attribute,
            method=method,
            arguments={} if (attribute or method) and _takes_nothing(definition, nodes) else None,
            complete=complete,
            objects=self._objects(kind, details) if complete is None or hopes else None,
        )

    def _objects(self, kind: GraphQLOutputType, details: FieldDetailsList) -> Objects | None:
        named: Any = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        item_type = None
        if isinstance(named, GraphQLList):
            item_type = named.of_type
            named = item_type.of_type if isinstance(item_type, GraphQLNonNull) else item_type
        if isinstance(named, GraphQLObjectType):
            owner = class_of(named)
            possible = {} if owner is None else {owner: named}
        else:
            possible = classes_of(self._schema, named) if is_abstract_type(named) else {}
        by_class = {
            owner: Selected(
                one,
                self._collect(one, details),
                castable=one is not named or one.is_type_of is not None,
            )
            for owner, one in possible.items()
        }
        return Objects(item_type, by_class) if by_class else None

    def _compile(self, what: Callable[[Compiler], Any]) -> Any:
        budget = self._variant.budget
        compiler = Compiler(self._schema, self._collect, budget.left)
        made = what(compiler)
        budget.left = max(0, budget.left - compiler.size)
        return made


def _takes_nothing(definition: GraphQLField, nodes: list[FieldNode]) -> bool:
    """Whether the resolver gets no argument, given or by default."""
    return not nodes[0].arguments and all(
        one.default is None and one.default_value is Undefined and not is_required_argument(one)
        for one in definition.args.values()
    )
