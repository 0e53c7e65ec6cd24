"""Properties: the type and its list."""

from datetime import datetime
from typing import Any, Self, TypeVar
from uuid import UUID

import strawberry

from domain.contract.filters import PropertyFilter
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.properties import table
from domain.properties.input import PROPERTY_COLUMNS
from domain.properties.rows import PropertyRow, PropertyValues
from graph.core.context import Context
from graph.core.directives import at_most, weight
from graph.core.nodes import Node, global_id
from graph.core.pagination import Connection
from graph.core.strawberry_internals import class_definition, to_camel_case
from graph.properties.facets import PropertyFacets
from graph.properties.loaders import PropertyLoaders

T = TypeVar("T", bound=type[Any])

COLUMNS = {
    "external_id": "The id in the tenant's own systems.",
    "address": "Street and number.",
    "city": "City.",
    "state": "State, as in the source.",
    "zipcode": "ZIP code as the source writes it. Filters and facets use its five digits.",
    "latitude": "Degrees north, WGS 84.",
    "longitude": "Degrees east, WGS 84.",
    "property_type": "What kind of building or land it is.",
    "listing_status": "Where it stands on the market.",
    "listing_price": "Asking price, in dollars.",
    "estimated_value": "What it is thought to be worth, in dollars.",
    "cap_rate": "Net operating income over price, a fraction: 0.065 is 6.5%.",
    "cash_on_cash_return": "Yearly cash flow over cash invested, a fraction.",
    "bedrooms": "How many bedrooms.",
    "bathrooms": "How many bathrooms, halves allowed.",
    "square_feet": "Living area, in square feet.",
    "lot_square_feet": "Area of the lot, in square feet.",
    "year_built": "The year it was built.",
    "days_on_market": "How many days it has been listed.",
    "condition_score": "Condition, 0 (worst) to 1 (best).",
    "renovation_needed": "Whether it needs renovation.",
    "listed_at": "When it was listed.",
    "source_system": "Where the record comes from.",
    "confidence": "How far the source is trusted, 0 to 1.",
}
"""What each import column means, for the type and for the input alike."""


def describe_columns(kind: T) -> T:
    """Describe the fields of a type that are import columns, in the words of ``COLUMNS``."""
    for field in class_definition(kind).fields:
        field.description = COLUMNS.get(field.python_name, field.description)
    return kind


# Part of the property's own row, however many there are.
@strawberry.type(directives=[weight(0)])
class FieldProvenance:
    """Where the value of one field of a property comes from."""

    field: str = strawberry.field(description="The field's name, as in this schema.")
    source_system: str | None = strawberry.field(description="The system that gave the value.")
    confidence: float | None = strawberry.field(description="How far it is trusted, 0 to 1.")
    observed_at: datetime | None = strawberry.field(description="When the value was observed.")


@describe_columns
@strawberry.type
class Property(Node, rows=(table.Property, PropertyRow)):
    """A property of the tenant's pipeline."""

    row: strawberry.Private[PropertyValues]
    external_id: str
    address: str | None
    city: str | None
    state: str | None
    zipcode: str | None
    latitude: float | None
    longitude: float | None
    property_type: PropertyType | None
    listing_status: ListingStatus | None
    listing_price: float | None
    estimated_value: float | None
    cap_rate: float | None
    cash_on_cash_return: float | None
    bedrooms: int | None
    bathrooms: float | None
    square_feet: float | None
    lot_square_feet: float | None
    year_built: int | None
    days_on_market: int | None
    condition_score: float | None
    renovation_needed: bool | None
    listed_at: datetime | None
    source_system: str | None
    confidence: float | None
    engagement: float = strawberry.field(
        description="How much the tenant's investors engage with it, in views; at least 0."
    )
    price_per_square_foot: float | None = strawberry.field(
        description="The listing price over the living area."
    )
    prefetched_affinity: strawberry.Private[float | None] = None
    """The caller's own, where a list computed it."""

    @classmethod
    def of(cls, row: PropertyValues, prefetched_affinity: float | None = None) -> Self:
        """A property as a client sees it, with the caller's affinity if that is known already."""
        found = cls.__new__(cls)
        # What its constructor would do, value by value, for each of a page.
        found.__dict__.update(
            row._asdict() if isinstance(row, PropertyRow) else _values(row),
            id=global_id("Property", row.id),
            row=row,
            price_per_square_foot=row.price_per_square_foot,
            prefetched_affinity=prefetched_affinity,
        )
        return found

    @classmethod
    async def read(cls, context: Context, row_id: UUID) -> PropertyValues | None:
        """See ``Node.read``."""
        return await context.loaders(PropertyLoaders).properties.load(row_id)

    @strawberry.field(directives=[at_most(len(COLUMNS))])
    def provenance(self) -> list[FieldProvenance]:
        """Where its values come from, field by field."""
        return [
            FieldProvenance(
                field=to_camel_case(column),
                source_system=noted.get("source"),
                confidence=noted.get("confidence"),
                observed_at=_moment(noted.get("observed_at")),
            )
            for column, noted in sorted(self.row.provenance.items())
        ]


def _values(row: table.Property) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*PROPERTY_COLUMNS, "engagement")}


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


@strawberry.type
class PropertyConnection(Connection[Property]):
    """A page of properties."""

    where: strawberry.Private[PropertyFilter]

    @strawberry.field
    def facets(self) -> PropertyFacets:
        """How many of all that match have each value."""
        return PropertyFacets(where=self.where)
