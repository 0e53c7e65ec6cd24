"""Properties: the table and its queries."""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Float,
    Index,
    Select,
    Text,
    UniqueConstraint,
    delete,
    extract,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from domain import indexing
from domain.base import Base, TenantScoped, one_of, vocabulary
from domain.errors import not_found
from domain.snapshots import NUMERIC_COLUMNS, PropertyColumns, PropertyFilter, Range
from domain.vocabulary import ListingStatus, PropertyType
from domain.work import Work

EARTH_RADIUS_KM = 6371.0088
KM_PER_DEGREE = 111.19


class Property(TenantScoped, Base):
    """A property of a tenant's pipeline.

    ``provenance`` maps a column to ``{"source", "confidence", "observed_at"}`` of its value.
    ``engagement`` is the weighted sum of what the tenant's investors did with it, at least 0;
    ``owners`` is how many of them made a deal on it.
    """

    __tablename__ = "properties"
    __table_args__ = (
        UniqueConstraint("tenant_id", "external_id"),
        one_of("property_type", PropertyType),
        one_of("listing_status", ListingStatus),
        Index("ix_properties_engagement", "tenant_id", text("engagement DESC"), "id"),
        Index(None, "tenant_id", "listing_price", "id"),
        Index(None, "tenant_id", "listed_at", "id"),
        Index(None, "tenant_id", "zipcode"),
        Index(None, "tenant_id", "latitude", "longitude"),
    )

    external_id: Mapped[str] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)
    city: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str | None] = mapped_column(Text)
    zipcode: Mapped[str | None] = mapped_column(Text)
    latitude: Mapped[float | None] = mapped_column(Float(53))
    longitude: Mapped[float | None] = mapped_column(Float(53))
    property_type: Mapped[PropertyType | None] = mapped_column(vocabulary(PropertyType))
    listing_status: Mapped[ListingStatus | None] = mapped_column(vocabulary(ListingStatus))
    listing_price: Mapped[float | None] = mapped_column(Float(53))
    estimated_value: Mapped[float | None] = mapped_column(Float(53))
    cap_rate: Mapped[float | None] = mapped_column(Float(53))
    cash_on_cash_return: Mapped[float | None] = mapped_column(Float(53))
    bedrooms: Mapped[int | None]
    bathrooms: Mapped[float | None] = mapped_column(Float(53))
    square_feet: Mapped[float | None] = mapped_column(Float(53))
    lot_square_feet: Mapped[float | None] = mapped_column(Float(53))
    year_built: Mapped[int | None]
    days_on_market: Mapped[int | None]
    condition_score: Mapped[float | None] = mapped_column(Float(53))
    renovation_needed: Mapped[bool | None]
    listed_at: Mapped[datetime | None]
    source_system: Mapped[str | None] = mapped_column(Text)
    confidence: Mapped[float | None] = mapped_column(Float(53))
    provenance: Mapped[dict[str, dict[str, Any]]] = mapped_column(JSONB, server_default="{}")
    engagement: Mapped[float] = mapped_column(Float(53), server_default="0")
    owners: Mapped[int] = mapped_column(server_default="0")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @property
    def price_per_square_foot(self) -> float | None:
        """Dollars of the listing price for a square foot of living area."""
        if self.listing_price is None or not self.square_feet:
            return None
        return self.listing_price / self.square_feet


SNAPSHOT: tuple[InstrumentedAttribute[Any] | ColumnElement[Any], ...] = (
    Property.id,
    Property.property_type,
    Property.listing_status,
    Property.zipcode,
    Property.city,
    extract("epoch", Property.listed_at).label("listed_at"),
    Property.owners,
    *(getattr(Property, name) for name in NUMERIC_COLUMNS),
)
"""What ``columns`` reads, in its order."""

_TYPES = {kind: position for position, kind in enumerate(PropertyType)}
_STATUSES = {status: position for position, status in enumerate(ListingStatus)}


def columns(rows: Sequence[Sequence[Any]]) -> PropertyColumns:
    """Turn rows of ``SNAPSHOT`` into columns."""
    numeric = np.array([row[7:] for row in rows], dtype=np.float64)
    return PropertyColumns(
        ids=tuple(row[0] for row in rows),
        numeric=numeric.reshape(len(rows), len(NUMERIC_COLUMNS)),
        property_type=np.array([_TYPES.get(row[1], -1) for row in rows], dtype=np.int8),
        listing_status=np.array([_STATUSES.get(row[2], -1) for row in rows], dtype=np.int8),
        zipcode=tuple(row[3] for row in rows),
        city=tuple(row[4] for row in rows),
        listed_at=np.array([row[5] for row in rows], dtype=np.float64),
        owners=np.array([row[6] for row in rows], dtype=np.int32),
    )


def columns_of(properties: Sequence[Property]) -> PropertyColumns:
    """Turn loaded properties into columns."""
    return columns(
        [
            (
                item.id,
                item.property_type,
                item.listing_status,
                item.zipcode,
                item.city,
                item.listed_at.timestamp() if item.listed_at else None,
                item.owners,
                *(getattr(item, name) for name in NUMERIC_COLUMNS),
            )
            for item in properties
        ]
    )


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
    for column, values in (
        (Property.property_type, where.property_types),
        (Property.listing_status, where.listing_statuses),
        (Property.zipcode, where.zipcodes),
        (Property.city, where.cities),
    ):
        if values:
            conditions.append(column.in_(values))
    if where.listed_after is not None:
        conditions.append(Property.listed_at > where.listed_after)
    for measure, wanted in (
        (Property.listing_price, where.price),
        (Property.bedrooms, where.bedrooms),
        (Property.bathrooms, where.bathrooms),
        (Property.square_feet, where.square_feet),
        (Property.year_built, where.year_built),
    ):
        conditions.extend(_within(measure, wanted))
    if where.box is not None:
        conditions.append(Property.latitude.between(where.box.south, where.box.north))
        conditions.append(Property.longitude.between(where.box.west, where.box.east))
    if where.circle is not None:
        circle = where.circle
        reach = circle.radius_km / KM_PER_DEGREE
        # The band of latitude can use an index; the great circle decides.
        conditions.append(
            Property.latitude.between(circle.latitude - reach, circle.latitude + reach)
        )
        conditions.append(_distance_km(circle.latitude, circle.longitude) <= circle.radius_km)
    return conditions


def _distance_km(latitude: float, longitude: float) -> ColumnElement[float]:
    # Haversine; least() keeps rounding from leaving the domain of asin.
    half_latitude = func.radians(Property.latitude - latitude) / 2
    half_longitude = func.radians(Property.longitude - longitude) / 2
    chord = func.power(func.sin(half_latitude), 2) + func.cos(func.radians(latitude)) * func.cos(
        func.radians(Property.latitude)
    ) * func.power(func.sin(half_longitude), 2)
    return 2 * EARTH_RADIUS_KM * func.asin(func.sqrt(func.least(1.0, chord)))


async def get_many(work: Work, property_ids: Sequence[UUID]) -> dict[UUID, Property]:
    """The properties of those ids that exist, by id."""
    rows = await work.session.scalars(select(Property).where(Property.id.in_(property_ids)))
    return {row.id: row for row in rows}


async def get(work: Work, property_id: UUID, *field: str) -> Property:
    """The property of that id. Raises DomainError NOT_FOUND, blaming ``field``."""
    found = await work.session.get(Property, (work.tenant_id, property_id))
    if found is None:
        raise not_found("property", field)
    return found


async def snapshot(work: Work, property_ids: Sequence[UUID]) -> PropertyColumns:
    """The columns of those ids that exist, in no particular order."""
    rows = await work.session.execute(select(*SNAPSHOT).where(Property.id.in_(property_ids)))
    return columns([tuple(row) for row in rows])


async def snapshot_after(
    work: Work, after: UUID | None = None, batch: int = 2000
) -> PropertyColumns:
    """The next properties of the tenant by id; none at the end."""
    query: Select[Any] = select(*SNAPSHOT).order_by(Property.id).limit(batch)
    if after is not None:
        query = query.where(Property.id > after)
    return columns([tuple(row) for row in await work.session.execute(query)])


async def snapshots(work: Work, batch: int = 2000) -> AsyncIterator[PropertyColumns]:
    """All properties of the tenant in batches, by id, each batch read when it is asked for."""
    after: UUID | None = None
    while len(found := await snapshot_after(work, after, batch)):
        yield found
        after = found.ids[-1]


async def count(work: Work, where: PropertyFilter = PropertyFilter()) -> int:  # noqa: B008
    """How many properties match."""
    query = select(func.count()).select_from(Property).where(*matching(where))
    return await work.session.scalar(query) or 0


async def remove(work: Work, property_id: UUID, *field: str) -> None:
    """Delete a property and what was done with it; the index forgets it after the commit.

    Raises:
        DomainError: NOT_FOUND, blaming ``field``.
    """
    removed = await work.session.scalar(
        delete(Property).where(Property.id == property_id).returning(Property.id)
    )
    if removed is None:
        raise not_found("property", field)
    indexing.follow(work, "index_properties", [property_id])


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
    "square_feet",
    "year_built",
    "days_on_market",
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
