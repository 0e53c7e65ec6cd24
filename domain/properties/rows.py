"""Properties as requests read them: plain rows, straight from the driver."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, cast, select

from domain.contract.filters import PropertyFilter
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.reading import Reader, Statement, parameter
from domain.properties import search
from domain.properties.table import Property, dollars_per_square_foot
from domain.tenants.tenants import Tenant


class PropertyRow(NamedTuple):
    """What ``Property`` holds of a property, without a session behind it."""

    id: UUID
    property_type: PropertyType | None
    listing_status: ListingStatus | None
    external_id: str
    address: str | None
    city: str | None
    state: str | None
    zipcode: str | None
    canonical_zipcode: str | None
    latitude: float | None
    longitude: float | None
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
    engagement: float
    owners: int
    provenance_text: str

    @property
    def provenance(self) -> dict[str, dict[str, Any]]:
        """See ``Property.provenance``; parsed only when it is asked for."""
        parsed: dict[str, dict[str, Any]] = json.loads(self.provenance_text)
        return parsed

    @property
    def price_per_square_foot(self) -> float | None:
        """See ``Property.price_per_square_foot``."""
        return dollars_per_square_foot(self.listing_price, self.square_feet)


PropertyValues: TypeAlias = Property | PropertyRow
"""A property to be read, however it was."""

_COLUMNS = (
    *(getattr(Property, name) for name in PropertyRow._fields[:-1]),
    cast(Property.provenance, Text),
)
_TYPES: dict[str | None, PropertyType | None] = {
    None: None,
    **{str(one): one for one in PropertyType},
}
_STATUSES: dict[str | None, ListingStatus | None] = {
    None: None,
    **{str(one): one for one in ListingStatus},
}


_WITH_VERSION = Statement(
    select(*_COLUMNS, Tenant.active_model_version_id)
    .join(Tenant, Tenant.id == Property.tenant_id)
    .where(Property.id == parameter("property_id", Uuid()))
)


@lru_cache(maxsize=64)
def _statement(names: frozenset[str]) -> Statement:
    """Compiled once for a shape of filters: it is of those names that statements are made."""
    return Statement(
        select(*_COLUMNS).where(
            Property.id == any_(parameter("read_ids", ARRAY(Uuid()))),
            *search.conditions(names, parameter),
        )
    )


async def get_with_version(
    reader: Reader, property_id: UUID
) -> tuple[PropertyRow, UUID | None] | None:
    """A property, and the version of the tenant's twin that is active, in one round trip.

    None without such a property.
    """
    rows = await reader.fetch(_WITH_VERSION, property_id=property_id)
    return (_row(rows[0][:-1]), rows[0][-1]) if rows else None


async def get_many(
    reader: Reader,
    property_ids: Collection[UUID],
    where: PropertyFilter = PropertyFilter(),  # noqa: B008
) -> dict[UUID, PropertyRow]:
    """The properties of those ids that exist and match, by id."""
    said = search.values(where)
    rows = await reader.fetch(_statement(frozenset(said)), read_ids=list(property_ids), **said)
    return {row[0]: _row(row) for row in rows}


def _row(values: Sequence[Any]) -> PropertyRow:
    return PropertyRow(values[0], _TYPES[values[1]], _STATUSES[values[2]], *values[3:])
