"""Candidate generation: the first of the two stages, whichever engine answers.

Two engines implement ``CandidateGenerator``: ``ml.catalogue.catalogue.Catalogue`` by comparing
everything in memory, and ``ml.index.space.Space`` by searching Qdrant.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.filters import Circle, PropertyFilter
from domain.contract.snapshots import BuyBox
from ml.catalogue.lazy import LazySequence
from ml.catalogue.property_ids import PropertyIds
from ml.twin.items import Items

NO_FLOOR = -2.0
"""A floor below every likeness."""

TOLERANCE = 1e-6
"""Differences of likeness as small as this do not count: the engines round differently."""


class Source(NamedTuple):
    """One search for candidates: the properties most like the interests that meet its conditions.

    Attributes:
        limit: number of properties; more where others are as alike as the last one.
        unowned: only properties that no investor of the tenant owns.
        near: only properties within at least one of the circles; None for no such condition.
        floor: brings everything at least as alike as this instead, up to twice the limit. None on
            the first page of a list, which finds the floor: see ``Candidates.floors``.
    """

    limit: int
    unowned: bool = False
    near: tuple[Circle, ...] | None = None
    floor: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Properties that a search found.

    Attributes:
        ids: n property ids, ascending.
        items: what the second stage reads of them, on the CPU.
        met: float64 (n,), the share of the buy box that each meets; None without a buy box.
        floors: for each source the likeness that every property it brought has at least, and no
            other property that meets its conditions; ``NO_FLOOR`` if it brought all there are.
    """

    ids: PropertyIds
    items: Items
    met: NDArray[np.float64] | None
    floors: tuple[float, ...]


class Hit(NamedTuple):
    """A property that a search found, and its cosine with the query."""

    property_id: UUID
    cosine: float


class Hits(LazySequence[Hit]):
    """The properties that a search found, best first.

    Attributes:
        ids: n property ids.
        cosines: (n,), float32 or float64.
        vectors: float32 (n, 16), their unit vectors; (n, 0) unless they were asked for.
    """

    def __init__(
        self,
        ids: PropertyIds,
        cosines: NDArray[np.floating],
        vectors: NDArray[np.float32],
    ) -> None:
        super().__init__(len(ids), lambda row: Hit(ids[row], float(cosines[row])))
        self.ids = ids
        self.cosines = cosines
        self.vectors = vectors


class CandidateGenerator(Protocol):
    """Finds properties of one tenant in one model version. Likeness is the cosine."""

    async def candidates(
        self,
        interests: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        sources: Sequence[Source],
        box: BuyBox | None = None,
    ) -> Candidates:
        """The properties that are most like any of the interests (k, 16), k at least 1.

        The filter and the exclusions hold inside the search.

        Args:
            interests: unit vectors; a property counts by the nearest of them.
            where: the filter; its part ``added`` is ignored, and has to be resolved to ids before.
            exclude: ids that are not wanted.
            sources: the searches; a property that several of them bring is there once.
            box: if given, ``met`` is computed for it.

        Raises:
            OutdatedIndexError: the index answers, and another version of this program wrote it.
        """
        ...

    async def query(
        self,
        vector: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
        *,
        with_vectors: bool = False,
    ) -> Hits:
        """The ``limit`` properties, at least one, nearest to the vector (16,), best first.

        The filter and the exclusions hold inside the search: the list is full if matches exist.
        Equal cosines are ordered by property id, and the smallest ids are kept.
        """
        ...


def floor_of(source: Source, likeness: Sequence[float] | NDArray[np.float32]) -> float:
    """The floor of a source.

    Args:
        source: the source.
        likeness: of what meets its conditions, falling, at least up to its limit.
    """
    if source.floor is not None:
        return source.floor
    if len(likeness) < source.limit:
        return NO_FLOOR
    return float(likeness[source.limit - 1]) - TOLERANCE
