"""The filter of properties: an input, checked and turned into the domain's."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry

from domain.contract import filters
from domain.contract.filters import RANGES, canonical_zipcode, words_of
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core import canonical
from domain.core.base import storable
from domain.core.errors import invalid
from domain.properties import search
from graph.core.extension import extend_enum, extend_input
from graph.core.inputs import FloatRange, IntRange, bounded, utc
from graph.core.nodes import parse_id
from graph.core.strawberry_internals import to_camel_case
from graph.properties.ordering import PropertyOrderField

MAX_TEXT = 200
MAX_RADIUS_KM = 500.0
MAX_CORNERS = 100


@strawberry.input
class RadiusInput:
    """All points within a distance of a point."""

    latitude: float = strawberry.field(description="The centre's, in degrees, -90 to 90.")
    longitude: float = strawberry.field(description="The centre's, in degrees, -180 to 180.")
    radius_km: float = strawberry.field(description="In kilometres, above 0, at most 500.")


@strawberry.input
class BoxInput:
    """All points between two corners, not across the 180th meridian.

    A side at a pole or at the 180th meridian does not restrict. A box of the whole world filters
    nothing; every other box leaves out properties that lack a coordinate.
    """

    south: float = strawberry.field(description="The smallest latitude, -90 to 90.")
    west: float = strawberry.field(description="The smallest longitude, -180 to 180.")
    north: float = strawberry.field(description="The greatest latitude, at least south.")
    east: float = strawberry.field(description="The greatest longitude, greater than west.")


@strawberry.input
class PointInput:
    """A point."""

    latitude: float = strawberry.field(description="In degrees, -90 to 90.")
    longitude: float = strawberry.field(description="In degrees, -180 to 180.")


@strawberry.input
class GeoFilter:
    """Where a property lies; all parts given must hold."""

    within_radius: RadiusInput | None = strawberry.field(
        default=None, description="Within a distance of a point, along the great circle."
    )
    within_box: BoxInput | None = strawberry.field(default=None, description="Within a box.")
    within_polygon: list[PointInput] | None = strawberry.field(
        default=None,
        description="Within an area drawn on a map, not across the 180th meridian: 3 to 100 "
        "corners in order, the last joined to the first, by lines straight in degrees.",
    )


@strawberry.input
class PropertyFilter:
    """Which properties are wanted.

    All parts given must hold; an empty list does not restrict; a property that lacks a value
    matches no part about that value.
    """

    ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="One of these properties, at most 100: to rank a shortlist."
    )
    exclude_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="None of these properties, at most 100: seen already, say."
    )
    external_ids: list[str] | None = strawberry.field(
        default=None, description="One of these ids in the tenant's own systems, at most 100."
    )
    text: str | None = strawberry.field(
        default=None,
        description="Each of these words begins a word of the address, city, state, ZIP code or "
        "external id, in any case and order, with or without accents: `12 mai sea` finds 1200 Main "
        "St, Seattle. At most "
        "200 characters; without a letter or digit it does not restrict.",
    )
    property_types: list[PropertyType] | None = strawberry.field(
        default=None, description="One of these types."
    )
    zipcodes: list[str] | None = strawberry.field(
        default=None,
        description="One of these ZIP codes, at most 100: five digits find ZIP+4 and codes that "
        "lost their leading zeros, too.",
    )
    cities: list[str] | None = strawberry.field(
        default=None, description="One of these cities, spelled as in the data, at most 100."
    )
    states: list[str] | None = strawberry.field(
        default=None, description="One of these states, spelled as in the data, at most 100."
    )
    listing_statuses: list[ListingStatus] | None = strawberry.field(
        default=None, description="One of these statuses."
    )
    listed_after: datetime | None = strawberry.field(
        default=None, description="Listed later than this; UTC if it has no zone."
    )
    listed_before: datetime | None = strawberry.field(
        default=None, description="Listed earlier than this; UTC if it has no zone."
    )
    price: FloatRange | None = strawberry.field(
        default=None, description="The listing price, in dollars."
    )
    estimated_value: FloatRange | None = strawberry.field(
        default=None, description="The estimated value, in dollars."
    )
    price_per_square_foot: FloatRange | None = strawberry.field(
        default=None, description="The listing price over the living area, in dollars."
    )
    cap_rate: FloatRange | None = strawberry.field(
        default=None, description="The cap rate, a fraction: 0.065 is 6.5%."
    )
    cash_on_cash_return: FloatRange | None = strawberry.field(
        default=None, description="Yearly cash flow over cash invested, a fraction."
    )
    bedrooms: IntRange | None = strawberry.field(default=None, description="How many bedrooms.")
    bathrooms: FloatRange | None = strawberry.field(
        default=None, description="How many bathrooms, halves allowed."
    )
    square_feet: FloatRange | None = strawberry.field(
        default=None, description="Living area, in square feet."
    )
    lot_square_feet: FloatRange | None = strawberry.field(
        default=None, description="Area of the lot, in square feet."
    )
    year_built: IntRange | None = strawberry.field(
        default=None, description="The year it was built."
    )
    days_on_market: IntRange | None = strawberry.field(
        default=None, description="How many days it has been listed."
    )
    condition_score: FloatRange | None = strawberry.field(
        default=None, description="Condition, 0 (worst) to 1 (best)."
    )
    renovation_needed: bool | None = strawberry.field(
        default=None, description="Whether it needs renovation."
    )
    owned: bool | None = strawberry.field(
        default=None, description="Whether an investor of the tenant made a deal on it."
    )
    geo: GeoFilter | None = strawberry.field(default=None, description="Where it lies.")


Where = Annotated[
    PropertyFilter | None,
    strawberry.argument(name="filter", description="Which properties; all if absent."),
]


def to_filter(where: PropertyFilter | None) -> filters.PropertyFilter:
    """The domain's filter. Raises DomainError INVALID_INPUT naming the field that breaks a rule."""
    if where is None:
        return filters.PropertyFilter()
    geo = where.geo or GeoFilter()
    ranges: dict[str, Any] = {
        name: _range(getattr(where, name), to_camel_case(name)) for name in RANGES
    }
    return filters.PropertyFilter(
        ids=_ids(where.ids, "ids"),
        exclude_ids=_ids(where.exclude_ids, "excludeIds"),
        external_ids=_texts(where.external_ids, "externalIds", canonical.identifier),
        words=_words(where.text),
        property_types=bounded(where.property_types, "propertyTypes"),
        zipcodes=tuple(map(canonical_zipcode, _texts(where.zipcodes, "zipcodes"))),
        cities=_texts(where.cities, "cities"),
        states=_texts(where.states, "states"),
        listing_statuses=bounded(where.listing_statuses, "listingStatuses"),
        listed_after=utc(where.listed_after, "filter", "listedAfter"),
        listed_before=utc(where.listed_before, "filter", "listedBefore"),
        renovation_needed=where.renovation_needed,
        owned=where.owned,
        circle=_circle(geo.within_radius),
        box=_box(geo.within_box),
        polygon=_polygon(geo.within_polygon),
        added=tuple(
            (name, wanted)
            for name in search.ADDED
            if (wanted := _range(getattr(where, name, None), to_camel_case(name)))
        ),
        **ranges,
    )


def _texts(
    values: Sequence[str] | None, name: str, read: Callable[[str], Any] = canonical.phrase
) -> tuple[str, ...]:
    """The values in canonical form, each once; a null word stays as it is."""
    wanted = bounded(values, name)
    for place, value in enumerate(wanted):
        if not storable(value) or len(value) > MAX_TEXT:
            raise invalid(
                f"{name}: use text of at most {MAX_TEXT} characters, without zero bytes",
                "filter", name, str(place),
            )  # fmt: skip
    return tuple(dict.fromkeys(canonical.value_of(read(value)) or value for value in wanted))


def _ids(values: Sequence[strawberry.ID] | None, name: str) -> tuple[UUID, ...]:
    return tuple(
        parse_id(value, "Property", "filter", name, str(place))
        for place, value in enumerate(bounded(values, name))
    )


def _words(text: str | None) -> tuple[str, ...]:
    if text is not None and (not storable(text) or len(text) > MAX_TEXT):
        raise invalid(
            f"text: {len(text)} characters; use at most {MAX_TEXT}, without zero bytes",
            "filter", "text",
        )  # fmt: skip
    return words_of(text or "")


def _range(wanted: FloatRange | IntRange | None, name: str) -> filters.Range | None:
    if wanted is None or (wanted.min is None and wanted.max is None):
        return None
    if wanted.min is not None and wanted.max is not None and wanted.min > wanted.max:
        raise invalid(f"{name}: min {wanted.min} is above max {wanted.max}", "filter", name, "min")
    return filters.Range(wanted.min, wanted.max)


def _circle(wanted: RadiusInput | None) -> filters.Circle | None:
    if wanted is None:
        return None
    path = ("geo", "withinRadius")
    _within(wanted.latitude, 90, *path, "latitude")
    _within(wanted.longitude, 180, *path, "longitude")
    if not 0 < wanted.radius_km <= MAX_RADIUS_KM:
        raise invalid(
            f"radiusKm {wanted.radius_km}: use more than 0 and at most {MAX_RADIUS_KM:g}",
            "filter", *path, "radiusKm",
        )  # fmt: skip
    return filters.Circle(wanted.latitude, wanted.longitude, wanted.radius_km)


def _box(wanted: BoxInput | None) -> filters.Box | None:
    if wanted is None:
        return None
    path = ("geo", "withinBox")
    _within(wanted.south, 90, *path, "south")
    _within(wanted.north, 90, *path, "north")
    _within(wanted.west, 180, *path, "west")
    _within(wanted.east, 180, *path, "east")
    if wanted.south > wanted.north:
        raise invalid("south is above north", "filter", *path, "south")
    if wanted.west >= wanted.east:
        raise invalid("west must be smaller than east", "filter", *path, "west")
    return filters.Box(wanted.south, wanted.west, wanted.north, wanted.east)


def _polygon(wanted: list[PointInput] | None) -> filters.Polygon | None:
    if wanted is None:
        return None
    path = ("geo", "withinPolygon")
    if not 3 <= len(wanted) <= MAX_CORNERS:
        raise invalid(
            f"withinPolygon: {len(wanted)} corners; use 3 to {MAX_CORNERS}", "filter", *path
        )
    for place, corner in enumerate(wanted):
        _within(corner.latitude, 90, *path, str(place), "latitude")
        _within(corner.longitude, 180, *path, str(place), "longitude")
    return filters.Polygon(tuple((corner.latitude, corner.longitude) for corner in wanted))


def _within(value: float, limit: float, *path: str) -> None:
    if not -limit <= value <= limit:
        raise invalid(f"{path[-1]} {value}: use -{limit:g} to {limit:g}", "filter", *path)


def add_number(name: str, description: str) -> None:
    """Let clients filter and order properties by a number that ``search.add`` added.

    Raises:
        ValueError: it did not, or clients have something of that name.
    """
    if name not in search.ADDED:
        raise ValueError(f"search.add has not added {name!r}")
    extend_input(PropertyFilter, name, FloatRange | None, description=description)
    extend_enum(PropertyOrderField, name.upper(), name, description)
