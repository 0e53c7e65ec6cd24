"""Lists of properties: filtered, ordered, counted and paged in SQL."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Float,
    ScalarSelect,
    Text,
    Uuid,
    all_,
    any_,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, column_property, undefer

from domain.contract.filters import (
    EARTH_RADIUS_KM,
    KM_PER_DEGREE,
    RANGES,
    PropertyFilter,
    Range,
)
from domain.contract.property_search import Order, Position
from domain.core.database import Database
from domain.core.errors import invalid
from domain.core.work import Work
from domain.properties import polygons
from domain.properties.polygons import Bind
from domain.properties.table import Property

_BOX = ("box_south", "box_north", "box_west", "box_east")
_LISTS: dict[str, InstrumentedAttribute[Any]] = {
    "ids": Property.id,
    "external_ids": Property.external_id,
    "property_types": Property.property_type,
    "listing_statuses": Property.listing_status,
    "zipcodes": Property.canonical_zipcode,
    "cities": Property.city,
    "states": Property.state,
}
_FLOAT = Float(53)

ADDED: list[str] = []
"""Names of what ``add`` added."""

MOST_RESOLVED = 10_000
"""Properties that ``resolved`` finds at most."""


def add(name: str, value: ScalarSelect[Any]) -> None:
    """Have properties filtered and ordered by a number that a higher noun knows of them.

    Args:
        name: of the number, in ``PropertyFilter.added`` and ``Order``.
        value: a subquery correlated with ``Property``; null where nothing is known.

    Raises:
        ValueError: properties or their filter have something of that name.
    """
    if hasattr(Property, name) or name in PropertyFilter.__dataclass_fields__:
        raise ValueError(f"properties have {name!r} already")
    setattr(Property, name, column_property(cast(value, _FLOAT), deferred=True))
    ADDED.append(name)


def values(where: PropertyFilter) -> dict[str, Any]:
    """What the filter says, by the names that ``conditions`` binds.

    Which names there are tells the filter's shape; filters of one shape are one statement.
    """
    said: dict[str, Any] = {
        name: list(getattr(where, name))
        for name in (*_LISTS, "exclude_ids", "exclude_listing_statuses")
        if getattr(where, name)
    }
    for name in ("listed_after", "listed_before", "renovation_needed", "owned"):
        if getattr(where, name) is not None:
            said[name] = getattr(where, name)
    ranges: list[tuple[str, Range | None]] = [(name, getattr(where, name)) for name in RANGES]
    for name, wanted in (*ranges, *where.added):
        if wanted is not None and wanted.min is not None:
            said[f"{name}_min"] = float(wanted.min)
        if wanted is not None and wanted.max is not None:
            said[f"{name}_max"] = float(wanted.max)
    if where.box is not None:
        box = where.box
        said |= zip(_BOX, map(float, (box.south, box.north, box.west, box.east)), strict=True)
    if where.circle is not None:
        circle = where.circle
        reach = circle.radius_km / KM_PER_DEGREE
        said |= {
            "circle_south": circle.latitude - reach,
            "circle_north": circle.latitude + reach,
            "circle_latitude": float(circle.latitude),
            "circle_longitude": float(circle.longitude),
            "circle_radius_km": float(circle.radius_km),
        }
    if where.polygon is not None:
        said |= polygons.values(where.polygon)
    if where.words:
        said["words"] = [f"% {word}%" for word in where.words]
    return said


def conditions(names: Collection[str], bind: Bind) -> list[ColumnElement[bool]]:
    """A filter of that shape as SQL conditions, all of which must hold.

    Args:
        names: those of the filter's ``values``.
        bind: makes of a name and its type a value of the statement: lists are one, of any length,
            for a thousand by themselves take seven milliseconds to compile.
    """
    found: list[ColumnElement[bool]] = [
        column == any_(bind(name, ARRAY(column.type)))
        for name, column in _LISTS.items()
        if name in names
    ]
    found += _exclusions(names, bind)
    if "listed_after" in names:
        found.append(Property.listed_at > bind("listed_after", Property.listed_at.type))
    if "listed_before" in names:
        found.append(Property.listed_at < bind("listed_before", Property.listed_at.type))
    for name, column_name in (*RANGES.items(), *zip(ADDED, ADDED, strict=True)):
        column = getattr(Property, column_name)
        if f"{name}_min" in names:
            found.append(column >= bind(f"{name}_min", _FLOAT))
        if f"{name}_max" in names:
            found.append(column <= bind(f"{name}_max", _FLOAT))
    if "renovation_needed" in names:
        found.append(Property.renovation_needed == bind("renovation_needed", Boolean()))
    if "owned" in names:
        found.append((Property.owners > 0) == bind("owned", Boolean()))
    if "box_south" in names:
        south, north, west, east = (bind(name, _FLOAT) for name in _BOX)
        found.append(Property.latitude.between(south, north))
        found.append(Property.longitude.between(west, east))
    if "circle_south" in names:
        # The band of latitude can use an index; the great circle decides.
        south, north = bind("circle_south", _FLOAT), bind("circle_north", _FLOAT)
        found.append(Property.latitude.between(south, north))
        centre = bind("circle_latitude", _FLOAT), bind("circle_longitude", _FLOAT)
        found.append(distance_km(*centre) <= bind("circle_radius_km", _FLOAT))
    if "polygon_south" in names:
        found.extend(polygons.within(bind))
    if "words" in names:
        # Last, for no index helps: under row-level security LIKE sees no row before the policy.
        found.append(Property.search.like(all_(bind("words", ARRAY(Text())))))
    return found


def _exclusions(names: Collection[str], bind: Bind) -> Iterator[ColumnElement[bool]]:
    if "exclude_ids" in names:
        yield Property.id != all_(bind("exclude_ids", ARRAY(Uuid())))
    if "exclude_listing_statuses" in names:
        status = Property.listing_status
        unwanted = bind("exclude_listing_statuses", ARRAY(status.type))
        yield or_(status.is_(None), status != all_(unwanted))


def matching(where: PropertyFilter) -> list[ColumnElement[bool]]:
    """The filter as SQL conditions, with its values: all of them must hold."""
    said = values(where)
    return conditions(said, lambda name, kind: literal(said[name], kind))


async def resolved(database: Database, tenant_id: UUID, where: PropertyFilter) -> PropertyFilter:
    """The filter, with the ids of what matches for an index that does not know what is ``added``.

    Raises:
        DomainError: INVALID_INPUT for more than ``MOST_RESOLVED`` properties.
    """
    if not where.added:
        return where
    async with database.work(tenant_id) as work:
        query = select(Property.id).where(*matching(where)).limit(MOST_RESOLVED + 1)
        ids = tuple(await work.session.scalars(query))
    if len(ids) > MOST_RESOLVED:
        name = to_camel(where.added[0][0])
        raise invalid(
            f"{name} leaves more than {MOST_RESOLVED:,} properties to rank; narrow the filter, or "
            "ask for properties in an order",
            "filter", name,
        )  # fmt: skip
    # Without any id, one that no property has: an empty list would not restrict.
    return replace(where, ids=ids or (UUID(int=0),))


def excluding(ids: Collection[UUID]) -> ColumnElement[bool]:
    """The property is none of those."""
    return Property.id != all_(literal(list(ids), ARRAY(Uuid())))


def distance_km(
    latitude: ColumnElement[float], longitude: ColumnElement[float]
) -> ColumnElement[float | None]:
    """The great-circle distance of a property from a place, as SQL; null without coordinates."""
    # Haversine; least() keeps rounding from leaving the domain of asin.
    half_latitude = _radians(Property.latitude - latitude) / 2
    half_longitude = _radians(Property.longitude - longitude) / 2
    chord = func.power(func.sin(half_latitude), 2) + func.cos(_radians(latitude)) * func.cos(
        _radians(Property.latitude)
    ) * func.power(func.sin(half_longitude), 2)
    return 2 * EARTH_RADIUS_KM * func.asin(func.sqrt(func.least(1.0, chord)))


def _radians(degrees: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[float]:
    # To about a centimetre, since the square of a much smaller angle is an error in SQL.
    return func.radians(func.round(degrees * 1e7) / 1e7)


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


class Identified(Protocol):
    """A property, however it was read."""

    @property
    def id(self) -> UUID:
        """Its id."""
        ...


def position(found: Identified, order: Order) -> Position:
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
    after: Position | None = None,
    before: Position | None = None,
    backward: bool = False,
) -> list[Property]:
    """Up to ``limit`` matching properties after and before the given places, in order.

    ``backward`` takes those nearest the end instead of the start.
    """
    query = select(Property).where(*matching(where))
    if order.column in ADDED:
        query = query.options(undefer(getattr(Property, order.column)))
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
