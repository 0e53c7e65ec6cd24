"""Lists of properties: filtered, ordered, counted and paged in SQL."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    all_,
    any_,
    func,
    literal,
    literal_column,
    or_,
    select,
)
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
            conditions.append(wanted == any_(_array(wanted, values)))
    if where.exclude_ids:
        conditions.append(excluding(where.exclude_ids))
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


def _array(column: InstrumentedAttribute[Any], values: Collection[Any]) -> ColumnElement[Any]:
    """The values as one parameter, so that lists of any length make one statement.

    With a parameter each, a thousand ids took seven milliseconds to compile.
    """
    return literal(list(values), ARRAY(column.type))


def excluding(ids: Collection[UUID]) -> ColumnElement[bool]:
    """The property is none of those."""
    return Property.id != all_(_array(Property.id, ids))


def _within_box(
    south: float, west: float, north: float, east: float
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Property.latitude.between(south, north), Property.longitude.between(west, east)


def _winding_number(polygon: Polygon) -> ColumnElement[int]:
    """How often the polygon winds around the property: counted on the lines to its east.

    The numbers stand in the text: as parameters, hundreds, they take SQLAlchemy longer to pass on
    than PostgreSQL to compute with.
    """
    corners = polygon.corners
    return literal_column(" + ".join(map(_winds_at, corners, (*corners[1:], corners[0]))), Integer)


def _winds_at(start: tuple[float, float], end: tuple[float, float]) -> str:
    """In SQL: 1 if the line passes the property's latitude upwards with the property to its left.

    -1 if it passes downwards with the property to its right, else 0.
    """
    (south, west), (north, east) = (map(float, corner) for corner in (start, end))
    upwards = south <= north
    turn = (
        f"({east - west!r}) * (properties.latitude - ({south!r})) - "
        f"(properties.longitude - ({west!r})) * ({north - south!r})"
    )
    return (
        f"CASE WHEN properties.latitude >= {min(south, north)!r} "
        f"AND properties.latitude < {max(south, north)!r} "
        f"AND {turn} {'>' if upwards else '<'} 0 THEN {1 if upwards else -1} ELSE 0 END"
    )


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
        query = query.where(excluding(exclude))
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


def _beyond(order: Order, place: Position, *, known: bool, backward: bool) -> ColumnElement[bool]:
    """What lies behind a place, or before it, of those whose value is known or of the others."""
    same_value_beyond = Property.id < place.id if backward else Property.id > place.id
    if order.column is None:
        return same_value_beyond
    if not known:
        return same_value_beyond if place.value is None else literal(not backward)
    if place.value is None:
        return literal(backward)
    column: InstrumentedAttribute[Any] = getattr(Property, order.column)
    if order.descending != backward:
        # Said twice, so that an index is entered at the place.
        return (column <= place.value) & or_(column < place.value, same_value_beyond)
    return (column >= place.value) & or_(column > place.value, same_value_beyond)


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
    query = select(Property).where(*matching(where))
    if exclude:
        query = query.where(excluding(exclude))
    by_id = Property.id.desc() if backward else Property.id.asc()
    rows: list[Property] = []
    # Missing values are read by themselves: sorted behind the others, they would keep a falling
    # order from using its index.
    for known in (True,) if order.column is None else (not backward, backward):
        if len(rows) == limit:
            break
        part = query
        if after is not None:
            part = part.where(_beyond(order, after, known=known, backward=False))
        if before is not None:
            part = part.where(_beyond(order, before, known=known, backward=True))
        if order.column is not None:
            column: InstrumentedAttribute[Any] = getattr(Property, order.column)
            part = part.where(column.is_not(None) if known else column.is_(None))
            if known:
                falls = order.descending != backward
                part = part.order_by(column.desc() if falls else column.asc())
        part = part.order_by(by_id).limit(limit - len(rows))
        rows.extend(await work.session.scalars(part))
    return rows[::-1] if backward else rows
