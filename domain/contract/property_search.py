"""Searches over a tenant's properties: counts, facets and pages of ordered lists.

One contract, two engines. A catalogue implements ``PropertySearch`` in memory; PostgreSQL answers
the same questions (``domain.properties.search`` and ``domain.properties.facets``), and also those
that no catalogue can answer. One contract test covers both.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from domain.contract.filters import RANGES, PropertyFilter

IN_MEMORY: tuple[str, ...] = (*RANGES.values(), "listed_at")
"""The columns that every engine orders by."""

ORDERABLE: tuple[str, ...] = (*IN_MEMORY, "engagement")
"""The columns that PostgreSQL orders by. A process is not told of changes of ``engagement``."""

PRICE = "price"

VALUE_FACETS: tuple[str, ...] = (
    "property_types",
    "listing_statuses",
    "zipcodes",
    "cities",
    "states",
    "bedrooms",
)
"""The parts of a filter that have a facet beside ``PRICE``."""

MOST_VALUES = 100


@dataclass(frozen=True, slots=True)
class Order:
    """By a column of ``ORDERABLE`` (None: by id); missing values come last, ties go by id."""

    column: str | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """A place between rows of an ordered list: just at the row of this value and id."""

    value: float | datetime | None
    id: UUID


class Facet(NamedTuple):
    """What is to be counted.

    Attributes:
        part: of ``VALUE_FACETS``, or ``PRICE``.
        first: how many values, 1 to ``MOST_VALUES``; those that most properties have.
        boundaries: of ``PRICE``, ascending: a band begins at each and goes up to the next.
    """

    part: str
    first: int = MOST_VALUES
    boundaries: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many properties have each value.

    Attributes:
        values: each value as text with its count, the most frequent first, ties by value; of
            ``PRICE``, instead, the count of each band in order, the first below all boundaries.
        missing: how many have none.
        other: how many have one that is not among the first.
    """

    values: tuple[tuple[str, int], ...]
    missing: int
    other: int


def without(where: PropertyFilter, *parts: str) -> PropertyFilter:
    """The filter without those parts of it."""
    nothing: dict[str, Any] = {part: None if part in RANGES else () for part in parts}
    return replace(where, **nothing)


class PropertySearch(Protocol):
    """Searches over one tenant's properties, all of which are in memory.

    Filters say nothing of ``added``, and orders are by id or a column of ``IN_MEMORY``.
    """

    async def count(self, where: PropertyFilter, exclude: Collection[UUID] = ()) -> int:
        """The number of properties that match and are not excluded."""
        ...

    async def facets(self, where: PropertyFilter, facets: Sequence[Facet]) -> dict[Facet, Counts]:
        """The facets of the properties that match.

        The counts of a facet leave out the filter's own part about it; all other parts hold.
        """
        ...

    async def page(
        self,
        where: PropertyFilter,
        order: Order,
        limit: int,
        *,
        after: Position | None = None,
        before: Position | None = None,
        backward: bool = False,
    ) -> list[Position]:
        """Up to ``limit`` matching properties after and before the given places, in order.

        ``backward`` takes those nearest the end instead of the start.
        """
        ...


ActiveVersion = Callable[[], Awaitable[UUID | None]]
"""Reads the version of a tenant's twin that is active; None if there is none."""


class PropertyMemory(Protocol):
    """The properties that a process holds in memory."""

    async def current(self, tenant_id: UUID, active: ActiveVersion) -> PropertySearch | None:
        """The tenant's properties, with all that was committed before the call.

        Returns None if they are not in memory, or cannot be brought up to date at once. If they
        are not in memory but may be, they begin to load.

        Args:
            tenant_id: the tenant.
            active: reads the tenant's active version; called only if nothing is in memory.
        """
        ...
