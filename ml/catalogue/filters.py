"""The domain's property filter over arrays, as ``domain.properties.search`` decides in SQL."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.filters import RANGES, Box, Circle, Polygon, PropertyFilter, Range
from domain.contract.vocabulary import ListingStatus, PropertyType
from ml.catalogue.columns import FilterView, numbers_of
from ml.twin.items import EARTH_RADIUS_KM

Mask = NDArray[np.bool_]
RowsOf = Callable[[Collection[UUID]], NDArray[np.intp]]
"""The rows of those of the properties that are there."""

_CELLS = 1_000_000
"""Pairs of a property and a line that are looked at together."""

_TYPES, _STATUSES = list(PropertyType), list(ListingStatus)
_LIMITS = np.array([90.0, 180.0])
_BEYOND = 1 + 1e-11


def matching(where: PropertyFilter, view: FilterView, rows_of: RowsOf) -> Mask | None:
    """Which rows match a filter, bool (n,); None for all.

    What is ``added`` to the filter is not known here.
    """
    found: Mask | None = None
    for part in chain(_listed(where, view, rows_of), _named(where, view), _measured(where, view)):
        found = part if found is None else np.logical_and(found, part, out=found)
    for decide in _dear(where):
        # Of the rows that the others left, for these look at each row for long.
        rows = np.arange(len(view)) if found is None else np.flatnonzero(found)
        kept = rows[decide(view, rows)]
        found = np.zeros(len(view), dtype=np.bool_)
        found[kept] = True
    return found


def _listed(where: PropertyFilter, view: FilterView, rows_of: RowsOf) -> Iterator[Mask]:
    if where.ids:
        listed = np.zeros(len(view), dtype=np.bool_)
        listed[rows_of(where.ids)] = True
        yield listed
    if where.exclude_ids:
        others = np.ones(len(view), dtype=np.bool_)
        others[rows_of(where.exclude_ids)] = False
        yield others


def _named(where: PropertyFilter, view: FilterView) -> Iterator[Mask]:
    if where.property_types:
        yield _among(view.property_type, [_TYPES.index(one) for one in where.property_types])
    if where.listing_statuses:
        yield _among(view.listing_status, [_STATUSES.index(one) for one in where.listing_statuses])
    for names, numbers in (
        (where.zipcodes, view.zipcode),
        (where.cities, view.city),
        (where.states, view.state),
    ):
        if names:
            yield _among(numbers, numbers_of(names, view.names))
    if where.renovation_needed is not None:
        yield view.column("renovation_needed") == float(where.renovation_needed)
    if where.owned is not None:
        yield view.owned == where.owned


def _measured(where: PropertyFilter, view: FilterView) -> Iterator[Mask]:
    for part, column in RANGES.items():
        interval: Range | None = getattr(where, part)
        if interval is not None and (interval.min is not None or interval.max is not None):
            yield from _within(view.column(column), interval)
    if where.listed_after is not None:
        yield view.listed_at > where.listed_after.timestamp()
    if where.listed_before is not None:
        yield view.listed_at < where.listed_before.timestamp()
    if where.box is not None:
        yield from _boxed(view, where.box)


def _dear(where: PropertyFilter) -> Iterator[Callable[[FilterView, NDArray[np.intp]], Mask]]:
    circle, polygon = where.circle, where.polygon
    if where.external_ids:
        wanted = np.array(where.external_ids, dtype=object)
        yield lambda view, rows: np.isin(view.external_id[rows].astype(object), wanted)
    if circle is not None:
        yield lambda view, rows: within_circle(circle, view, rows)
    if polygon is not None:
        yield lambda view, rows: _within_polygon(polygon, view, rows)
    for word in where.words:
        yield lambda view, rows, word=word: np.strings.find(view.words[rows], f" {word}") >= 0  # type: ignore[misc]


def _among(codes: NDArray[np.int8] | NDArray[np.int32], wanted: Sequence[int]) -> Mask:
    """Which of the codes, -1 or more, are wanted."""
    # Missing ones look up the last place.
    table = np.zeros(int(codes.max(initial=0)) + 2, dtype=np.bool_)
    table[[one for one in wanted if one < len(table) - 1]] = True
    return table[codes]


def _within(values: NDArray[np.float64], interval: Range) -> Iterator[Mask]:
    # NaN, a missing value, compares as false.
    if interval.min is not None:
        yield values >= interval.min
    if interval.max is not None:
        yield values <= interval.max


def _boxed(view: FilterView, box: Box) -> Iterator[Mask]:
    yield from _within(view.column("latitude"), Range(box.south, box.north))
    yield from _within(view.column("longitude"), Range(box.west, box.east))


def within_circle(circle: Circle, view: FilterView, rows: NDArray[np.intp]) -> Mask:
    """Which of the rows lie within a circle, its border included."""
    latitude, longitude = view.column("latitude")[rows], view.column("longitude")[rows]
    # Haversine, with angles rounded as in SQL.
    half_latitude = _radians(latitude - circle.latitude) / 2
    half_longitude = _radians(longitude - circle.longitude) / 2
    centre = _radians(np.float64(circle.latitude))
    chord = np.sin(half_latitude) ** 2 + np.cos(centre) * np.cos(_radians(latitude)) * (
        np.sin(half_longitude) ** 2
    )
    apart = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(1.0, chord)))
    return np.asarray(apart <= circle.radius_km)


def _radians(degrees: "NDArray[np.float64] | np.float64") -> "NDArray[np.float64]":
    return np.radians(np.asarray(np.round(degrees * 1e7) / 1e7))


def _within_polygon(polygon: Polygon, view: FilterView, rows: NDArray[np.intp]) -> Mask:
    """Which of the rows the polygon's ring winds around; see ``domain.properties.polygons``."""
    corners = np.array(polygon.corners, dtype=np.float64)
    # A line along the edge of the map does not restrict, so it passes beyond what lies there.
    starts = np.where(np.abs(corners) < _LIMITS, corners, corners * _BEYOND)
    ends = np.roll(starts, -1, axis=0)
    (south, west), (north_by, east_by) = starts.T, (ends - starts).T
    lowest, highest = np.minimum(starts, ends)[:, 0], np.maximum(starts, ends)[:, 0]
    direction = np.sign(north_by)
    inside = []
    for some in np.array_split(rows, -(-len(rows) * len(starts) // _CELLS) or 1):
        latitude = view.column("latitude")[some][:, None]
        longitude = view.column("longitude")[some][:, None]
        across = (lowest <= latitude) & (latitude < highest)
        # Above 0 where the property lies to the left of a line that goes upwards.
        turn = direction * (east_by * (latitude - south) - (longitude - west) * north_by)
        inside.append((direction * (across & (turn > 0))).sum(axis=1) != 0)
    return np.concatenate(inside)
