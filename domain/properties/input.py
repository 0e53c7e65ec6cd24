"""The rules for a property that comes from outside, the same for files and for the API."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core import canonical
from domain.core.canonical import Canonical, numbers
from domain.core.input_rules import (
    NO_ZERO_BYTE,
    Gate,
    Identifier,
    Moment,
    Note,
    OutsideInput,
    word,
)
from domain.properties.words import LISTING_STATUSES, PROPERTY_TYPES

Phrase = (
    Annotated[
        str, Field(min_length=1, max_length=200, pattern=NO_ZERO_BYTE), Canonical(canonical.phrase)
    ]
    | None
)
Money = Annotated[float, Field(ge=0, le=1e12), numbers(canonical.MONEY)] | None
Area = Annotated[float, Field(ge=0, le=1e11), numbers(canonical.AREA)] | None
Fraction = Annotated[float, Field(ge=0, le=1), numbers(canonical.RATE)] | None
Chosen = Canonical(canonical.choice)

NO_PLACE = "placeholder coordinates, not a place"
PLACE = ("latitude", "longitude")
SWAPPED = "latitude and longitude swapped"
NO_YEAR = "0 is not a year"

# People live and own land between these latitudes.
_SOUTHERNMOST, _NORTHERNMOST = -60, 84
_NULL_ISLAND = 0.01
"""Degrees, about a kilometre. Any point that close to 0,0 lies in the sea."""


class PropertyInput(OutsideInput):
    """One property. Only ``external_id`` is required; what is absent is left as it is.

    Numbers and dates may be text, blank text means missing, and a date without a zone is UTC.
    Rates are fractions: 0.065 is 6.5%. A year 0 and placeholder coordinates are left out,
    and swapped latitude and longitude are exchanged.
    """

    together: ClassVar = (PLACE,)

    external_id: Identifier
    address: Phrase = None
    city: Phrase = None
    state: Phrase = None
    zipcode: (
        Annotated[
            str,
            Field(min_length=1, max_length=200, pattern=NO_ZERO_BYTE),
            Canonical(canonical.zipcode),
        ]
        | None
    ) = None
    latitude: Annotated[float, Field(ge=-90, le=90), numbers(canonical.DEGREES)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180), numbers(canonical.DEGREES)] | None = None
    property_type: Annotated[PropertyType | None, word(PropertyType, PROPERTY_TYPES)] = None
    listing_status: Annotated[ListingStatus | None, word(ListingStatus, LISTING_STATUSES)] = None
    listing_price: Money = None
    estimated_value: Money = None
    cap_rate: Annotated[float, Field(ge=-1, le=1), numbers(canonical.RATE)] | None = None
    cash_on_cash_return: (
        Annotated[float, Field(ge=-100, le=100), numbers(canonical.RATE)] | None
    ) = None
    bedrooms: Annotated[int, Field(ge=0, le=10_000), numbers(canonical.BEDROOMS)] | None = None
    bathrooms: Annotated[float, Field(ge=0, le=10_000), numbers(canonical.BATHROOMS)] | None = None
    square_feet: Area = None
    lot_square_feet: Area = None
    year_built: Annotated[int, Field(ge=1000, le=2200), numbers(canonical.COUNT)] | None = None
    days_on_market: Annotated[int, Field(ge=0, le=100_000), numbers(canonical.DAYS)] | None = None
    condition_score: Fraction = None
    renovation_needed: Annotated[bool | None, Chosen] = None
    listed_at: Moment | None = None
    source_system: Phrase = None
    confidence: Fraction = None

    @classmethod
    def across(cls, values: dict[str, Any], gate: Gate) -> None:
        """Leave out placeholder coordinates and a year 0; exchange swapped coordinates."""
        if values.get("year_built") == 0:
            year = values.pop("year_built")
            gate.notes.append(Note("year_built", NO_YEAR, year, None, ignored=True))
        latitude, longitude = values.get("latitude"), values.get("longitude")
        if not (isinstance(latitude, int | float) and isinstance(longitude, int | float)):
            return
        if _are_swapped(latitude, longitude):
            gate.notes.append(Note("latitude", SWAPPED, latitude, longitude))
            gate.notes.append(Note("longitude", SWAPPED, longitude, latitude))
            values["latitude"], values["longitude"] = longitude, latitude
        elif _are_none(latitude, longitude):
            for name in PLACE:
                gate.notes.append(Note(name, NO_PLACE, values.pop(name), None, ignored=True))

    @classmethod
    def suspects(cls, columns: Mapping[str, Sequence[Any]]) -> Iterator[int]:
        """Rows whose coordinates are placeholders or swapped."""
        places = zip(columns["latitude"], columns["longitude"], strict=True)
        for row, (latitude, longitude) in enumerate(places):
            # Cheap test first: it holds for nearly all places.
            if (
                latitude is not None
                and longitude is not None
                and not (2 < latitude <= _NORTHERNMOST and abs(longitude) > 2)
                and (_are_swapped(latitude, longitude) or _are_none(latitude, longitude))
            ):
                yield row


def _are_swapped(latitude: float, longitude: float) -> bool:
    return (
        not _SOUTHERNMOST <= latitude <= _NORTHERNMOST
        and _SOUTHERNMOST <= longitude <= _NORTHERNMOST
        and abs(latitude) <= 180
    )


def _are_none(latitude: float, longitude: float) -> bool:
    """Whether the coordinates are what geocoders return when they find nothing."""
    return (
        (abs(latitude) < _NULL_ISLAND and abs(longitude) < _NULL_ISLAND)
        or abs(latitude) == abs(longitude) == 1
        or _NORTHERNMOST < latitude <= 90
    )


PROPERTY_COLUMNS: tuple[str, ...] = tuple(PropertyInput.model_fields)
"""The import columns in order, ``external_id`` first."""
