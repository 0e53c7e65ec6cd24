"""The domain's property filter and property columns in Qdrant's terms.

One module owns both sides, what a point carries and how a filter asks for it, so that they cannot
drift apart. A missing value is left out of the payload and thus matches no condition on it.
"""

from collections.abc import Sequence
from math import inf, nextafter
from typing import Any

import numpy as np
from qdrant_client import models

from domain.snapshots import Box, Circle, PropertyColumns, PropertyFilter, Range
from domain.vocabulary import ListingStatus, PropertyType

PAYLOAD_INDEXES: dict[str, models.PayloadSchemaType] = {
    "property_id": models.PayloadSchemaType.KEYWORD,
    "property_type": models.PayloadSchemaType.KEYWORD,
    "zipcode": models.PayloadSchemaType.KEYWORD,
    "city": models.PayloadSchemaType.KEYWORD,
    "listing_status": models.PayloadSchemaType.KEYWORD,
    "listing_price": models.PayloadSchemaType.FLOAT,
    "bedrooms": models.PayloadSchemaType.FLOAT,
    "bathrooms": models.PayloadSchemaType.FLOAT,
    "square_feet": models.PayloadSchemaType.FLOAT,
    "year_built": models.PayloadSchemaType.FLOAT,
    "listed_at": models.PayloadSchemaType.FLOAT,
    "location": models.PayloadSchemaType.GEO,
    "owned": models.PayloadSchemaType.BOOL,
}
"""What a property's point carries beside its tenant and model version."""

_NUMBERS = ("listing_price", "bedrooms", "bathrooms", "square_feet", "year_built")
_MILLIMETRE = 0.001


def payloads(columns: PropertyColumns) -> list[dict[str, Any]]:
    """The payload of each property, n dictionaries of JSON values."""
    numbers = {name: columns.column(name).tolist() for name in _NUMBERS}
    numbers["listed_at"] = columns.listed_at.tolist()
    latitudes, longitudes = columns.column("latitude"), columns.column("longitude")
    located = (np.abs(latitudes) <= 90) & (np.abs(longitudes) <= 180)
    result = []
    for row, property_id in enumerate(columns.ids):
        payload: dict[str, Any] = {
            "property_id": str(property_id),
            "owned": bool(columns.owners[row]),
        }
        payload |= {
            name: values[row] for name, values in numbers.items() if -inf < values[row] < inf
        }
        if (zipcode := columns.zipcode[row]) is not None:
            payload["zipcode"] = zipcode
        if (city := columns.city[row]) is not None:
            payload["city"] = city
        if (kind := _name(PropertyType, columns.property_type[row])) is not None:
            payload["property_type"] = kind
        if (status := _name(ListingStatus, columns.listing_status[row])) is not None:
            payload["listing_status"] = status
        if located[row]:
            payload["location"] = {"lat": float(latitudes[row]), "lon": float(longitudes[row])}
        result.append(payload)
    return result


def conditions(where: PropertyFilter) -> list[models.Condition]:
    """The conditions that a property must all meet."""
    found: list[models.Condition] = []
    listed = Range(min=where.listed_after.timestamp()) if where.listed_after else None
    for key, values in (
        ("property_type", where.property_types),
        ("zipcode", where.zipcodes),
        ("city", where.cities),
        ("listing_status", where.listing_statuses),
    ):
        if values:
            match = models.MatchAny(any=[str(value) for value in values])
            found.append(models.FieldCondition(key=key, match=match))
    for key, interval in (
        ("listing_price", where.price),
        ("bedrooms", where.bedrooms),
        ("bathrooms", where.bathrooms),
        ("square_feet", where.square_feet),
        ("year_built", where.year_built),
        ("listed_at", listed),
    ):
        if interval is not None and (interval.min is not None or interval.max is not None):
            bounds = models.Range(gte=interval.min, lte=interval.max)
            found.append(models.FieldCondition(key=key, range=bounds))
    if where.circle is not None:
        found.append(_within_circle(where.circle))
    if where.box is not None:
        found.append(_within_box(where.box))
    return found


def unowned() -> models.Condition:
    """Of which no investor of the tenant is an owner."""
    return models.FieldCondition(key="owned", match=models.MatchValue(value=False))


def within_any(circles: Sequence[Circle]) -> models.Condition:
    """Within at least one of the circles."""
    return models.Filter(should=[_within_circle(circle) for circle in circles])


def _name(vocabulary: type[PropertyType] | type[ListingStatus], code: int) -> str | None:
    """The value at a position of a vocabulary, None for the code of a missing one."""
    values = list(vocabulary)
    return str(values[code]) if 0 <= code < len(values) else None


def _within_circle(circle: Circle) -> models.Condition:
    # Qdrant's circles and boxes are open, ours are closed: a hair wider makes up for it.
    return models.FieldCondition(
        key="location",
        geo_radius=models.GeoRadius(
            center=models.GeoPoint(lat=circle.latitude, lon=circle.longitude),
            radius=circle.radius_km * 1000 + _MILLIMETRE,
        ),
    )


def _within_box(box: Box) -> models.Condition:
    return models.FieldCondition(
        key="location",
        geo_bounding_box=models.GeoBoundingBox(
            top_left=models.GeoPoint(lat=nextafter(box.north, 90), lon=nextafter(box.west, -180)),
            bottom_right=models.GeoPoint(
                lat=nextafter(box.south, -90), lon=nextafter(box.east, 180)
            ),
        ),
    )
