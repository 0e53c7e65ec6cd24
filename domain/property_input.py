"""The rules for a property that comes from outside, the same for files and for the API."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from domain.vocabulary import ListingStatus, PropertyType


def _none_if_blank(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip()
        return value or None
    return value


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _upper(value: Any) -> Any:
    return value.strip().upper() or None if isinstance(value, str) else value


Blank = BeforeValidator(_none_if_blank)
Money = Annotated[float | None, Blank, Field(ge=0, le=1e12, allow_inf_nan=False)]
Area = Annotated[float | None, Blank, Field(ge=0, le=1e11, allow_inf_nan=False)]
Fraction = Annotated[float | None, Blank, Field(ge=0, le=1, allow_inf_nan=False)]
Yield = Annotated[float | None, Blank, Field(ge=-1, le=1, allow_inf_nan=False)]
Moment = Annotated[Annotated[datetime, AfterValidator(_aware)] | None, Blank]


NO_ZERO_BYTE = r"^[^\x00]*$"
"""PostgreSQL has no zero byte in text."""

Name = Annotated[str | None, Blank, Field(max_length=200, pattern=NO_ZERO_BYTE)]


class PropertyInput(BaseModel):
    """One property. Only ``external_id`` is required; what is absent is left as it is.

    Numbers and dates may be text, blank text means missing, and a date without a zone is UTC.
    Rates are fractions: 0.065 is 6.5%.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, coerce_numbers_to_str=True
    )

    external_id: Annotated[str, Field(min_length=1, max_length=200, pattern=NO_ZERO_BYTE)]
    address: Name = None
    city: Name = None
    state: Name = None
    zipcode: Name = None
    latitude: Annotated[float | None, Blank, Field(ge=-90, le=90)] = None
    longitude: Annotated[float | None, Blank, Field(ge=-180, le=180)] = None
    property_type: Annotated[PropertyType | None, BeforeValidator(_upper)] = None
    listing_status: Annotated[ListingStatus | None, BeforeValidator(_upper)] = None
    listing_price: Money = None
    estimated_value: Money = None
    cap_rate: Yield = None
    cash_on_cash_return: Annotated[float | None, Blank, Field(ge=-100, le=100)] = None
    bedrooms: Annotated[int | None, Blank, Field(ge=0, le=10_000)] = None
    bathrooms: Annotated[float | None, Blank, Field(ge=0, le=10_000)] = None
    square_feet: Area = None
    lot_square_feet: Area = None
    year_built: Annotated[int | None, Blank, Field(ge=1000, le=2200)] = None
    days_on_market: Annotated[int | None, Blank, Field(ge=0, le=100_000)] = None
    condition_score: Fraction = None
    renovation_needed: Annotated[bool | None, Blank] = None
    listed_at: Moment = None
    source_system: Name = None
    confidence: Fraction = None


PROPERTY_COLUMNS: tuple[str, ...] = tuple(PropertyInput.model_fields)
"""The import columns in order, ``external_id`` first."""
