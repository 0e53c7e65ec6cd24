"""Lists without a model: by engagement, buy boxes and Gower's coefficient of similarity."""

import math
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Select, and_, case, func, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from domain.contract.filters import PropertyFilter
from domain.contract.ranked_lists import Key
from domain.contract.snapshots import BuyBox
from domain.core.base import TenantScoped
from domain.core.work import Work
from domain.properties import search
from domain.properties.rows import PropertyValues
from domain.properties.table import Property
from domain.users import buy_boxes

ENGAGEMENT = "engagement"
"""The ``model_version`` of a recommendation that no model ranked."""

ATTRIBUTES = "attributes"
"""The version in the cursors of a list of similar properties that no model ranked."""

HALF_ENGAGEMENT = 25.0
"""The engagement, in views, that gives a score of one half."""

PLACE_RANGE_KM = 25.0
"""The distance at which two locations count 0."""

LOG_RANGES: dict[str, float] = {"listing_price": 4.0, "square_feet": 4.0}
"""The factor between two values at which they count 0. Values below 1 are taken as 1."""

RANGES: dict[str, float] = {"bedrooms": 4.0, "bathrooms": 4.0, "year_built": 50.0}
"""The difference between two values at which they count 0.

All ranges are fixed. If they were read from the tenant's data, adding or deleting a property would
change the rank of others.
"""

_FLOAT = Float(53)
Row = TypeVar("Row", bound=TenantScoped)


def liked(found: PropertyValues) -> float:
    """The score in [0, 1] for the engagement e with a property: e / (e + 25)."""
    return found.engagement / (found.engagement + HALF_ENGAGEMENT)


def cold_score(found: PropertyValues, box: BuyBox | None) -> float:
    """The score in [0, 1] of a property for an investor without approvals.

    It is that of ``liked``; with a buy box, the mean of that and the share of the stated criteria
    that the property meets.
    """
    if box is None:
        return liked(found)
    share = len(buy_boxes.met(box, found)) / len(buy_boxes.stated(box))
    return (liked(found) + share) / 2


def cold_order(box: BuyBox | None) -> ColumnElement[float]:
    """What orders an investor's list as ``cold_score`` does, as SQL."""
    if box is None:
        # The engagement gives the same order, and has an index.
        return Property.engagement.expression
    share = Property.engagement / (Property.engagement + HALF_ENGAGEMENT)
    return (share + buy_boxes.met_share(box)) / 2.0


def interest(found: PropertyValues, engagement_share: float) -> ColumnElement[float]:
    """The ``cold_score`` of a property for each user, as SQL, given what ``liked`` says of it."""
    own = literal(engagement_share, _FLOAT)
    return func.coalesce((own + buy_boxes.met_share_of(found)) / 2.0, own)


def is_comparable(anchor: PropertyValues) -> bool:
    """Whether anything is known of a property that ``likeness`` compares."""
    names = ("property_type", *LOG_RANGES, *RANGES)
    return _has_place(anchor) or any(getattr(anchor, name) is not None for name in names)


def likeness(anchor: PropertyValues) -> ColumnElement[float]:
    """Gower's coefficient of similarity with the anchor, in [0, 1], as SQL (Gower 1971).

    It is the mean over the attributes that the anchor has. An equal type counts 1, another type 0.
    A number, and the location, counts 1 minus the difference divided by its range, but at least 0;
    for price and size it is the difference of the logarithms. An attribute that the other property
    lacks counts 0, so that two properties are not alike because little is known of one. If the
    anchor has no attributes, the coefficient is 0.
    """
    parts: list[ColumnElement[float]] = []
    if anchor.property_type is not None:
        alike = Property.property_type == anchor.property_type
        parts.append(case((alike, literal(1.0, _FLOAT)), else_=literal(0.0, _FLOAT)))
    for name, times in LOG_RANGES.items():
        if (value := getattr(anchor, name)) is not None:
            column: InstrumentedAttribute[float | None] = getattr(Property, name)
            # Null stays null, which greatest() would pass over.
            amount = case((column > 1, column), (column <= 1, literal(1.0, _FLOAT)))
            own = literal(max(float(value), 1.0), _FLOAT)
            parts.append(_nearness(func.ln(amount) - func.ln(own), math.log(times)))
    for name, width in RANGES.items():
        if (value := getattr(anchor, name)) is not None:
            own = literal(float(value), _FLOAT)
            parts.append(_nearness(getattr(Property, name) - own, width))
    if _has_place(anchor):
        place = (literal(anchor.latitude, _FLOAT), literal(anchor.longitude, _FLOAT))
        parts.append(_nearness(search.distance_km(*place), PLACE_RANGE_KM))
    total: ColumnElement[float] = literal(0.0, _FLOAT)
    for part in parts:
        total += part
    return total / float(len(parts) or 1)


def _has_place(found: PropertyValues) -> bool:
    return found.latitude is not None and found.longitude is not None


def _nearness(difference: ColumnElement[float | None], width: float) -> ColumnElement[float]:
    # Subtracted first, for the quotient of a tiny number is an error in SQL. greatest() passes over
    # null, so that what is not known counts 0.
    return func.greatest(literal(0.0, _FLOAT), (width - func.abs(difference)) / width)


def wanted(where: PropertyFilter, exclude: Collection[UUID]) -> list[ColumnElement[bool]]:
    """Which properties a list is of, as SQL."""
    found = search.matching(where)
    return [*found, search.excluding(exclude)] if exclude else found


@dataclass(frozen=True, slots=True)
class ColdItem(Generic[Row]):
    """A row on a list without a model, and its score."""

    row: Row
    score: float

    @property
    def key(self) -> Key:
        """Where it stands."""
        return Key(-self.score, self.row.id)


class ColdListing(Generic[Row]):
    """Properties or users by a falling score, ties by id; see ``Listing``.

    Args:
        work: opens a unit of work.
        kind: properties or users.
        score: what orders them, as SQL; for the same row always the same.
        wanted: which of them, as SQL.
    """

    def __init__(
        self,
        work: Callable[[], AbstractAsyncContextManager[Work]],
        kind: type[Row],
        score: ColumnElement[float],
        wanted: Collection[ColumnElement[bool]],
    ) -> None:
        self._work = work
        self._id = kind.id
        self._score = score
        self._query = select(kind, score).where(*wanted)

    async def behind(self, key: Key | None, count: int) -> list[ColdItem[Row]]:
        """The first ``count`` behind a key, or of all."""
        query = self._query.order_by(self._score.desc(), self._id).limit(count)
        if key is not None:
            score = -key.value
            tied = and_(self._score == score, self._id > key.id)
            query = query.where(or_(self._score < score, tied))
        return await self._read(query)

    async def before(self, key: Key, count: int) -> list[ColdItem[Row]]:
        """The last ``count`` before a key, in the list's order."""
        score = -key.value
        tied = and_(self._score == score, self._id < key.id)
        query = (
            self._query.where(or_(self._score > score, tied))
            .order_by(self._score, self._id.desc())
            .limit(count)
        )
        return (await self._read(query))[::-1]

    async def _read(self, query: Select[Row, float]) -> list[ColdItem[Row]]:
        async with self._work() as work:
            rows = await work.session.execute(query)
            return [ColdItem(row[0], float(row[1])) for row in rows]
