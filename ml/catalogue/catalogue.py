"""A tenant's properties in one model version, as arrays in memory: exact candidate generation.

Rows never change in place. A changed property is appended as a new row, and its old row is marked
dead. So a search in a thread sees one consistent state, whatever is written meanwhile.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray

from domain.contract.filters import KM_PER_DEGREE, Circle, PropertyFilter
from domain.contract.property_search import Counts, Facet, Order, Position, without
from domain.contract.snapshots import BuyBox, PropertyColumns
from ml.catalogue import ordering
from ml.catalogue.candidates import TOLERANCE, Candidates, Hits, Source, floor_of
from ml.catalogue.columns import FilterColumns, FilterView
from ml.catalogue.facets import count_facets
from ml.catalogue.filters import distance_km, matching
from ml.catalogue.growing import Growing
from ml.catalogue.property_ids import SIZE, PropertyIds, RowsById, as_bytes
from ml.twin.item_rows import EMBEDDING, from_rows, to_rows
from ml.twin.items import Items
from ml.twin.observing import searching
from ml.twin.towers import DIMENSIONS

_BLOCK = 4096
"""Rows that are compared at once: their products stay in the processor's cache."""

_FEW = 0.1
"""If no larger share of the rows is wanted, the wanted ones are copied before they are compared."""

_ROUNDING = 2e-6
"""Largest error of a cosine that is computed in 32 bits."""

_TOPS = 64
"""Size of a stretch of numbers, of which the greatest is looked at first."""

_LOWEST = np.float32(-2.0)
"""Less than any cosine, and more than ``_NOT_WANTED``."""

_FLAT_BELOW, _FLAT_KM, _PLANE = 70.0, 50.0, 0.05
"""Up to this latitude and radius, a distance on a plane is off by less than this share."""

_NOT_WANTED = np.float32(-np.inf)

_INLINE = 50_000
"""Number of rows above which a search takes milliseconds and moves to a thread."""

_SPARE = 0.25
"""Share of rows that are dead or out of order from which the arrays are rebuilt."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """The first n rows at one moment; no later write changes it.

    Attributes:
        ids: S16 (n,).
        live: bool (n,), false where a later row replaced the property, or it was deleted.
        items: float32 (n, 22), see ``ml.twin.item_rows``.
        vectors: float32 (16, n), the embeddings.
        filters: what filters read.
        in_order: the first so many rows are ascending by id.
        by_latitude: those of the first rows that have coordinates; the newest rows are not in it.
    """

    ids: NDArray[np.bytes_]
    live: NDArray[np.bool_]
    items: NDArray[np.float32]
    vectors: NDArray[np.float32]
    filters: FilterView
    in_order: int
    by_latitude: "_ByLatitude"


@dataclass(frozen=True, slots=True, eq=False)
class _ByLatitude:
    """Those of the first ``count`` rows that have coordinates (m,), ordered by latitude."""

    rows: NDArray[np.intp]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    count: int

    @classmethod
    def of(cls, view: FilterView) -> "_ByLatitude":
        latitudes, longitudes = view.columns["latitude"], view.columns["longitude"]
        placed = np.flatnonzero(np.isfinite(latitudes) & np.isfinite(longitudes))
        rows = placed[np.argsort(latitudes[placed], kind="stable")]
        return cls(rows, latitudes[rows], longitudes[rows], len(view))

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.latitudes.nbytes + self.longitudes.nbytes


class Catalogue:
    """The properties of one tenant in one model version.

    Implements ``CandidateGenerator`` and ``PropertySearch``.

    One task at a time writes; any number search.
    """

    def __init__(self, capacity: int = 0) -> None:
        """Empty, with room for ``capacity`` properties; with more, the arrays grow."""
        self._ids: Growing[np.bytes_] = Growing(f"S{SIZE}", capacity=capacity)
        self._live: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._items: Growing[np.float32] = Growing("f4", (EMBEDDING,), capacity=capacity)
        self._vectors: Growing[np.float32] = Growing("f4", (DIMENSIONS,), axis=1, capacity=capacity)
        self._filters = FilterColumns(capacity)
        # The first rows are in the order of their ids and found by it. ``_moved`` has the row of
        # each property that was written later, and -1 for each that was deleted.
        self._in_order = 0
        self._sorted = RowsById(self._ids.upto(0))
        self._moved: dict[UUID, int] = {}
        self._by_latitude = _ByLatitude.of(self._filters.view())
        self._dead = 0

    def __len__(self) -> int:
        """Number of properties."""
        return len(self._ids) - self._dead

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        arrays = (self._live, self._ids, self._items, self._vectors)
        others = (self._by_latitude, self._sorted, self._filters)
        return sum(one.nbytes for one in (*arrays, *others))

    def write(self, properties: PropertyColumns, items: Items) -> None:
        """Add or replace properties, which have labels."""
        if not len(properties):
            return
        self._kill(self.rows_of(properties.ids))
        first = len(self._ids)
        for row, property_id in enumerate(properties.ids, first):
            self._moved[property_id] = row
        self._append(as_bytes(properties.ids), to_rows(items), properties)

    def delete(self, ids: Collection[UUID]) -> None:
        """Delete properties; unknown ids are ignored."""
        self._kill(self.rows_of(ids))
        self._moved.update(dict.fromkeys(ids, -1))

    def load(self, properties: PropertyColumns, items: Items) -> None:
        """Append properties in the order of their ids, before any ``write`` or ``delete``.

        Call ``settle`` after the last ones.
        """
        self._in_order += len(properties)
        self._append(as_bytes(properties.ids), to_rows(items), properties)

    def settle(self) -> None:
        """Prepare for searches after many properties were added."""
        self._filters.settle()
        self._sort()

    def _sort(self) -> None:
        self._sorted = RowsById(self._ids.upto(self._in_order))
        self._by_latitude = _ByLatitude.of(self._filters.view())

    async def tidy(self, above: int = 1024) -> None:
        """Rebuild the arrays if many rows are dead or out of order; nobody may write meanwhile.

        Many are more than a quarter of the number of properties, and more than ``above``.
        """
        # One property that changes again and again leaves a dead row each time.
        if max(self._dead, len(self._moved)) > max(above, _SPARE * len(self)):
            rebuilt = await _aside(len(self._ids), self._rebuilt)
            self.__dict__.update(rebuilt.__dict__)

    def _rebuilt(self) -> "Catalogue":
        view, other = self._view(), Catalogue()
        rows = np.flatnonzero(view.live)
        rows = rows[np.argsort(view.ids[rows])]
        other._ids.append(view.ids[rows])
        other._items.append(view.items[rows])
        other._vectors.append(view.vectors[:, rows].T)
        other._filters = self._filters.take(rows)
        other._live = np.ones(len(rows), dtype=np.bool_)
        other._in_order = len(rows)
        other._sort()
        return other

    def _append(
        self, ids: NDArray[np.bytes_], rows: NDArray[np.float32], properties: PropertyColumns
    ) -> None:
        self._ids.append(ids)
        self._items.append(rows[:, :EMBEDDING])
        self._vectors.append(rows[:, EMBEDDING:])
        self._filters.append(properties)
        self._live = np.append(self._live, np.ones(len(ids), dtype=np.bool_))

    def _kill(self, rows: NDArray[np.intp]) -> None:
        rows = rows[rows >= 0]
        if len(rows):
            # A copy, because running searches keep the rows that were live when they began.
            self._live = self._live.copy()
            self._live[rows] = False
            self._dead += len(rows)

    def _view(self) -> _View:
        count = len(self._ids)
        return _View(
            ids=self._ids.upto(count),
            live=self._live,
            items=self._items.upto(count),
            vectors=self._vectors.upto(count),
            filters=self._filters.view(),
            in_order=self._in_order,
            by_latitude=self._by_latitude,
        )

    def rows_of(self, ids: Collection[UUID]) -> NDArray[np.intp]:
        """The row of each property, intp; -1 if it is absent."""
        rows = self._sorted.find(ids)
        if self._moved:
            for place, property_id in enumerate(ids):
                rows[place] = self._moved.get(property_id, rows[place])
        return rows

    def properties(self, ids: Sequence[UUID]) -> PropertyColumns | None:
        """The properties in the order of the ids, without labels; None unless all are here."""
        rows = self.rows_of(ids)
        return None if (rows < 0).any() else self._filters.view().properties(rows, ids)

    def items_of(self, properties: PropertyColumns) -> Items | None:
        """What both stages read of the properties.

        Returns None unless all of them are here with the very values that are given.
        """
        rows = self.rows_of(properties.ids)
        view = self._view()
        if (rows < 0).any() or not view.filters.hold(rows, properties):
            return None
        return _items(view, rows)

    @searching
    async def candidates(
        self,
        interests: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        sources: Sequence[Source],
        box: BuyBox | None = None,
    ) -> Candidates:
        """See ``CandidateGenerator``."""
        wanted = self._wanted(where, exclude)
        return await _aside(len(self._ids), lambda: wanted().candidates(interests, sources, box))

    @searching
    async def query(
        self,
        vector: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
        *,
        with_vectors: bool = False,
    ) -> Hits:
        """See ``CandidateGenerator``."""
        wanted = self._wanted(where, exclude)
        return await _aside(
            len(self._ids), lambda: wanted().nearest(vector, limit, with_vectors=with_vectors)
        )

    @searching
    async def count(self, where: PropertyFilter, exclude: Collection[UUID] = ()) -> int:
        """See ``PropertySearch``."""
        wanted = self._wanted(where, exclude)
        return await _aside(len(self._ids), lambda: wanted().count())

    @searching
    async def facets(self, where: PropertyFilter, facets: Sequence[Facet]) -> dict[Facet, Counts]:
        """See ``PropertySearch``."""
        others = self._wanted(without(where, *(facet.part for facet in facets)), ())
        return await _aside(len(self._ids), lambda: others().facets(where, facets))

    @searching
    async def page(
        self,
        where: PropertyFilter,
        order: Order,
        limit: int,
        *,
        after: Position | None = None,
        before: Position | None = None,
        backward: bool = False,
    ) -> list[Position]:
        """See ``PropertySearch``."""
        if limit < 1:
            return []
        wanted = self._wanted(where, ())
        return await _aside(
            len(self._ids),
            lambda: wanted().page(order, limit, after, before, backward=backward),
        )

    def among(self, wanted: NDArray[np.bool_]) -> "Wanted":
        """Restricts searches to rows: ``wanted`` is bool (n,), in the order of writing."""
        view = self._view()
        return Wanted(view, view.live & wanted)

    def _wanted(self, where: PropertyFilter, exclude: Collection[UUID]) -> Callable[[], "Wanted"]:
        """A function that finds the rows that match now and are not excluded.

        It may run in a thread later.
        """
        # Ids become rows at once: the row of a property may change before the thread runs.
        view, known = (
            self._view(),
            {ids: self.rows_of(ids) for ids in (where.ids, where.exclude_ids) if ids},
        )
        unwanted = self.rows_of(exclude)

        def rows_of(ids: Collection[UUID]) -> NDArray[np.intp]:
            rows = known[tuple(ids)]
            return rows[rows >= 0]

        def wanted() -> Wanted:
            mask = view.live
            found = matching(where, view.filters, rows_of)
            if found is not None:
                mask = mask & found
            if (unwanted >= 0).any():
                mask = mask.copy() if mask is view.live else mask
                mask[unwanted[unwanted >= 0]] = False
            return Wanted(view, mask)

        return wanted


class _Likeness(NamedTuple):
    """Likenesses, float32 (m,), and the rows (m,) that they belong to; None for all rows."""

    values: NDArray[np.float32]
    rows: NDArray[np.intp] | None


class Wanted:
    """The rows that a search may bring, as they were when the search began."""

    def __init__(self, view: _View, mask: NDArray[np.bool_]) -> None:
        self._view = view
        self._mask = mask

    def candidates(
        self,
        interests: NDArray[np.float32],
        sources: Sequence[Source],
        box: BuyBox | None = None,
    ) -> Candidates:
        """See ``CandidateGenerator``."""
        view, likeness = self._view, self._likeness(interests)
        brought = [self._brought(one, likeness, interests) for one in sources]
        rows = np.unique(np.concatenate([rows for rows, _ in brought]))
        rows = rows[np.argsort(view.ids[rows])]
        return Candidates(
            ids=PropertyIds(view.ids[rows]),
            items=_items(view, rows),
            met=_met(view.filters, rows, box) if box else None,
            floors=tuple(floor for _, floor in brought),
        )

    def count(self) -> int:
        """How many they are."""
        return int(np.count_nonzero(self._mask))

    def facets(self, where: PropertyFilter, facets: Sequence[Facet]) -> dict[Facet, Counts]:
        """See ``PropertySearch``; the rows match all but the parts that have a facet here."""
        return count_facets(self._view.filters, self._mask, where, facets)

    def page(
        self,
        order: Order,
        limit: int,
        after: Position | None,
        before: Position | None,
        *,
        backward: bool,
    ) -> list[Position]:
        """See ``PropertySearch``; ``limit`` is at least 1."""
        view, column = self._view, order.column
        values = None if column is None else view.filters.columns[column]
        rows = np.flatnonzero(self._mask)
        return ordering.page(
            view.ids, values, rows, view.in_order, order, limit, after, before, backward=backward
        )

    def nearest(
        self, vector: NDArray[np.float32], limit: int, *, with_vectors: bool = False
    ) -> Hits:
        """The properties nearest to a vector (16,), best first, ties by id."""
        view, queries = self._view, vector[None]
        rows, cosines = self._best(self._likeness(queries), queries, limit)
        rows, cosines = rows[:limit], cosines[:limit]
        vectors = view.vectors[:, rows] if with_vectors else view.vectors[:0, rows]
        return Hits(PropertyIds(view.ids[rows]), cosines, vectors.T)

    def _likeness(self, interests: NDArray[np.float32]) -> _Likeness:
        """Cosines of rows with the nearest interest, roughly; -inf for unwanted rows."""
        vectors, mask = self._view.vectors, self._mask
        if np.count_nonzero(mask) <= _FEW * len(mask):
            rows = np.flatnonzero(mask)
            return _Likeness(_rough(interests, vectors[:, rows]), rows)
        likeness = _rough(interests, vectors)
        likeness[~mask] = _NOT_WANTED
        return _Likeness(likeness, None)

    def _brought(
        self, source: Source, every: _Likeness, interests: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], float]:
        """The rows that a source brings, and its floor."""
        likeness, rows = every
        if source.near is not None:
            rows = _near(self._view, source.near)
            rows = rows[self._mask[rows]]
            if every.rows is None:
                likeness = likeness[rows]
            else:
                likeness = _rough(interests, self._view.vectors[:, rows])
        if source.unowned:
            owned = self._view.filters.columns["owned"]
            likeness = np.where(owned if rows is None else owned[rows], _NOT_WANTED, likeness)
        most = 2 * source.limit
        wanted = source.limit if source.floor is None else most
        found, cosines = self._best(_Likeness(likeness, rows), interests, wanted)
        floor = floor_of(source, cosines)
        return found[:most][cosines[:most] >= floor], floor

    def _best(
        self, every: _Likeness, interests: NDArray[np.float32], limit: int
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The ``limit`` most alike rows, further ones that are as alike, and perhaps some more.

        Best first, ties by id; and their cosines.

        In the last digits a rough cosine depends on the rows that are compared with it. The cosines
        that are returned depend on the row alone.
        """
        likeness, rows = every
        last = _last_of_best(likeness, limit)
        found = np.flatnonzero(likeness >= last - _ROUNDING - TOLERANCE)
        if rows is not None:
            found = rows[found]
        vectors = self._view.vectors[:, found].astype(np.float64)
        # In 64 bits: what differs there is rounded away in 32.
        cosines = (interests.astype(np.float64) @ vectors).max(axis=0).astype(np.float32)
        order = np.lexsort((self._view.ids[found], -cosines))
        return found[order], cosines[order]


def _last_of_best(likeness: NDArray[np.float32], limit: int) -> np.float32:
    """The ``limit``-th greatest number, or a lower bound if fewer numbers are of wanted rows."""
    # First among the greatest of each stretch: the result of all numbers is at least theirs.
    whole = len(likeness) - len(likeness) % _TOPS
    tops = np.append(likeness[:whole].reshape(-1, _TOPS).max(axis=1), likeness[whole:])
    least = max(_LOWEST, _greatest(tops, limit))
    return max(least, _greatest(likeness[likeness >= least], limit))


def _greatest(numbers: NDArray[np.float32], place: int) -> np.float32:
    """The ``place``-th greatest number; -inf if there are fewer."""
    if len(numbers) < place:
        return _NOT_WANTED
    found: np.float32 = np.partition(numbers, len(numbers) - place)[len(numbers) - place]
    return found


def _rough(interests: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest product of each vector with an interest: (k, 16) and (16, n) give (n,)."""
    count = vectors.shape[1]
    ours, theirs, found = torch.from_numpy(interests), torch.from_numpy(vectors), torch.empty(count)
    for first in range(0, count, _BLOCK):
        block = slice(first, min(first + _BLOCK, count))
        torch.amax(torch.mm(ours, theirs[:, block]), dim=0, out=found[block])
    return found.numpy()


def _near(view: _View, circles: Sequence[Circle]) -> NDArray[np.intp]:
    """The rows within any of the circles."""
    near, columns = view.by_latitude, view.filters.columns
    places = [(one.latitude, one.longitude, one.radius_km) for one in circles]
    latitude, longitude, radius = np.array(places, dtype=np.float64).reshape(-1, 3).T
    # Not 0, which nothing can be divided by.
    reach = np.maximum(radius / KM_PER_DEGREE, 1e-12)
    low, high = np.searchsorted(near.latitudes, (latitude - reach, latitude + reach))
    narrow = np.cos(np.radians(np.minimum(np.abs(latitude) + reach, 90.0)))
    # Around a pole, any longitude.
    width = np.where(narrow > reach / 90, reach / np.maximum(narrow, 1e-9), 360.0)
    # The newest rows are in no order: each is compared with each circle.
    newest = np.arange(near.count, len(view.ids))
    late = columns["longitude"][newest]
    found = []
    for first, last, centre, most in zip(
        low.tolist(), high.tolist(), longitude.tolist(), width.tolist(), strict=True
    ):
        beside = near.rows[first:last][_beside(near.longitudes[first:last], centre, most)]
        found.append(np.append(beside, newest[_beside(late, centre, most)]))
    rows = np.concatenate(found) if found else newest[:0]
    circle = np.repeat(np.arange(len(found)), [len(some) for some in found])
    north, east = columns["latitude"][rows], columns["longitude"][rows]
    north_by, east_by = north - latitude[circle], np.abs(east - longitude[circle])
    east_by = np.minimum(east_by, 360 - east_by)
    # Distances on a plane, in radii; those on the globe decide only where these are not clear.
    scale = np.cos(np.radians(latitude))
    apart = np.hypot(north_by, east_by * scale[circle]) / reach[circle]
    flat = ((np.abs(latitude) < _FLAT_BELOW) & (radius <= _FLAT_KM))[circle]
    inside = flat & (apart < 1 - _PLANE)
    doubtful = np.flatnonzero(~inside & (~flat | (apart < 1 + _PLANE)))
    of = circle[doubtful]
    inside[doubtful] = (
        distance_km(latitude[of], longitude[of], north[doubtful], east[doubtful]) <= radius[of]
    )
    mask = np.zeros(len(view.ids), dtype=np.bool_)
    mask[rows[inside]] = True
    return np.flatnonzero(mask)


def _beside(longitudes: NDArray[np.float64], centre: float, width: float) -> NDArray[np.bool_]:
    """Which longitudes are at most ``width`` degrees east or west of a centre."""
    apart = np.abs(longitudes - centre)
    return np.asarray((apart <= width) | (apart >= 360 - width))


def _items(view: _View, rows: NDArray[np.intp]) -> Items:
    return from_rows(view.items[rows], np.ascontiguousarray(view.vectors[:, rows].T))


def _met(filters: FilterView, rows: NDArray[np.intp], box: BuyBox) -> NDArray[np.float64]:
    """The share of the box's stated criteria that each row meets, computed as by ``share_met``."""
    criteria = [
        PropertyFilter(property_types=box.property_types),
        PropertyFilter(zipcodes=box.zipcodes),
        PropertyFilter(cities=box.cities),
        PropertyFilter(price=box.price),
        PropertyFilter(bedrooms=box.bedrooms),
    ]
    some = filters.at(rows)
    met = [matching(one, some, lambda _: rows) for one in criteria if one != PropertyFilter()]
    stated = [one for one in met if one is not None]
    return np.mean(stated, axis=0) if stated else np.zeros(len(rows))


async def _aside(count: int, work: Callable[[], Found]) -> Found:
    """Runs work on so many rows, in another thread if they are many."""
    return await asyncio.to_thread(work) if count > _INLINE else work()
