"""Lists of properties: filtered, ordered, counted and paged in SQL."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Float, case, cast, func, or_, select
from sqlalchemy import column as sql_column
from sqlalchemy.orm import InstrumentedAttribute

from domain.filters import RANGES, Polygon, PropertyFilter, Range
from domain.properties import Property
from domain.work import Work

EARTH_RADIUS_KM = 6371.0088
KM_PER_DEGREE = 111.19


def _within(
    column: InstrumentedAttribute[Any], wanted: Range | None
) -> Iterator[ColumnElement[bool]]:
    if wanted is None:
        return
    if wanted.min is not None:
        yield column >= wanted.min
    if wanted.max is not None:
        yield column <= wanted.max


def matching(where: PropertyFilter) -> list[ColumnElement[bool]]:
    """The filter as SQL conditions, all of which must hold."""
    conditions: list[ColumnElement[bool]] = []
    for wanted, values in (
        (Property.id, where.ids),
        (Property.external_id, where.external_ids),
        (Property.property_type, where.property_types),
        (Property.listing_status, where.listing_statuses),
        (Property.zipcode, where.zipcodes),
        (Property.city, where.cities),
        (Property.state, where.states),
    ):
        if values:
            conditions.append(wanted.in_(values))
    if where.exclude_ids:
        conditions.append(Property.id.not_in(where.exclude_ids))
    if where.listed_after is not None:
        conditions.append(Property.listed_at > where.listed_after)
    if where.listed_before is not None:
        conditions.append(Property.listed_at < where.listed_before)
    for part, name in RANGES.items():
        conditions.extend(_within(getattr(Property, name), getattr(where, part)))
    if where.renovation_needed is not None:
        conditions.append(Property.renovation_needed == where.renovation_needed)
    if where.owned is not None:
        conditions.append(Property.owners > 0 if where.owned else Property.owners == 0)
    if where.box is not None:
        box = where.box
        conditions.extend(_within_box(box.south, box.west, box.north, box.east))
    if where.circle is not None:
        circle = where.circle
        reach = circle.radius_km / KM_PER_DEGREE
        # The band of latitude can use an index; the great circle decides.
        conditions.append(
            Property.latitude.between(circle.latitude - reach, circle.latitude + reach)
        )
        conditions.append(_distance_km(circle.latitude, circle.longitude) <= circle.radius_km)
    if where.polygon is not None:
        latitudes, longitudes = zip(*where.polygon.corners, strict=True)
        # The box can use an index; the polygon decides.
        conditions.extend(
            _within_box(min(latitudes), min(longitudes), max(latitudes), max(longitudes))
        )
        conditions.append(_winding_number(where.polygon) != 0)
    # Last, for no index helps: under row-level security LIKE may not see rows before the policy.
    conditions.extend(Property.search.like(f"% {word}%") for word in where.words)
    return conditions


def _within_box(
    south: float, west: float, north: float, east: float
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Property.latitude.between(south, north), Property.longitude.between(west, east)


def _winding_number(polygon: Polygon) -> ColumnElement[int]:
    """How often the polygon winds around the property, counted on the lines that it is beside."""
    corners = polygon.corners
    following = (*corners[1:], corners[0])
    line = (
        func.unnest(
            *(
                cast(values, ARRAY(Float(53)))
                for pair in (corners, following)
                for values in map(list, zip(*pair, strict=True))
            )
        )
        .table_valued(*(sql_column(side, Float(53)) for side in ("south", "west", "north", "east")))
        .render_derived()
    )
    start, end = line.c.south, line.c.north
    turn = (line.c.east - line.c.west) * (Property.latitude - start) - (
        Property.longitude - line.c.west
    ) * (end - start)
    crossing = case(
        ((start <= Property.latitude) & (end > Property.latitude) & (turn > 0), 1),
        ((start > Property.latitude) & (end <= Property.latitude) & (turn < 0), -1),
        else_=0,
    )
    return select(func.sum(crossing)).select_from(line).correlate(Property).scalar_subquery()


def _distance_km(latitude: float, longitude: float) -> ColumnElement[float]:
    # Haversine; least() keeps rounding from leaving the domain of asin.
    half_latitude = func.radians(Property.latitude - latitude) / 2
    half_longitude = func.radians(Property.longitude - longitude) / 2
    chord = func.power(func.sin(half_latitude), 2) + func.cos(func.radians(latitude)) * func.cos(
        func.radians(Property.latitude)
    ) * func.power(func.sin(half_longitude), 2)
    return 2 * EARTH_RADIUS_KM * func.asin(func.sqrt(func.least(1.0, chord)))


async def count(
    work: Work,
    where: PropertyFilter = PropertyFilter(),  # noqa: B008
    exclude: Collection[UUID] = (),
) -> int:
    """How many properties match, without those excluded."""
    query = select(func.count()).select_from(Property).where(*matching(where))
    if exclude:
        query = query.where(Property.id.not_in(exclude))
    return await work.session.scalar(query) or 0


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


ORDERABLE: tuple[str, ...] = (
    "listing_price",
    "estimated_value",
    "price_per_square_foot",
    "cap_rate",
    "cash_on_cash_return",
    "bedrooms",
    "bathrooms",
    "square_feet",
    "lot_square_feet",
    "year_built",
    "days_on_market",
    "condition_score",
    "listed_at",
    "engagement",
)


def position(found: Property, order: Order) -> Position:
    """Where a property stands in that order."""
    return Position(getattr(found, order.column) if order.column else None, found.id)


def _beyond(order: Order, place: Position, *, backward: bool) -> ColumnElement[bool]:
    same_value_beyond = Property.id < place.id if backward else Property.id > place.id
    if order.column is None:
        return same_value_beyond
    column: InstrumentedAttribute[Any] = getattr(Property, order.column)
    if place.value is None:
        missing_beyond = column.is_(None) & same_value_beyond
        return or_(column.is_not(None), missing_beyond) if backward else missing_beyond
    smaller = order.descending != backward
    beyond = column < place.value if smaller else column > place.value
    tied = (column == place.value) & same_value_beyond
    return or_(beyond, tied) if backward else or_(beyond, tied, column.is_(None))


async def page(
    work: Work,
    where: PropertyFilter,
    order: Order,
    limit: int,
    *,
    exclude: Collection[UUID] = (),
    after: Position | None = None,
    before: Position | None = None,
    backward: bool = False,
) -> list[Property]:
    """Up to ``limit`` matching properties after and before the given places, in order.

    ``backward`` takes those nearest the end instead of the start.
    """
    query = select(Property).where(*matching(where)).limit(limit)
    if exclude:
        query = query.where(Property.id.not_in(exclude))
    if after is not None:
        query = query.where(_beyond(order, after, backward=False))
    if before is not None:
        query = query.where(_beyond(order, before, backward=True))
    if order.column is not None:
        column: InstrumentedAttribute[Any] = getattr(Property, order.column)
        ascending = order.descending == backward
        by_value = column.asc() if ascending else column.desc()
        query = query.order_by(by_value.nulls_first() if backward else by_value.nulls_last())
    query = query.order_by(Property.id.desc() if backward else Property.id)
    rows = list(await work.session.scalars(query))
    return rows[::-1] if backward else rows
