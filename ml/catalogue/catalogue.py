"""A tenant's properties in one model version, as arrays in memory: exact candidate generation.

Rows never change in place. A changed property is added as a new row and its old row is no longer
live, so that a search in a thread sees one consistent state whatever is written meanwhile.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import BuyBox, PropertyColumns
from ml.catalogue.candidates import (
    BELOW,
    MOST_TIES,
    Candidates,
    Hit,
    Source,
    exceeded,
    mostly_ties,
)
from ml.catalogue.columns import FilterColumns, FilterView
from ml.catalogue.filters import matching, within_circle
from ml.catalogue.growing import Growing
from ml.catalogue.property_ids import SIZE, PropertyIds, RowsById, as_bytes
from ml.twin.item_rows import EMBEDDING, from_rows, to_rows
from ml.twin.items import EARTH_RADIUS_KM, Items
from ml.twin.observing import searching
from ml.twin.towers import DIMENSIONS

_BLOCK = 4096
"""Rows that are compared at once: what comes of them stays in the processor's cache."""

_FEW = 0.25
"""Up to this share of the rows, those that are wanted are picked out before they are compared."""

_ROUNDING = 2e-6
"""How far a cosine of 32 bits may be off."""

_INLINE = 50_000
"""Rows above which a search takes milliseconds and moves to a thread."""

_SPARE = 0.25
"""Share of dead rows and of rows out of order from which the arrays are rebuilt."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """The first n rows as they are now; nothing in it is written to any more.

    Attributes:
        ids: S16 (n,).
        live: bool (n,), false where a later row holds the property, or none does.
        items: float32 (n, 22), see ``ml.twin.item_rows``.
        vectors: float32 (16, n), the embeddings.
        filters: what filters read.
        by_latitude: rows (m,) in the order of their latitudes, and those, float64 (m,); rows from
            ``ordered`` on are not among them.
        ordered: see above.
    """

    ids: NDArray[np.bytes_]
    live: NDArray[np.bool_]
    items: NDArray[np.float32]
    vectors: NDArray[np.float32]
    filters: FilterView
    by_latitude: tuple[NDArray[np.intp], NDArray[np.float64]]
    ordered: int


class Catalogue:
    """The properties of one tenant in one model version; implements ``CandidateGenerator``.

    One task at a time writes; any number search.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._ids: Growing[np.bytes_] = Growing(f"S{SIZE}")
        self._live: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._items: Growing[np.float32] = Growing("f4", (EMBEDDING,))
        self._vectors: Growing[np.float32] = Growing("f4", (DIMENSIONS,), axis=1)
        self._filters = FilterColumns()
        # Rows in the order of their ids; the newest rows of others are told one by one.
        self._in_order = 0
        self._sorted = RowsById(self._ids.upto(0))
        self._moved: dict[UUID, int] = {}
        self._by_latitude = (np.empty(0, dtype=np.intp), np.empty(0))
        self._ordered = 0
        self._dead = 0

    def __len__(self) -> int:
        """How many properties there are."""
        return len(self._ids) - self._dead

    @property
    def nbytes(self) -> int:
        """What it takes of memory."""
        arrays = (self._live, *self._by_latitude)
        grown = (self._ids, self._items, self._vectors)
        own = sum(one.nbytes for one in (*arrays, *grown))
        return own + self._sorted.nbytes + self._filters.nbytes

    def write(self, properties: PropertyColumns, items: Items) -> None:
        """Add properties, with labels, or replace them."""
        if not len(properties):
            return
        self._kill(self.rows_of(properties.ids))
        first = len(self._ids)
        for row, property_id in enumerate(properties.ids, first):
            self._moved[property_id] = row
        self._append(as_bytes(properties.ids), to_rows(items), properties)

    def delete(self, ids: Collection[UUID]) -> None:
        """Take properties out; unknown ids are ignored."""
        self._kill(self.rows_of(ids))
        self._moved.update(dict.fromkeys(ids, -1))

    def load(self, properties: PropertyColumns, items: Items) -> None:
        """Add the first properties, in the order of their ids; ``settle`` before anything else."""
        self._in_order += len(properties)
        self._append(as_bytes(properties.ids), to_rows(items), properties)

    def settle(self) -> None:
        """Prepare for searches after many properties were added."""
        self._sorted = RowsById(self._ids.upto(self._in_order))
        latitudes = self._filters.view().columns["latitude"]
        rows = np.flatnonzero(np.isfinite(latitudes))
        order = rows[np.argsort(latitudes[rows], kind="stable")]
        self._by_latitude = order, latitudes[order]
        self._ordered = len(self._ids)

    async def tidy(self, above: int = 1024) -> None:
        """Rebuild the arrays if much is dead or out of order; nobody may write meanwhile.

        Much is a quarter of the rows, and more than ``above`` of them.
        """
        if len(self._moved) > max(above, _SPARE * len(self)):
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
        other.settle()
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
            # A copy: searches go on with what was live when they began.
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
            filters=self._filters.view(count),
            by_latitude=self._by_latitude,
            ordered=self._ordered,
        )

    def rows_of(self, ids: Collection[UUID]) -> NDArray[np.intp]:
        """The row of each property, -1 of one that is absent."""
        rows = self._sorted.find(ids)
        if self._moved:
            for place, property_id in enumerate(ids):
                rows[place] = self._moved.get(property_id, rows[place])
        return rows

    def items_of(self, properties: PropertyColumns) -> Items | None:
        """What the stages read of properties, if all are here as they are given; else None."""
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
    ) -> list[Hit]:
        """See ``CandidateGenerator``."""
        wanted = self._wanted(where, exclude)
        found = await _aside(len(self._ids), lambda: wanted().nearest(vector, limit))
        vectors = found.vectors if with_vectors else np.empty((len(found.ids), 0), dtype=np.float32)
        return list(map(Hit, found.ids, found.cosines.tolist(), vectors))

    def among(self, wanted: NDArray[np.bool_]) -> "Wanted":
        """Those of the n rows, in the order in which they were written, that are wanted."""
        view = self._view()
        return Wanted(view, view.live & wanted)

    def _wanted(self, where: PropertyFilter, exclude: Collection[UUID]) -> Callable[[], "Wanted"]:
        """What matches and is not excluded, as it is now; found when it is called."""
        # Ids are found at once: where a property lies may change before a thread comes to it.
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


@dataclass(frozen=True, slots=True, eq=False)
class _Nearest:
    ids: PropertyIds
    cosines: NDArray[np.float32]
    vectors: NDArray[np.float32]


class Wanted:
    """The rows that a search may bring, as they were when it began."""

    def __init__(self, view: _View, mask: NDArray[np.bool_]) -> None:
        self._view = view
        self._mask = mask
        self._rows = np.flatnonzero(mask)

    def candidates(
        self,
        interests: NDArray[np.float32],
        sources: Sequence[Source],
        box: BuyBox | None = None,
    ) -> Candidates:
        """See ``CandidateGenerator``."""
        view, likeness = self._view, self._likeness(interests)
        brought = [self._brought(one, likeness, interests) for one in sources]
        every = np.concatenate([rows for rows, _ in brought])
        rows, place = np.unique(every, return_inverse=True)
        by_id = np.argsort(view.ids[rows])
        rank = np.empty_like(by_id)
        rank[by_id] = np.arange(len(rows))
        rows = rows[by_id]
        by_source = np.zeros((len(sources), len(rows)), dtype=np.bool_)
        counts = [len(some) for some, _ in brought]
        by_source[np.repeat(np.arange(len(sources)), counts), rank[place]] = True
        return Candidates(
            ids=PropertyIds(view.ids[rows]),
            items=_items(view, rows),
            met=_met(view.filters, rows, box) if box else None,
            sources=by_source,
            above=tuple(above for _, above in brought),
        )

    def nearest(self, vector: NDArray[np.float32], limit: int) -> _Nearest:
        """The rows nearest to a vector (16,), best first, ties by id."""
        view, queries = self._view, vector[None]
        rows, cosines = self._best(self._rows, self._likeness(queries), queries, limit)
        order = np.lexsort((view.ids[rows], -cosines))[:limit]
        rows = rows[order]
        return _Nearest(PropertyIds(view.ids[rows]), cosines[order], view.vectors[:, rows].T)

    def _likeness(self, interests: NDArray[np.float32]) -> NDArray[np.float32]:
        """Roughly how alike the wanted rows are to the nearest of the interests, float32 (m,)."""
        vectors = self._view.vectors
        if len(self._rows) <= _FEW * vectors.shape[1]:
            return _rough(interests, vectors[:, self._rows])
        every = _rough(interests, vectors)
        return every if len(self._rows) == len(every) else every[self._rows]

    def _brought(
        self, source: Source, likeness: NDArray[np.float32], interests: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], float]:
        """The rows that a source brings, and what all of them exceed."""
        rows = self._rows
        if source.unowned:
            free = ~self._view.filters.columns["owned"][rows]
            rows, likeness = rows[free], likeness[free]
        if source.near is not None:
            near = np.zeros(len(self._mask), dtype=np.bool_)
            near[_near(self._view, source)] = True
            inside = near[rows]
            rows, likeness = rows[inside], likeness[inside]
        if source.above is not None:
            limit = 2 * source.limit
            some = likeness > source.above - BELOW - _ROUNDING
            found, exact = self._best(rows[some], likeness[some], interests, limit)
        else:
            limit = source.limit + 1
            found, exact = self._best(rows, likeness, interests, limit)
            falling = np.sort(exact)[::-1][:limit].tolist()
            if mostly_ties(source, falling, limit):
                limit += MOST_TIES
                found, exact = self._best(rows, likeness, interests, limit)
        order = np.lexsort((self._view.ids[found], -exact))[:limit]
        found, exact = found[order], exact[order]
        above = exceeded(source, exact.tolist(), limit)
        return found[exact > above], above

    def _best(
        self,
        rows: NDArray[np.intp],
        likeness: NDArray[np.float32],
        interests: NDArray[np.float32],
        limit: int,
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The rows that the ``limit`` most alike are among, all ties included, and their cosines.

        A rough cosine depends on which rows are compared together; the cosines that are returned
        depend on the row alone.
        """
        if len(rows) > limit > 0:
            last = np.partition(likeness, len(rows) - limit)[len(rows) - limit]
            rows = rows[likeness >= last - _ROUNDING]
        vectors = self._view.vectors[:, rows].astype(np.float64)
        cosines = np.zeros((len(interests), len(rows)))
        # Sums in one order, whatever the number of rows.
        for dimension, values in zip(interests.T.astype(np.float64), vectors, strict=True):
            cosines += dimension[:, None] * values
        return rows, cosines.max(axis=0).astype(np.float32)


def _rough(interests: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The greatest product of each vector, of (16, n), with an interest, of (k, 16): (n,)."""
    count = vectors.shape[1]
    ours, theirs, found = torch.from_numpy(interests), torch.from_numpy(vectors), torch.empty(count)
    for first in range(0, count, _BLOCK):
        block = slice(first, min(first + _BLOCK, count))
        torch.amax(torch.mm(ours, theirs[:, block]), dim=0, out=found[block])
    return found.numpy()


def _near(view: _View, source: Source) -> NDArray[np.intp]:
    """Rows within any of a source's circles, perhaps several times."""
    order, latitudes = view.by_latitude
    found: list[NDArray[np.intp]] = []
    for circle in source.near or ():
        reach = np.degrees(circle.radius_km / EARTH_RADIUS_KM) * (1 + 1e-9) + 1e-6
        low, high = np.searchsorted(
            latitudes, (circle.latitude - reach, circle.latitude + reach), "left"
        )
        rows = np.concatenate((order[low:high], np.arange(view.ordered, len(view.ids))))
        found.append(rows[within_circle(circle, view.filters, rows)])
    return np.concatenate(found) if found else np.empty(0, dtype=np.intp)


def _items(view: _View, rows: NDArray[np.intp]) -> Items:
    return from_rows(view.items[rows], np.ascontiguousarray(view.vectors[:, rows].T))


def _met(filters: FilterView, rows: NDArray[np.intp], box: BuyBox) -> NDArray[np.float64]:
    """The share of the stated criteria that each of the rows meets, as ``share_met``."""
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
    """What work on so many rows returns; in another thread where they are many."""
    return await asyncio.to_thread(work) if count > _INLINE else work()
