"""The rules for a property that comes from outside, the same for files and for the API."""

from typing import Annotated

from pydantic import Field

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.input_rules import Moment, OutsideInput, Text, Word

Money = Annotated[float, Field(ge=0, le=1e12)] | None
Area = Annotated[float, Field(ge=0, le=1e11)] | None
Fraction = Annotated[float, Field(ge=0, le=1)] | None


class PropertyInput(OutsideInput):
    """One property. Only ``external_id`` is required; what is absent is left as it is.

    Numbers and dates may be text, blank text means missing, and a date without a zone is UTC.
    Rates are fractions: 0.065 is 6.5%.
    """

    external_id: Text
    address: Text | None = None
    city: Text | None = None
    state: Text | None = None
    zipcode: Text | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    property_type: Annotated[PropertyType | None, Word] = None
    listing_status: Annotated[ListingStatus | None, Word] = None
    listing_price: Money = None
    estimated_value: Money = None
    cap_rate: Annotated[float, Field(ge=-1, le=1)] | None = None
    cash_on_cash_return: Annotated[float, Field(ge=-100, le=100)] | None = None
    bedrooms: Annotated[int, Field(ge=0, le=10_000)] | None = None
    bathrooms: Annotated[float, Field(ge=0, le=10_000)] | None = None
    square_feet: Area = None
    lot_square_feet: Area = None
    year_built: Annotated[int, Field(ge=1000, le=2200)] | None = None
    days_on_market: Annotated[int, Field(ge=0, le=100_000)] | None = None
    condition_score: Fraction = None
    renovation_needed: bool | None = None
    listed_at: Moment | None = None
    source_system: Text | None = None
    confidence: Fraction = None


PROPERTY_COLUMNS: tuple[str, ...] = tuple(PropertyInput.model_fields)
"""The import columns in order, ``external_id`` first."""
