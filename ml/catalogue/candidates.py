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
from ml.catalogue.property_ids import PropertyIds
from ml.twin.items import Items

EVERYTHING = -2.0
"""A bound below every likeness: everything exceeds it."""

BELOW = 1e-6
"""Differences of likeness as small as this do not count."""

MOST_TIES = 1000
"""Further properties that are read where many are equally alike, to keep the smallest ids."""


class Source(NamedTuple):
    """One search for candidates: the properties most like the interests that meet its conditions.

    Attributes:
        limit: number of properties; slightly fewer where several are as alike as the last one.
        unowned: only properties that no investor of the tenant owns.
        near: only properties within at least one of the circles; None for no such condition.
        above: brings everything more alike than this instead, up to twice the limit. None on the
            first page of a list, which finds the bound out: see ``Candidates.above``.
    """

    limit: int
    unowned: bool = False
    near: tuple[Circle, ...] | None = None
    above: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Properties that a search found.

    Attributes:
        ids: n property ids, ascending.
        items: what the second stage reads of them, on the CPU.
        met: float64 (n,), the share of the buy box that each meets; None without a buy box.
        sources: bool (s, n), which of the s sources brought which property.
        above: for each source a likeness that every property it brought exceeds, and no other
            property that meets its conditions; ``EVERYTHING`` if it brought all there are.
    """

    ids: PropertyIds
    items: Items
    met: NDArray[np.float64] | None
    sources: NDArray[np.bool_]
    above: tuple[float, ...]


class Hit(NamedTuple):
    """A property that a search found, and its cosine with the query.

    Attributes:
        vector: its unit vector (16,); empty unless it was asked for.
    """

    property_id: UUID
    cosine: float
    vector: NDArray[np.float32]


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
    ) -> list[Hit]:
        """The ``limit`` properties nearest to the vector (16,), best first.

        The filter and the exclusions hold inside the search: the list is full if matches exist.
        Equal cosines are ordered by property id, and the smallest ids are kept.
        """
        ...


def mostly_ties(source: Source, likeness: Sequence[float], limit: int) -> bool:
    """Whether half of the likenesses, in descending order, equal the last: there may be more."""
    return (
        source.above is None
        and len(likeness) == limit
        and likeness[source.limit // 2] == likeness[-1]
    )


def exceeded(source: Source, likeness: Sequence[float], limit: int) -> float:
    """The likeness that the properties of a source have to exceed.

    It leaves out the last one found and its equals, since further equals may not have been found.
    """
    if source.above is not None:
        return source.above
    if len(likeness) < limit:
        return EVERYTHING
    last = likeness[-1]
    # Where more than a thousand are equal, the engine chooses which of them are found.
    return last - BELOW if mostly_ties(source, likeness, limit) else last
