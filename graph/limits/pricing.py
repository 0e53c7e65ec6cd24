"""Works out the price of an operation from the weights and list sizes that the schema declares."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from graph.core.directives import Sizes, declared_sizes, declared_weight, type_weight
from graph.limits.arguments import Arguments, Reader
from graph.limits.cost import Count, Field, Object, Price, Term, Variables
from graph.limits.shape import INTROSPECTION

INTROSPECTED_FIELD = 10
"""What introspection costs for each of its fields, however many types there are."""

Terms: TypeAlias = frozenset[Term]
Selected: TypeAlias = list[tuple[FieldNode, Terms]]
ALWAYS: Terms = frozenset()


class Pricer:
    """Prices the operations of a schema.

    Args:
        schema: made by strawberry, with ``@cost`` and ``@listSize``.

    Raises:
        ValueError: a list of objects has no size; the message names it.
    """

    def __init__(self, schema: GraphQLSchema) -> None:
        if unsized := ", ".join(unsized_lists(schema)):
            raise ValueError(f"lists without @listSize: {unsized}")
        self._schema = schema

    def price(self, document: DocumentNode, operation: OperationDefinitionNode) -> Price:
        """The price of an operation of a valid document."""
        return _Pricing(self._schema, document, operation).price(operation)


def unsized_lists(schema: GraphQLSchema) -> Iterator[str]:
    """The lists of objects whose length neither they declare nor all fields that lead to them."""
    fields = [
        (kind, name, field)
        for kind in schema.type_map.values()
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__")
        for name, field in kind.fields.items()
    ]
    sized_within: dict[str, list[set[str]]] = {}
    for _, _, field in fields:
        sizes = declared_sizes(field)
        within = set(sizes.fields) if sizes else set()
        sized_within.setdefault(get_named_type(field.type).name, []).append(within)
    for kind, name, field in fields:
        sizes = declared_sizes(field)
        by_itself = sizes is not None and not sizes.fields
        by_all = all(name in names for names in sized_within.get(kind.name, [set()]))
        costs = any(not _free(one) for one in _returned(schema, field))
        if _is_list(field) and costs and not by_itself and not by_all:
            yield f"{kind.name}.{name}"


def _is_list(field: GraphQLField) -> bool:
    return is_list_type(get_nullable_type(field.type))


def _free(kind: GraphQLObjectType) -> bool:
    """Whether any number of its objects costs nothing, whatever is asked of them."""
    return type_weight(kind) == 0 and all(
        is_leaf_type(get_named_type(field.type)) and not declared_weight(field)
        for field in kind.fields.values()
    )


def _returned(schema: GraphQLSchema, field: GraphQLField) -> list[GraphQLObjectType]:
    """The objects that a field may return; none for scalars."""
    kind = get_named_type(field.type)
    if is_abstract_type(kind):
        return list(schema.get_possible_types(kind))
    return [kind] if is_object_type(kind) else []


class _Pricing:
    """The pricing of one operation."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode
    ) -> None:
        self._schema = schema
        self._reader = Reader(operation)
        self._fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }

    def price(self, operation: OperationDefinitionNode) -> Price:
        """The price."""
        kind = self._schema.get_root_type(operation.operation)
        assert kind is not None, "the document is valid"
        root = self._object(kind, [(operation.selection_set, ALWAYS)], {})
        # The data itself is no object that anybody asked for.
        root = Object(root.type_name, root.base - type_weight(kind), root.fields, root.typed)
        return Price.of(root, depends=self._reader.depends)

    def _object(
        self,
        kind: GraphQLObjectType,
        selections: Iterable[tuple[SelectionSetNode, Terms]],
        sizes: Mapping[str, Count],
    ) -> Object:
        merged: dict[str, Selected] = {}
        for selection_set, terms in selections:
            self._collect(kind, selection_set, terms, merged, set())
        base, priced, typed = type_weight(kind), [], False
        for key, selected in merged.items():
            name = selected[0][0].name.value
            if name == "__typename":
                typed = typed or key == name
                continue
            field = self._field(kind, name, key, selected, sizes)
            fixed = _fixed(field, certain=is_non_null_type(self._type(kind, name)))
            if fixed is None:
                priced.append(field)
            else:
                base += fixed
        return Object(kind.name, base, tuple(priced), typed)

    def _collect(
        self,
        kind: GraphQLObjectType,
        selection_set: SelectionSetNode,
        terms: Terms,
        into: dict[str, Selected],
        spread: set[tuple[str, Terms]],
    ) -> None:
        for node in selection_set.selections:
            found = self._terms(node, terms)
            if found is None:
                continue
            if isinstance(node, FieldNode):
                into.setdefault((node.alias or node.name).value, []).append((node, found))
                continue
            fragment: InlineFragmentNode | FragmentDefinitionNode
            if isinstance(node, FragmentSpreadNode):
                if (node.name.value, found) in spread:
                    continue
                spread.add((node.name.value, found))
                fragment = self._fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                fragment = node
            if self._applies(fragment, kind):
                self._collect(kind, fragment.selection_set, found, into, spread)

    def _applies(
        self, fragment: InlineFragmentNode | FragmentDefinitionNode, kind: GraphQLObjectType
    ) -> bool:
        if fragment.type_condition is None or fragment.type_condition.name.value == kind.name:
            return True
        condition = self._schema.type_map[fragment.type_condition.name.value]
        return is_abstract_type(condition) and self._schema.is_sub_type(condition, kind)

    def _terms(self, node: Any, terms: Terms) -> Terms | None:
        """What must hold for a selection to be made; None if it never is."""
        for directive in node.directives or ():
            if directive.name.value not in ("skip", "include"):
                continue
            wanted = directive.name.value == "include"
            value = directive.arguments[0].value
            if isinstance(value, BooleanValueNode):
                if value.value is not wanted:
                    return None
            else:
                assert isinstance(value, VariableNode)
                terms |= {(value.name.value, wanted, bool(self._reader.default(value)))}
        return terms

    def _field(
        self,
        kind: GraphQLObjectType,
        name: str,
        key: str,
        selected: Selected,
        sizes: Mapping[str, Count],
    ) -> Field:
        when: frozenset[Terms] = frozenset(terms for _, terms in selected)
        if ALWAYS in when:
            when = frozenset()
        elif when:
            self._reader.depends = True
        if name in INTROSPECTION:
            fields = sum(1 + self._fields(node.selection_set) for node, _ in selected)
            return Field(key, INTROSPECTED_FIELD * fields, (), None, when, ())
        definition = kind.fields[name]
        arguments = self._reader.arguments(definition, selected[0][0])
        declared = declared_sizes(definition)
        length = partial(_length, declared, self._slices(declared, arguments)) if declared else None
        within = dict.fromkeys(declared.fields, length) if declared and length else {}
        selections = [(node.selection_set, terms) for node, terms in selected if node.selection_set]
        return Field(
            key=key,
            weight=declared_weight(definition) or 0,
            inputs=tuple(_weighted(definition, arguments)),
            size=(sizes.get(name) or length) if _is_list(definition) else None,
            when=when,
            objects=tuple(
                self._object(one, selections, within) for one in _returned(self._schema, definition)
            ),
        )

    def _fields(self, selection_set: SelectionSetNode | None) -> int:
        """How many fields are written in a selection, the fragments that it spreads included."""
        found = 0
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FragmentSpreadNode):
                found += self._fields(self._fragments[node.name.value].selection_set)
            else:
                assert isinstance(node, FieldNode | InlineFragmentNode)
                found += isinstance(node, FieldNode) + self._fields(node.selection_set)
        return found

    @staticmethod
    def _type(kind: GraphQLObjectType, name: str) -> GraphQLOutputType | None:
        return kind.fields[name].type if name in kind.fields else None

    @staticmethod
    def _slices(declared: Sizes, arguments: Arguments) -> tuple[Any, ...]:
        return tuple(arguments.count(*path.split(".")) for path in declared.arguments)


def _fixed(field: Field, *, certain: bool) -> int | None:
    """What a field costs wherever its parent is; None if that depends.

    Args:
        field: the field.
        certain: whether it is never null.
    """
    if field.when or field.inputs:
        return None
    if not field.objects:
        return field.weight
    if certain and field.size is None and len(field.objects) == 1 and not field.objects[0].fields:
        return field.weight + field.objects[0].base
    return None


def _length(declared: Sizes, slices: tuple[Any, ...], variables: Variables) -> int:
    given = [count for one in slices if (count := one(variables)) is not None]
    return max(given) if given else declared.assumed or 0


def _weighted(definition: GraphQLField, arguments: Arguments) -> Iterator[tuple[int, Count]]:
    """The weights of a field's arguments and of the fields of its input objects."""
    for name, argument in definition.args.items():
        if weight := declared_weight(argument):
            yield weight, partial(_or_none, arguments.count(name))
        kind = get_named_type(argument.type)
        if isinstance(kind, GraphQLInputObjectType):
            for part, field in kind.fields.items():
                if weight := declared_weight(field):
                    yield weight, partial(_or_none, arguments.count(name, part))


def _or_none(count: Any, variables: Variables) -> int:
    return count(variables) or 0
