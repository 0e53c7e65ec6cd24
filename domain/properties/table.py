"""Properties: the table and its queries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Computed,
    Float,
    Index,
    Text,
    UniqueConstraint,
    case,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, deferred, mapped_column

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.base import Base, TenantScoped, one_of, vocabulary
from domain.core.errors import not_found
from domain.core.work import Work
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.properties.deletion import delete_recorded


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
        Index(None, "tenant_id", "canonical_zipcode"),
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
    zipcode_cut: Mapped[bool] = mapped_column(server_default="false")
    """Whether the ZIP code lost its leading zeros, as the others of its file show."""

    canonical_zipcode: Mapped[str | None] = mapped_column(
        Text, Computed("canonical_zipcode(zipcode, state, zipcode_cut)", persisted=True)
    )
    """What ``domain.contract.filters.canonical_zipcode`` makes of it."""

    # Read for the index alone; lists are filtered by it where it lies.
    # Short, for PostgreSQL parses what a column is generated from anew for each row of an update
    # that does not touch it. Migration 0008 makes the functions.
    search: Mapped[str] = deferred(
        mapped_column(
            Text,
            Computed(
                "property_words(external_id, address, city, state, zipcode, zipcode_cut)",
                persisted=True,
            ),
        )
    )
    """Its words in the sense of ``domain.contract.filters.words_of``, each behind a space."""

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


async def get(work: Work, property_id: UUID, *field: str) -> Property:
    """The property of that id. Raises DomainError NOT_FOUND, blaming ``field``."""
    found = await work.session.get(Property, (work.tenant_id, property_id))
    if found is None:
        raise not_found("property", field)
    return found


_DELETE = text(
    f"WITH {delete_recorded('existing.id = CAST(:property_id AS uuid)')} SELECT id FROM changed"  # noqa: S608
)


async def remove(work: Work, property_id: UUID, *field: str) -> None:
    """Delete a property and what was done with it; the index forgets it after the commit.

    ``domain.changes`` keeps for a while what it was.

    Raises:
        DomainError: NOT_FOUND, blaming ``field``.
    """
    # Held first: nobody acts on it any more, and whoever did is known by less now.
    held = select(Property.id).where(Property.id == property_id).with_for_update()
    if await work.session.scalar(held) is None:
        raise not_found("property", field)
    await index_outbox.mark_investors(work, [property_id])
    await work.session.execute(_DELETE, {"tenant_id": work.tenant_id, "property_id": property_id})
    await index_outbox.follow(work, Marked.PROPERTY, [property_id])
