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
"""Less than any likeness that counts."""

BELOW = 1e-6
"""Less than a difference of likeness that counts."""

MOST_TIES = 1000
"""How many equals of the last one are looked at, to keep those of the smallest ids."""


class Source(NamedTuple):
    """Where candidates come from: what meets the conditions as well, the most alike of it.

    Attributes:
        limit: how many; slightly fewer where more are equally alike than that.
        unowned: only what no investor of the tenant owns.
        near: only what lies within at least one of the circles; None for no such condition.
        above: everything that is more alike than this, up to twice the limit; None to find out
            what that is for the limit.
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
        sources: bool (s, n), which of the s sources brought which.
        above: for each source, what all that it brought exceeds in likeness, and nothing else
            that it could have brought; ``EVERYTHING`` if it brought all there is.
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
    """Finds properties of one tenant's one model version. Likeness is the cosine."""

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
            where: the filter; what is ``added`` to it is not known here.
            exclude: ids that are not wanted.
            sources: how many of what; a property that several bring is there once.
            box: how much of it the candidates meet is told, too.

        Raises:
            OutdatedIndexError: another version of this program wrote the index.
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
        Equal cosines are ordered by property id, and the smallest ids are the ones kept.
        """
        ...


def mostly_ties(source: Source, likeness: Sequence[float], limit: int) -> bool:
    """Whether half of the likenesses, falling, equal the last, so that more may."""
    return (
        source.above is None
        and len(likeness) == limit
        and likeness[source.limit // 2] == likeness[-1]
    )


def exceeded(source: Source, likeness: Sequence[float], limit: int) -> float:
    """What the properties that a source brings exceed in likeness.

    The last is left out, and its equals with it: more of them may not have been found.
    """
    if source.above is not None:
        return source.above
    if len(likeness) < limit:
        return EVERYTHING
    last = likeness[-1]
    # Of more than a thousand equals, which are found is left to the engine.
    return last - BELOW if mostly_ties(source, likeness, limit) else last
