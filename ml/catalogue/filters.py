"""The domain's property filter over the arrays of a catalogue.

It finds the rows that ``domain.properties.search`` finds in PostgreSQL, borders included: numbers
are compared as float64, and distances and sides are computed by the same operations in the same
order.
"""

import math
from collections.abc import Callable, Collection, Iterator
from functools import partial
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.filters import (
    EARTH_RADIUS_KM,
    KM_PER_DEGREE,
    RANGES,
    Circle,
    Polygon,
    PropertyFilter,
    Range,
)
from domain.contract.vocabulary import ListingStatus, PropertyType
from ml.catalogue.columns import CODED, FilterView

RowsOf = Callable[[Collection[UUID]], NDArray[np.intp]]
"""Gives the rows of ids in a view; unknown ids are left out."""

Mask = NDArray[np.bool_]

_FEW = 8
"""Up to this number of values, comparing with each one is faster than a table of all codes."""
_DOUBT = 1e-9
"""Relative difference between two computations of a distance: an ulp or two, and a margin."""


def matching(where: PropertyFilter, view: FilterView, rows_of: RowsOf) -> Mask | None:
    """Which rows match, bool (n,); None if the filter restricts nothing.

    ``where.added`` is ignored: resolve it to ids before.

    Args:
        where: the filter.
        view: the rows.
        rows_of: gives the rows of ids.
    """
    mask: Mask | None = None
    for part in _cheap(where, view, rows_of):
        mask = part if mask is None else np.logical_and(mask, part, out=mask)
    for matches in _expensive(where, view):
        rows = np.arange(len(view)) if mask is None else np.flatnonzero(mask)
        mask = np.zeros(len(view), dtype=np.bool_)
        mask[rows] = matches(rows)
    return mask


def _cheap(where: PropertyFilter, view: FilterView, rows_of: RowsOf) -> Iterator[Mask]:
    """Masks of the parts that take one or two passes over an array, each a new array."""
    columns = view.columns
    yield from _chosen(where, view, rows_of)
    if where.property_types:
        places = list(map(list(PropertyType).index, where.property_types))
        yield _among(columns["property_type"], places, len(PropertyType))
    yield from _statuses(where, columns["listing_status"])
    for name, texts in zip(CODED, (where.zipcodes, where.cities, where.states), strict=True):
        if texts:
            codes = view.codes[name]
            known = [codes[text] for text in dict.fromkeys(texts) if text in codes]
            yield _among(columns[name], known, len(codes))
    for part, name in RANGES.items():
        wanted: Range | None = getattr(where, part)
        if wanted is not None and wanted.min is not None:
            yield columns[name] >= float(wanted.min)
        if wanted is not None and wanted.max is not None:
            yield columns[name] <= float(wanted.max)
    if where.listed_after is not None:
        yield columns["listed_at"] > where.listed_after.timestamp()
    if where.listed_before is not None:
        yield columns["listed_at"] < where.listed_before.timestamp()
    if where.renovation_needed is not None:
        yield columns["renovation_needed"] == where.renovation_needed
    if where.owned is not None:
        yield columns["owned"] == where.owned
    for lowest, highest, name in _bands(where):
        yield columns[name] >= lowest
        yield columns[name] <= highest


def _statuses(where: PropertyFilter, codes: NDArray[np.int8]) -> Iterator[Mask]:
    """Masks of the parts about the listing status."""
    index, count = list(ListingStatus).index, len(ListingStatus)
    if where.listing_statuses:
        yield _among(codes, list(map(index, where.listing_statuses)), count)
    if where.exclude_listing_statuses:
        yield ~_among(codes, list(map(index, where.exclude_listing_statuses)), count)


def _chosen(where: PropertyFilter, view: FilterView, rows_of: RowsOf) -> Iterator[Mask]:
    """Masks of the parts that name properties by id or by words."""
    if where.ids:
        mask = np.zeros(len(view), dtype=np.bool_)
        mask[rows_of(where.ids)] = True
        yield mask
    if where.exclude_ids:
        mask = np.ones(len(view), dtype=np.bool_)
        mask[rows_of(where.exclude_ids)] = False
        yield mask
    for word in where.words:
        yield view.words.with_prefix(word, len(view))


def _bands(where: PropertyFilter) -> Iterator[tuple[float, float, str]]:
    """Bounds of latitude and longitude between which the areas lie."""
    if (box := where.box) is not None:
        yield box.south, box.north, "latitude"
        yield box.west, box.east, "longitude"
    if (circle := where.circle) is not None:
        reach = circle.radius_km / KM_PER_DEGREE
        yield circle.latitude - reach, circle.latitude + reach, "latitude"
    if where.polygon is not None:
        latitudes, longitudes = zip(*where.polygon.ring(), strict=True)
        yield min(latitudes), max(latitudes), "latitude"
        yield min(longitudes), max(longitudes), "longitude"


Narrow = Callable[[NDArray[np.intp]], Mask]
"""Tells which of some ascending rows match."""


def _expensive(where: PropertyFilter, view: FilterView) -> Iterator[Narrow]:
    """The parts that cost more for each row: they check only the rows that are left."""
    if where.external_ids:
        hashes = np.array(list(map(hash, where.external_ids)), dtype=np.int64)
        external_ids = view.columns["external_id"]
        yield lambda rows: np.isin(external_ids[rows], hashes)
    if where.circle is not None:
        yield partial(_within_circle, where.circle, view)
    if where.polygon is not None:
        yield partial(_within_polygon, where.polygon, view)


def _among(codes: NDArray[np.signedinteger], wanted: Collection[int], count: int) -> Mask:
    """Which of the codes, all below ``count``, are wanted; a missing value never is."""
    mask: Mask = np.zeros(len(codes), dtype=np.bool_)
    if len(wanted) <= _FEW:
        for code in wanted:
            mask |= codes == code
        return mask
    table = np.zeros(count + 1, dtype=np.bool_)
    table[list(wanted)] = True
    # -1, the code of a missing value, is the last.
    return np.take(table, codes, out=mask, mode="wrap")


def _within_circle(circle: Circle, view: FilterView, rows: NDArray[np.intp]) -> Mask:
    latitudes, longitudes = view.columns["latitude"][rows], view.columns["longitude"][rows]
    found = distance_km(circle.latitude, circle.longitude, latitudes, longitudes)
    mask = found <= circle.radius_km
    # NumPy's functions may differ by an ulp from those of the C library, which PostgreSQL uses.
    (doubtful,) = np.nonzero(np.abs(found - circle.radius_km) <= _DOUBT * circle.radius_km)
    if len(doubtful):
        places = np.stack([latitudes[doubtful], longitudes[doubtful]], axis=1)
        distinct, of = np.unique(places, axis=0, return_inverse=True)
        exact = [_exact_distance_km(circle, *place) for place in distinct.tolist()]
        mask[doubtful] = (np.array(exact) <= circle.radius_km)[of]
    return mask


def distance_km(
    latitude: NDArray[np.float64] | float,
    longitude: NDArray[np.float64] | float,
    latitudes: NDArray[np.float64],
    longitudes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Great-circle distances of places (n,) from one place, or of each from its own (n,).

    Degrees are rounded as in PostgreSQL.
    """

    def radians(degrees: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.radians(np.rint(np.multiply(degrees, 1e7)) / 1e7)

    half_latitude = radians(latitudes - latitude) / 2
    half_longitude = radians(longitudes - longitude) / 2
    scale = np.cos(radians(latitude)) * np.cos(radians(latitudes))
    chord = np.sin(half_latitude) ** 2 + scale * np.sin(half_longitude) ** 2
    found: NDArray[np.float64] = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(1, chord)))
    return found


def _exact_distance_km(circle: Circle, latitude: float, longitude: float) -> float:
    """The distance of one place, computed by the C library."""

    def radians(degrees: float) -> float:
        return math.radians(round(degrees * 1e7) / 1e7)

    half_latitude = radians(latitude - circle.latitude) / 2
    half_longitude = radians(longitude - circle.longitude) / 2
    scale = math.cos(radians(circle.latitude)) * math.cos(radians(latitude))
    chord = math.pow(math.sin(half_latitude), 2) + scale * math.pow(math.sin(half_longitude), 2)
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, chord)))


def _within_polygon(polygon: Polygon, view: FilterView, rows: NDArray[np.intp]) -> Mask:
    latitudes, longitudes = view.columns["latitude"][rows], view.columns["longitude"][rows]
    order = np.argsort(latitudes)
    latitudes, longitudes = latitudes[order], longitudes[order]
    starts = np.array(polygon.ring())
    ends = np.roll(starts, -1, axis=0)
    lowest, highest = np.minimum(starts, ends)[:, 0], np.maximum(starts, ends)[:, 0]
    firsts, lasts = np.searchsorted(latitudes, lowest), np.searchsorted(latitudes, highest)
    # The winding number counts the lines to the east of a place: 1 for each that goes upwards, -1
    # for each that goes downwards.
    windings = np.zeros(len(order), dtype=np.int32)
    for (south, west), (north_by, east_by), first, last in zip(
        starts.tolist(), (ends - starts).tolist(), firsts.tolist(), lasts.tolist(), strict=True
    ):
        across = slice(first, last)
        # Above 0 where the place lies to the left of a line that goes upwards.
        turn = east_by * (latitudes[across] - south) - (longitudes[across] - west) * north_by
        if north_by >= 0:
            windings[across] += turn > 0
        else:
            windings[across] -= turn < 0
    mask = np.empty(len(order), dtype=np.bool_)
    mask[order] = windings != 0
    return mask
