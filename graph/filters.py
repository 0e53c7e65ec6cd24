"""The filter and the order of properties: inputs, checked and turned into the domain's."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import strawberry

from domain import snapshots
from domain.base import storable
from domain.errors import invalid
from domain.properties import ORDERABLE, Order
from domain.vocabulary import ListingStatus, PropertyType
from graph.enums import publish

T = TypeVar("T")

MAX_VALUES = 100
MAX_TEXT = 200
MAX_RADIUS_KM = 500.0


@strawberry.input(description="A closed interval of numbers; a side that is absent is open.")
class FloatRange:
    """A closed interval of numbers."""

    min: float | None = strawberry.field(default=None, description="The smallest allowed.")
    max: float | None = strawberry.field(default=None, description="The greatest allowed.")


@strawberry.input(description="A closed interval of integers; a side that is absent is open.")
class IntRange:
    """A closed interval of integers."""

    min: int | None = strawberry.field(default=None, description="The smallest allowed.")
    max: int | None = strawberry.field(default=None, description="The greatest allowed.")


@strawberry.input(description="All points within a distance of a point.")
class RadiusInput:
    """A circle on the globe."""

    latitude: float = strawberry.field(description="The centre's, in degrees, -90 to 90.")
    longitude: float = strawberry.field(description="The centre's, in degrees, -180 to 180.")
    radius_km: float = strawberry.field(description="In kilometres, above 0, at most 500.")


@strawberry.input(description="All points between two corners, not across the 180th meridian.")
class BoxInput:
    """A box of degrees."""

    south: float = strawberry.field(description="The smallest latitude, -90 to 90.")
    west: float = strawberry.field(description="The smallest longitude, -180 to 180.")
    north: float = strawberry.field(description="The greatest latitude, at least south.")
    east: float = strawberry.field(description="The greatest longitude, greater than west.")


@strawberry.input(description="Where a property lies; all parts given must hold.")
class GeoFilter:
    """Where a property lies."""

    within_radius: RadiusInput | None = strawberry.field(
        default=None, description="Within a distance of a point, along the great circle."
    )
    within_box: BoxInput | None = strawberry.field(default=None, description="Within a box.")


@strawberry.input(
    description="Which properties are wanted. All parts given must hold; an empty list does not "
    "restrict; a property that lacks a value matches no part about that value."
)
class PropertyFilter:
    """Which properties are wanted."""

    property_types: list[PropertyType] | None = strawberry.field(
        default=None, description="One of these types."
    )
    zipcodes: list[str] | None = strawberry.field(
        default=None, description="One of these ZIP codes, at most 100."
    )
    cities: list[str] | None = strawberry.field(
        default=None, description="One of these cities, spelled as in the data, at most 100."
    )
    listing_statuses: list[ListingStatus] | None = strawberry.field(
        default=None, description="One of these statuses."
    )
    listed_after: datetime | None = strawberry.field(
        default=None, description="Listed later than this; UTC if it has no zone."
    )
    price: FloatRange | None = strawberry.field(
        default=None, description="The listing price, in dollars."
    )
    bedrooms: IntRange | None = strawberry.field(default=None, description="How many bedrooms.")
    bathrooms: FloatRange | None = strawberry.field(
        default=None, description="How many bathrooms, halves allowed."
    )
    square_feet: FloatRange | None = strawberry.field(
        default=None, description="Living area, in square feet."
    )
    year_built: IntRange | None = strawberry.field(
        default=None, description="The year it was built."
    )
    geo: GeoFilter | None = strawberry.field(default=None, description="Where it lies.")


Where = Annotated[
    PropertyFilter | None,
    strawberry.argument(name="filter", description="Which properties; all if absent."),
]


def to_filter(where: PropertyFilter | None) -> snapshots.PropertyFilter:
    """The domain's filter. Raises DomainError INVALID_INPUT naming the field that breaks a rule."""
    if where is None:
        return snapshots.PropertyFilter()
    geo = where.geo or GeoFilter()
    return snapshots.PropertyFilter(
        property_types=_values(where.property_types, "propertyTypes"),
        zipcodes=_texts(where.zipcodes, "zipcodes"),
        cities=_texts(where.cities, "cities"),
        listing_statuses=_values(where.listing_statuses, "listingStatuses"),
        listed_after=utc(where.listed_after, "filter", "listedAfter"),
        price=_range(where.price, "price"),
        bedrooms=_range(where.bedrooms, "bedrooms"),
        bathrooms=_range(where.bathrooms, "bathrooms"),
        square_feet=_range(where.square_feet, "squareFeet"),
        year_built=_range(where.year_built, "yearBuilt"),
        circle=_circle(geo.within_radius),
        box=_box(geo.within_box),
    )


def utc(value: datetime | None, *field: str) -> datetime | None:
    """The moment in UTC, which it is in already if it names no zone."""
    if value is None or value.tzinfo is None:
        return value and value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise invalid(f"{field[-1]}: use a year from 1 to 9999", *field) from None


def _values(values: Sequence[T] | None, name: str) -> tuple[T, ...]:
    if values is not None and len(values) > MAX_VALUES:
        raise invalid(f"{name}: {len(values)} values; use at most {MAX_VALUES}", "filter", name)
    # In one order, so that equal filters are equal.
    return tuple(dict.fromkeys(values or ()))


def _texts(values: Sequence[str] | None, name: str) -> tuple[str, ...]:
    for place, value in enumerate(_values(values, name)):
        if not storable(value) or len(value) > MAX_TEXT:
            raise invalid(
                f"{name}: use text of at most {MAX_TEXT} characters, without zero bytes",
                "filter", name, str(place),
            )  # fmt: skip
    return _values(values, name)


def _range(wanted: FloatRange | IntRange | None, name: str) -> snapshots.Range | None:
    if wanted is None or (wanted.min is None and wanted.max is None):
        return None
    if wanted.min is not None and wanted.max is not None and wanted.min > wanted.max:
        raise invalid(f"{name}: min {wanted.min} is above max {wanted.max}", "filter", name, "min")
    return snapshots.Range(wanted.min, wanted.max)


def _circle(wanted: RadiusInput | None) -> snapshots.Circle | None:
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
    return snapshots.Circle(wanted.latitude, wanted.longitude, wanted.radius_km)


def _box(wanted: BoxInput | None) -> snapshots.Box | None:
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
    return snapshots.Box(wanted.south, wanted.west, wanted.north, wanted.east)


def _within(value: float, limit: float, *path: str) -> None:
    if not -limit <= value <= limit:
        raise invalid(f"{path[-1]} {value}: use -{limit:g} to {limit:g}", "filter", *path)


class PropertyOrderField(StrEnum):
    """What properties are ordered by: the domain's ``ORDERABLE``."""

    LISTING_PRICE = "listing_price"
    ESTIMATED_VALUE = "estimated_value"
    SQUARE_FEET = "square_feet"
    YEAR_BUILT = "year_built"
    DAYS_ON_MARKET = "days_on_market"
    LISTED_AT = "listed_at"
    ENGAGEMENT = "engagement"


class OrderDirection(StrEnum):
    """Which way a list is ordered."""

    ASC = "ASC"
    DESC = "DESC"


assert {field.value for field in PropertyOrderField} == set(ORDERABLE)

publish(
    PropertyOrderField,
    "What properties are ordered by.",
    {
        PropertyOrderField.LISTING_PRICE: "The listing price.",
        PropertyOrderField.ESTIMATED_VALUE: "The estimated value.",
        PropertyOrderField.SQUARE_FEET: "The living area.",
        PropertyOrderField.YEAR_BUILT: "The year it was built.",
        PropertyOrderField.DAYS_ON_MARKET: "How long it has been on the market.",
        PropertyOrderField.LISTED_AT: "When it was listed.",
        PropertyOrderField.ENGAGEMENT: "How much the tenant's investors engage with it.",
    },
)
publish(
    OrderDirection,
    "Which way a list is ordered.",
    {OrderDirection.ASC: "The smallest first.", OrderDirection.DESC: "The greatest first."},
)


@strawberry.input(
    description="How properties are ordered: those that lack the value come last, ties go by id."
)
class PropertyOrder:
    """How properties are ordered."""

    field: PropertyOrderField = strawberry.field(description="By what.")
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="Which way."
    )


def to_order(order: PropertyOrder | None) -> Order:
    """The domain's order; by id if none is asked for."""
    if order is None:
        return Order()
    return Order(order.field.value, descending=order.direction is OrderDirection.DESC)
