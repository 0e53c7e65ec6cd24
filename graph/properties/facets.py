"""Facets: how many of the matching properties have each value."""

import math
from itertools import pairwise
from typing import Annotated

import strawberry

from domain.contract.filters import PropertyFilter
from domain.contract.property_search import MOST_VALUES, PRICE, Counts, Facet
from domain.core.errors import invalid
from graph.core.context import Info
from graph.core.directives import QUERY, ListSize, at_most, weight
from graph.properties.loaders import PropertyLoaders

DEFAULT_VALUES = 20
MAX_BOUNDARIES = 50
PRICE_BOUNDARIES = (
    100_000.0, 200_000.0, 300_000.0, 400_000.0, 500_000.0, 750_000.0,
    1_000_000.0, 1_500_000.0, 2_000_000.0, 5_000_000.0,
)  # fmt: skip
"""The price bands where none are asked for: fixed, so that they mean the same in every answer."""

COUNTED = [
    weight(QUERY),
    ListSize(
        assumed_size=DEFAULT_VALUES,
        slicing_arguments=["first"],
        sized_fields=["values"],
        require_one_slicing_argument=False,
    ),
]

FirstValues = Annotated[
    int | None,
    strawberry.argument(
        description="How many values, 1 to 100; 20 if not said. Those of most properties."
    ),
]
Boundaries = Annotated[
    list[float] | None,
    strawberry.argument(
        description="Where bands begin, ascending, 1 to 50 dollar amounts; if absent 100, 200, "
        "300, 400, 500 and 750 thousand, and 1, 1.5, 2 and 5 million."
    ),
]


@strawberry.type
class FacetValue:
    """A value, and how many of the properties have it."""

    value: str = strawberry.field(description="As the filter takes it; numbers in digits.")
    count: int = strawberry.field(description="How many properties.")


@strawberry.type
class ValueFacet:
    """How many of the properties have each value."""

    values: list[FacetValue] = strawberry.field(
        description="The most frequent first, ties by value."
    )
    missing: int = strawberry.field(description="How many properties lack the value.")
    other: int = strawberry.field(description="How many have a value that is not listed here.")


@strawberry.type
class PriceBand:
    """A band of prices, and how many of the properties are in it."""

    min: float | None = strawberry.field(
        description="The smallest price in it; null for the first band."
    )
    max: float | None = strawberry.field(
        description="The price that it ends before; null for the last band."
    )
    count: int = strawberry.field(description="How many properties.")


@strawberry.type
class PriceFacet:
    """How many of the properties are in each band of prices."""

    bands: list[PriceBand] = strawberry.field(description="All of them, ascending, empty ones too.")
    missing: int = strawberry.field(description="How many properties have no price.")


@strawberry.type
class PropertyFacets:
    """How many properties have each value, for a filter's choices.

    Each facet is named as the part of the filter that it leaves out: it says what choosing another
    value there would find, while all other parts hold. All facets are counted together.
    """

    where: strawberry.Private[PropertyFilter]

    @strawberry.field(directives=COUNTED)
    async def property_types(self, info: Info, first: FirstValues = None) -> ValueFacet:
        """By type."""
        return await self._values(info, "property_types", first)

    @strawberry.field(directives=COUNTED)
    async def listing_statuses(self, info: Info, first: FirstValues = None) -> ValueFacet:
        """By where they stand on the market."""
        return await self._values(info, "listing_statuses", first)

    @strawberry.field(directives=COUNTED)
    async def zipcodes(self, info: Info, first: FirstValues = None) -> ValueFacet:
        """By ZIP code."""
        return await self._values(info, "zipcodes", first)

    @strawberry.field(directives=COUNTED)
    async def cities(self, info: Info, first: FirstValues = None) -> ValueFacet:
        """By city."""
        return await self._values(info, "cities", first)

    @strawberry.field(directives=COUNTED)
    async def states(self, info: Info, first: FirstValues = None) -> ValueFacet:
        """By state."""
        return await self._values(info, "states", first)

    @strawberry.field(directives=COUNTED)
    async def bedrooms(self, info: Info, first: FirstValues = None) -> ValueFacet:
        """By how many bedrooms."""
        return await self._values(info, "bedrooms", first)

    @strawberry.field(directives=[weight(QUERY), at_most(MAX_BOUNDARIES + 1, "bands")])
    async def price(self, info: Info, boundaries: Boundaries = None) -> PriceFacet:
        """By listing price."""
        found = _ascending(boundaries)
        counts = await self._count(info, Facet(PRICE, boundaries=found))
        edges = (None, *found, None)
        return PriceFacet(
            bands=[
                PriceBand(min=low, max=high, count=count)
                for (low, high), (_, count) in zip(pairwise(edges), counts.values, strict=True)
            ],
            missing=counts.missing,
        )

    async def _values(self, info: Info, part: str, first: int | None) -> ValueFacet:
        wanted = DEFAULT_VALUES if first is None else first
        if not 1 <= wanted <= MOST_VALUES:
            raise invalid(f"first {wanted}: use 1 to {MOST_VALUES}", "first")
        counts = await self._count(info, Facet(part, wanted))
        return ValueFacet(
            values=[FacetValue(value=value, count=count) for value, count in counts.values],
            missing=counts.missing,
            other=counts.other,
        )

    async def _count(self, info: Info, facet: Facet) -> Counts:
        return await info.context.loaders(PropertyLoaders).facets.load((self.where, facet))


def _ascending(boundaries: list[float] | None) -> tuple[float, ...]:
    if boundaries is None:
        return PRICE_BOUNDARIES
    if not 1 <= len(boundaries) <= MAX_BOUNDARIES:
        raise invalid(
            f"boundaries: {len(boundaries)} amounts; use 1 to {MAX_BOUNDARIES}", "boundaries"
        )
    for place, (low, high) in enumerate(pairwise(boundaries), 1):
        if not low < high:
            raise invalid(
                f"boundaries: {high:g} follows {low:g}; use each once, ascending",
                "boundaries", str(place),
            )  # fmt: skip
    if not all(map(math.isfinite, boundaries)):
        raise invalid("boundaries: use finite numbers", "boundaries")
    return tuple(boundaries)
