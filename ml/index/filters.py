"""The domain's property filter and property columns in Qdrant's terms.

One module owns both sides, what a point carries and how a filter asks for it, so that they cannot
drift apart. A missing value is left out of the payload and thus matches no condition on it.

A filter finds all that it finds in PostgreSQL, and what lies beyond a border by less than Qdrant's
arithmetic can tell: PostgreSQL decides about that when it reads the properties found. What lies
within a third of a millimetre of a polygon's sharp corner, or of its line at the edge of the map,
Qdrant may leave out.

Conditions are Qdrant's own messages: the client's models would be checked and turned into those for
every search, which takes longer than to make them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import inf, isnan
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc, models

from domain.contract.filters import RANGES, Box, Circle, Polygon, PropertyFilter, Range
from domain.contract.snapshots import PropertyColumns
from domain.contract.vocabulary import ListingStatus, PropertyType

# A graph is linked for each space as a whole (see ``ml.index.index``), and for no other field:
# Qdrant would link it once more for every field that may have one.
KEYWORD = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, enable_hnsw=False)
_FLOAT = models.FloatIndexParams(type=models.FloatIndexType.FLOAT, enable_hnsw=False)
_BOOL = models.BoolIndexParams(type=models.BoolIndexType.BOOL, enable_hnsw=False)
PAYLOAD_INDEXES: dict[str, models.PayloadSchemaParams] = {
    **dict.fromkeys(
        ("external_id", "property_type", "zipcode", "city", "state", "listing_status"), KEYWORD
    ),
    "words": KEYWORD.model_copy(update={"prefix": True}),
    **dict.fromkeys((*RANGES.values(), "listed_at"), _FLOAT),
    **dict.fromkeys(("renovation_needed", "owned"), _BOOL),
    "location": models.GeoIndexParams(type=models.GeoIndexType.GEO, enable_hnsw=False),
}
"""What a property's point carries beside its space; its id is in the id of the point."""

_MARGIN = 0.03
"""Metres: PostgreSQL rounds degrees to a centimetre, on either side, before it computes a distance.
"""
_ROUNDING = 1e-15
"""How far, in parts of it, a number may be off once Qdrant has written it to disk as JSON."""
_EDGE = 1e-9
"""Degrees, a tenth of a millimetre, that points and areas keep from the poles and from the 180th
meridian. Qdrant finds points by the cells of a grid in which 90 and 180 are past the last cell: it
would take them for -90 and -180."""
_WHOLE = 2.0**53  # below, a float and the integer that it stands for are the same number


def payloads(columns: PropertyColumns) -> list[dict[str, Any]]:
    """The payload of each property, n dictionaries of JSON values."""
    latitudes, longitudes = columns.column("latitude"), columns.column("longitude")
    located = (np.abs(latitudes) <= 90) & (np.abs(longitudes) <= 180)
    fields: dict[str, Iterable[Any]] = {
        "owned": (columns.owners > 0).tolist(),
        **{name: _numbers(columns.column(name)) for name in RANGES.values()},
        "listed_at": _numbers(columns.listed_at),
        "zipcode": columns.zipcode,
        "city": columns.city,
        "property_type": _names(PropertyType, columns.property_type),
        "listing_status": _names(ListingStatus, columns.listing_status),
        "renovation_needed": [
            None if isnan(value) else value != 0
            for value in columns.column("renovation_needed").tolist()
        ],
        "location": [
            {"lat": _latitude(latitude), "lon": _longitude(longitude)} if known else None
            for latitude, longitude, known in zip(
                latitudes.tolist(), longitudes.tolist(), located.tolist(), strict=True
            )
        ],
    }
    if columns.labels:
        fields["external_id"], fields["state"], words = zip(*columns.labels, strict=True)
        fields["words"] = map(list, words)
    return [
        {name: value for name, value in zip(fields, row, strict=True) if value is not None}
        for row in zip(*fields.values(), strict=True)
    ]


def conditions(
    where: PropertyFilter, named: Callable[[Iterable[UUID]], grpc.Condition]
) -> list[grpc.Condition]:
    """The conditions that a property must all meet.

    ``named`` makes the condition that a point is of one of those properties.
    """
    found = [named(where.ids)] if where.ids else []
    for key, values in (
        ("external_id", where.external_ids),
        ("property_type", where.property_types),
        ("zipcode", where.zipcodes),
        ("city", where.cities),
        ("state", where.states),
        ("listing_status", where.listing_statuses),
    ):
        if values:
            found.append(among(key, values))
    found.extend(begins("words", word) for word in where.words)
    for part, key in RANGES.items():
        interval: Range | None = getattr(where, part)
        if interval is not None and (interval.min is not None or interval.max is not None):
            found.append(_field(key, range=_wider(interval)))
    if where.listed_after is not None:
        later = grpc.Range(gt=where.listed_after.timestamp())
        found.append(_field("listed_at", range=later))
    if where.listed_before is not None:
        earlier = grpc.Range(lt=where.listed_before.timestamp())
        found.append(_field("listed_at", range=earlier))
    for key, flag in (("renovation_needed", where.renovation_needed), ("owned", where.owned)):
        if flag is not None:
            found.append(_field(key, match=grpc.Match(boolean=flag)))
    found.extend(_located(where))
    if where.exclude_ids:
        found.append(_not(named(where.exclude_ids)))
    if where.exclude_listing_statuses:
        found.append(_not(among("listing_status", where.exclude_listing_statuses)))
    return found


def _located(where: PropertyFilter) -> Iterator[grpc.Condition]:
    if where.circle is not None:
        yield _within_circle(where.circle)
    if where.box is not None:
        yield _within_box(where.box)
    if where.polygon is not None:
        yield _within_polygon(where.polygon)


def _not(condition: grpc.Condition) -> grpc.Condition:
    return grpc.Condition(filter=grpc.Filter(must_not=[condition]))


def equals(key: str, value: object) -> grpc.Condition:
    """Points whose payload field is that."""
    return _field(key, match=grpc.Match(keyword=str(value)))


def begins(key: str, prefix: str) -> grpc.Condition:
    """Points whose payload field, or one of its values, begins with that."""
    return _field(key, match=grpc.Match(prefix=prefix))


def among(key: str, values: Iterable[object]) -> grpc.Condition:
    """Points whose payload field is one of those."""
    strings = grpc.RepeatedStrings(strings=[str(value) for value in values])
    return _field(key, match=grpc.Match(keywords=strings))


def at_least(key: str, value: float) -> grpc.Condition:
    """Points whose payload field is that or more."""
    return _field(key, range=grpc.Range(gte=value))


def at_most(key: str, value: float) -> grpc.Condition:
    """Points whose payload field is that or less."""
    return _field(key, range=grpc.Range(lte=value))


def both(*conditions: grpc.Condition) -> grpc.Condition:
    """All of the conditions hold."""
    return grpc.Condition(filter=grpc.Filter(must=conditions))


def either(conditions: Sequence[grpc.Condition]) -> grpc.Condition:
    """At least one of the conditions holds."""
    return grpc.Condition(filter=grpc.Filter(should=conditions))


def _field(key: str, **what: Any) -> grpc.Condition:
    return grpc.Condition(field=grpc.FieldCondition(key=key, **what))


def unowned() -> grpc.Condition:
    """Of which no investor of the tenant is an owner."""
    return _field("owned", match=grpc.Match(boolean=False))


def within_any(circles: Sequence[Circle]) -> grpc.Condition:
    """Within at least one of the circles."""
    return either(list(map(_within_circle, circles)))


def _wider(interval: Range) -> grpc.Range:
    low, high = interval.min, interval.max
    return grpc.Range(
        gte=None if low is None else low - abs(low) * _ROUNDING,
        lte=None if high is None else high + abs(high) * _ROUNDING,
    )


def _numbers(values: NDArray[np.float64]) -> list[float | int | None]:
    """Finite numbers, whole ones as integers, which cost an index less; None for others."""
    return [
        (int(value) if value.is_integer() and abs(value) < _WHOLE else value)
        if -inf < value < inf
        else None
        for value in values.tolist()
    ]


def _latitude(degrees: float, edge: float = _EDGE) -> float:
    return min(max(degrees, edge - 90), 90 - edge)


def _longitude(degrees: float, edge: float = _EDGE) -> float:
    return min(max(degrees, edge - 180), 180 - edge)


def _point(latitude: float, longitude: float, edge: float = _EDGE) -> grpc.GeoPoint:
    return grpc.GeoPoint(lat=_latitude(latitude, edge), lon=_longitude(longitude, edge))


def _names(
    vocabulary: type[PropertyType] | type[ListingStatus], codes: NDArray[np.int8]
) -> list[str | None]:
    """The values at those positions of a vocabulary, None for the codes of missing ones."""
    names = dict(enumerate(map(str, vocabulary)))
    return list(map(names.get, codes.tolist()))


def _within_circle(circle: Circle) -> grpc.Condition:
    return _field(
        "location",
        geo_radius=grpc.GeoRadius(
            center=_point(circle.latitude, circle.longitude),
            radius=circle.radius_km * 1000 + _MARGIN,
        ),
    )


def _within_box(box: Box) -> grpc.Condition:
    margin = _EDGE / 2
    return _field(
        "location",
        geo_bounding_box=grpc.GeoBoundingBox(
            top_left=grpc.GeoPoint(
                lat=_latitude(box.north) + margin, lon=_longitude(box.west) - margin
            ),
            bottom_right=grpc.GeoPoint(
                lat=_latitude(box.south) - margin, lon=_longitude(box.east) + margin
            ),
        ),
    )


def _within_polygon(polygon: Polygon) -> grpc.Condition:
    # In PostgreSQL western borders are inside, in Qdrant none is. Of the ring moved a hair in each
    # direction, one has what lies on a border or a corner inside.
    return either([_moved(polygon, *by) for by in product((-_EDGE, _EDGE), repeat=2)])


def _moved(polygon: Polygon, north: float, east: float) -> grpc.Condition:
    # Nearer to the edge of the map than any point is, so that a line along it does not restrict.
    ring = [
        _point(latitude + north, longitude + east, _EDGE / 2)
        for latitude, longitude in polygon.corners
    ]
    exterior = grpc.GeoLineString(points=[*ring, ring[0]])
    return _field("location", geo_polygon=grpc.GeoPolygon(exterior=exterior))
