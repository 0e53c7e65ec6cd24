"""Properties: the table and its queries."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Computed,
    Float,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    Uuid,
    any_,
    case,
    cast,
    delete,
    extract,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import InstrumentedAttribute, Mapped, deferred, mapped_column

from domain import indexing
from domain.base import Base, TenantScoped, one_of, vocabulary
from domain.errors import not_found
from domain.filters import APOSTROPHES, SEPARATORS, Labels
from domain.indexing import Marked
from domain.reading import Row, Statement, parameter
from domain.snapshots import NUMERIC_COLUMNS, PropertyColumns
from domain.vocabulary import ListingStatus, PropertyType
from domain.work import Work

if TYPE_CHECKING:
    from domain.property_rows import PropertyValues

_BETWEEN = "[]" + SEPARATORS.replace("]", "").replace("-", "").replace("\\", "\\\\") + "-]+"
# An expression, for translate() compares every letter with every separator: ten times as slow.
SEARCH = (
    "' ' || regexp_replace(replace(replace(lower((external_id || ' ' || coalesce(address, '') || "
    "' ' || coalesce(city, '') || ' ' || coalesce(state, '') || ' ' || coalesce(zipcode, '')) "
    f"COLLATE pg_c_utf8), '{APOSTROPHES[0] * 2}', ''), '{APOSTROPHES[1]}', ''), "
    f"'{_BETWEEN}', ' ', 'g')"
)
"""What ``Property.search`` is made of, in SQL."""


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

    # Read for the index alone; lists are filtered by it where it lies.
    search: Mapped[str] = deferred(mapped_column(Text, Computed(SEARCH, persisted=True)))
    """Its words in the sense of ``domain.filters.words_of``, each behind a space."""

    @hybrid_property
    def price_per_square_foot(self) -> float | None:
        """Dollars of the listing price for a square foot of living area; of at least one each."""
        return dollars_per_square_foot(self.listing_price, self.square_feet)

    @price_per_square_foot.inplace.expression
    @classmethod
    def _price_per_square_foot(cls) -> ColumnElement[float | None]:
        return case(
            ((cls.listing_price >= 1) & (cls.square_feet >= 1), cls.listing_price / cls.square_feet)
        )


def dollars_per_square_foot(price: float | None, area: float | None) -> float | None:
    """A listing price for a square foot of living area; None for less than one of either."""
    # Below, a quotient could leave what a float holds, which is an error in SQL.
    return price / area if price and price >= 1 and area and area >= 1 else None


SNAPSHOT: tuple[InstrumentedAttribute[Any] | ColumnElement[Any], ...] = (
    Property.id,
    Property.property_type,
    Property.listing_status,
    Property.zipcode,
    Property.city,
    # Else it would come as a decimal number, digit by digit.
    cast(extract("epoch", Property.listed_at), Float(53)).label("listed_at"),
    Property.owners,
    *(getattr(Property, name) for name in NUMERIC_COLUMNS),
)
"""What ``columns`` reads, in its order."""

_TYPES = {kind: position for position, kind in enumerate(PropertyType)}
_STATUSES = {status: position for position, status in enumerate(ListingStatus)}


def columns(rows: Sequence[Sequence[Any]]) -> PropertyColumns:
    """Turn rows of ``SNAPSHOT`` into columns; what the rows hold beyond that is left."""
    width = len(SNAPSHOT)
    ids, types, statuses, zipcode, city, listed_at, owners, *numeric = (
        list(zip(*rows, strict=True))[:width] if rows else [()] * width
    )
    return PropertyColumns(
        ids=ids,
        numeric=np.array(numeric, dtype=np.float64).T.copy(),
        property_type=np.array([_TYPES.get(one, -1) for one in types], dtype=np.int8),
        listing_status=np.array([_STATUSES.get(one, -1) for one in statuses], dtype=np.int8),
        zipcode=zipcode,
        city=city,
        listed_at=np.array(listed_at, dtype=np.float64),
        owners=np.array(owners, dtype=np.int32),
    )


def columns_of(properties: "Sequence[PropertyValues]") -> PropertyColumns:
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


async def get(work: Work, property_id: UUID, *field: str) -> Property:
    """The property of that id. Raises DomainError NOT_FOUND, blaming ``field``."""
    found = await work.session.get(Property, (work.tenant_id, property_id))
    if found is None:
        raise not_found("property", field)
    return found


LABELS: tuple[InstrumentedAttribute[Any], ...] = (
    Property.external_id,
    Property.state,
    Property.search,
)
"""What ``Labels`` are made of, in its order."""


_LABELLED = select(*SNAPSHOT, *LABELS)
_BY_ID = Statement(_LABELLED.where(Property.id == any_(parameter("ids", ARRAY(Uuid())))))
_NEXT = _LABELLED.order_by(Property.id).limit(parameter("batch", Integer()))
_FIRST = Statement(_NEXT)
_AFTER = Statement(_NEXT.where(Property.id > parameter("after", Uuid())))


async def snapshot(work: Work, property_ids: Sequence[UUID]) -> PropertyColumns:
    """The columns and labels of those ids that exist, in no particular order."""
    return _labelled(await work.fetch(_BY_ID, ids=list(property_ids)))


async def ids(work: Work) -> set[UUID]:
    """The ids of all properties of the tenant."""
    return set(await work.session.scalars(select(Property.id)))


async def snapshot_after(
    work: Work, after: UUID | None = None, batch: int = 2000
) -> PropertyColumns:
    """The next properties of the tenant by id, with labels; none at the end."""
    if after is None:
        return _labelled(await work.fetch(_FIRST, batch=batch))
    return _labelled(await work.fetch(_AFTER, after=after, batch=batch))


def _labelled(rows: Sequence[Row]) -> PropertyColumns:
    width = len(SNAPSHOT)
    labels: list[Labels] = []
    for external_id, state, search in (row[width:] for row in rows):
        words = dict.fromkeys(search.split(" "))
        words.pop("", None)
        labels.append(Labels(external_id, state, tuple(words)))
    return replace(columns(rows), labels=tuple(labels))


async def snapshots(work: Work, batch: int = 2000) -> AsyncIterator[PropertyColumns]:
    """All properties of the tenant in batches, by id, each batch read when it is asked for."""
    after: UUID | None = None
    while len(found := await snapshot_after(work, after, batch)):
        yield found
        after = found.ids[-1]


async def remove(work: Work, property_id: UUID, *field: str) -> None:
    """Delete a property and what was done with it; the index forgets it after the commit.

    Raises:
        DomainError: NOT_FOUND, blaming ``field``.
    """
    # Held first: nobody acts on it any more, and whoever did is known by less now.
    held = select(Property.id).where(Property.id == property_id).with_for_update()
    if await work.session.scalar(held) is None:
        raise not_found("property", field)
    await indexing.mark_investors(work, [property_id])
    await work.session.execute(delete(Property).where(Property.id == property_id))
    await indexing.follow(work, Marked.PROPERTY, [property_id])
