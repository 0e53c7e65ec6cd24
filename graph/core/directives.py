"""What fields cost and how long their lists are, declared in the schema where clients read it.

The directives are those of the GraphQL Cost Directives Specification
(https://ibm.github.io/graphql-specs/cost-spec.html). They are the one place where weights stand:
``graph.limits.pricing`` reads them from the schema, and ``schema.graphql`` prints them.

The unit is a point. An object costs 1, a scalar nothing; a weighted field costs its weight each
time that it is called, on top of the objects which it returns; a list multiplies what is asked of
its items.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import strawberry
from graphql import GraphQLNamedType
from strawberry.schema_directive import Location, schema_directive

from graph.core.strawberry_internals import schema_definition

D = TypeVar("D")

OBJECT_WEIGHT = 1

QUERY = 10
"""A query of its own: a page of rows, a count."""

SEARCH = 20
"""A search for candidates, and a query for the rows found."""

RANKING = 50
"""A ranked list of an investor: a search for candidates and a batch of the model."""

AUDIENCE = 100
"""The investors whom a property would suit: a search, and hundreds of histories and scores."""

WRITE = 10
"""A transaction that writes, and what follows from it."""


@schema_directive(
    locations=[
        Location.FIELD_DEFINITION,
        Location.INPUT_FIELD_DEFINITION,
        Location.ARGUMENT_DEFINITION,
        Location.OBJECT,
    ],
    name="cost",
    description="What is paid in points: for each call of a field on top of the objects that it "
    "returns, for each object of a type (1 if not said), for each item of an input list.",
)
class Cost:
    """Weighs a field, an input field or a type."""

    weight: str = strawberry.field(
        name="weight", description="A whole number of points, at least 0."
    )


@schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    description="How long a list may be.",
)
class ListSize:
    """Sizes the list that a field returns, or those in the object that it returns."""

    assumed_size: int | None = strawberry.field(
        name="assumedSize",
        default=strawberry.UNSET,
        description="The length if no slicing argument is given; it is never exceeded.",
    )
    slicing_arguments: list[str] | None = strawberry.field(
        name="slicingArguments",
        default=strawberry.UNSET,
        description="Arguments that set the length: by their value, or by how many items they "
        "hold. A dot leads into an input object.",
    )
    sized_fields: list[str] | None = strawberry.field(
        name="sizedFields",
        default=strawberry.UNSET,
        description="Which lists of the returned object are meant; the field itself if absent.",
    )
    require_one_slicing_argument: bool | None = strawberry.field(
        name="requireOneSlicingArgument",
        default=strawberry.UNSET,
        description="Whether exactly one slicing argument must be given; so it is if not said.",
    )


def weight(points: int) -> Cost:
    """``@cost``, of so many points."""
    return Cost(weight=str(points))


def page_of(size: int, *arguments: str) -> ListSize:
    """``@listSize`` of a connection: ``size`` edges unless one of the arguments says how many."""
    return ListSize(
        assumed_size=size,
        slicing_arguments=list(arguments),
        sized_fields=["edges"],
        require_one_slicing_argument=False,
    )


def at_most(size: int, *fields: str) -> ListSize:
    """``@listSize`` of a list that is never longer, or of those lists in the returned object."""
    return ListSize(assumed_size=size, sized_fields=list(fields) or strawberry.UNSET)


def as_many_as(argument: str, *fields: str) -> ListSize:
    """``@listSize`` of a list as long as an argument's, or of those lists in the object."""
    return ListSize(slicing_arguments=[argument], sized_fields=list(fields) or strawberry.UNSET)


@dataclass(frozen=True, slots=True)
class Sizes:
    """A ``@listSize`` as it was read."""

    assumed: int | None
    arguments: tuple[str, ...]
    fields: tuple[str, ...]


def declared_weight(definition: Any) -> int | None:
    """The ``@cost`` of a part of a GraphQL schema that strawberry made; None without one."""
    found = _find(definition, Cost)
    return None if found is None else int(found.weight)


def type_weight(kind: GraphQLNamedType) -> int:
    """What one object of the type costs by itself."""
    found = declared_weight(kind)
    return OBJECT_WEIGHT if found is None else found


def declared_sizes(definition: Any) -> Sizes | None:
    """The ``@listSize`` of a field that strawberry made; None without one."""
    found = _find(definition, ListSize)
    if found is None:
        return None
    return Sizes(
        assumed=found.assumed_size or None,
        arguments=tuple(found.slicing_arguments or ()),
        fields=tuple(found.sized_fields or ()),
    )


def _find(definition: Any, kind: type[D]) -> D | None:
    declared: Iterable[object] = getattr(schema_definition(definition), "directives", None) or ()
    return next((one for one in declared if isinstance(one, kind)), None)
