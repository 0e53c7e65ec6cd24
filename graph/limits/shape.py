"""How large and how deep a document may be. A stranger can send one, so all of it is bounded.

Checked once a document, before it is validated: to validate is the dearer part, and some of its
rules compare each field with each other one of the same name.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
)

from graph.core.errors import RequestErrorCode

MAX_SOURCE_LENGTH = 50_000
"""Characters; this and the next two are checked by the parser."""
MAX_TOKENS = 3000
MAX_COMMENTS = 1000

MAX_DEPTH = 12
"""Fields within fields; leaves count."""
MAX_ALIASES = 30
MAX_ROOT_FIELDS = 20
MAX_FIELDS = 1000
MAX_FRAGMENTS = 100
INTROSPECTION_ALIAS = 10
"""What an alias counts of or within ``__schema`` and ``__type``, whose lists are the whole schema:
each alias has it written once more."""
MAX_REPEATS = 50
"""How often the document may ask for fields of the same name in an answer."""


INTROSPECTION = ("__schema", "__type")


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of an operation or fragment, what it spreads included.

    Attributes:
        depth: fields within fields.
        fields: how many fields are asked for.
        roots: how many of them are at the top.
        aliases: how many of them have an alias.
    """

    depth: int = 0
    fields: int = 0
    roots: int = 0
    aliases: int = 0

    def beside(self, other: "Shape") -> "Shape":
        """The size of both in one selection."""
        return Shape(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.roots + other.roots,
            self.aliases + other.aliases,
        )


def too_large(document: DocumentNode) -> list[GraphQLError]:
    """Which limits the document exceeds, each with its figure; empty if none."""
    measure = _Measure(document)
    errors = []
    if measure.fragments > MAX_FRAGMENTS:
        return [_refused(f"fragments {measure.fragments}: at most {MAX_FRAGMENTS}")]
    try:
        shapes = list(measure.operations())
    except RecursionError:
        # The parser bounds how deep each definition is, not fragments within fragments.
        return [_refused(f"fragments within fragments, far too deep: at most {MAX_DEPTH} fields")]
    for definition, shape in shapes:
        for name, figure, most in (
            ("depth", shape.depth, MAX_DEPTH),
            ("root fields", shape.roots, MAX_ROOT_FIELDS),
            ("fields", shape.fields, MAX_FIELDS),
            ("aliases", shape.aliases, MAX_ALIASES),
        ):
            if figure > most:
                errors.append(_refused(f"{name} {figure}: at most {most}", definition))
    (name, repeats), *_ = [*measure.names.most_common(1), ("", 0)]
    if repeats > MAX_REPEATS:
        errors.append(
            _refused(f"fields named {name!r} {repeats}: at most {MAX_REPEATS} in one document")
        )
    return errors


def _refused(message: str, node: Node | None = None) -> GraphQLError:
    return GraphQLError(
        message, node, extensions={"code": RequestErrorCode.DOCUMENT_TOO_LARGE.value}
    )


class _Measure:
    """Measures each fragment once, however often it is spread.

    Introspection has no depth: graphql-core has a rule of its own for it, and the usual query of
    tools is deep. A fragment within itself counts as nothing: validation refuses it.
    """

    def __init__(self, document: DocumentNode) -> None:
        self.names: Counter[str] = Counter()
        self._fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        self.fragments = len(self._fragments)
        self._known: dict[str, Shape] = {}
        self._document = document

    def operations(self) -> Iterator[tuple[OperationDefinitionNode, Shape]]:
        """Each operation with its size; fragments that none of them spreads are named, too."""
        for name in self._fragments:
            self._fragment(name)
        for definition in self._document.definitions:
            if isinstance(definition, OperationDefinitionNode):
                yield definition, self.of(definition.selection_set)

    def of(self, selection_set: SelectionSetNode | None) -> Shape:
        """The size of a selection."""
        return reduce(Shape.beside, self._parts(selection_set), Shape())

    def _parts(self, selection_set: SelectionSetNode | None) -> Iterator[Shape]:
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode):
                yield self._field(selection)
            elif isinstance(selection, FragmentSpreadNode):
                yield self._fragment(selection.name.value)
            else:
                yield self.of(selection.selection_set)  # type: ignore[attr-defined]

    def _field(self, node: FieldNode) -> Shape:
        self.names[(node.alias or node.name).value] += 1
        within = self.of(node.selection_set)
        introspects = node.name.value in INTROSPECTION
        aliases = within.aliases + (node.alias is not None)
        return Shape(
            depth=1 if introspects else within.depth + 1,
            fields=within.fields + 1,
            roots=1,
            aliases=aliases * INTROSPECTION_ALIAS if introspects else aliases,
        )

    def _fragment(self, name: str) -> Shape:
        if name not in self._known:
            # Known while it is being measured, so that a cycle ends.
            self._known[name] = Shape()
            if (fragment := self._fragments.get(name)) is not None:
                self._known[name] = self.of(fragment.selection_set)
        return self._known[name]
