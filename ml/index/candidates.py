"""What searches of the index bring for the second stage, and how far each of them looked."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc

from domain.contract.snapshots import OutdatedIndexError
from ml.index.index_rows import ROW, PropertyIds, unpack
from ml.twin.items import Items

EVERYTHING = -1.0
"""Less than any likeness."""

BELOW = 1e-6
"""Less than a difference of likeness that counts."""

MOST_TIES = 1000


class Source(NamedTuple):
    """Where candidates come from: what meets the conditions as well, the most alike of it.

    Attributes:
        limit: how many; slightly fewer where more are equally alike than that.
        conditions: what else is to hold.
        above: everything that is more alike than this, up to twice the limit; None to find out
            what that is for the limit.
    """

    limit: int
    conditions: tuple[grpc.Condition, ...] = ()
    above: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Properties that a search found.

    Attributes:
        ids: n property ids, ascending.
        items: what the second stage reads of them, on the CPU.
        fields: for each the further payload fields that are known; none if none were asked for.
        sources: bool (s, n), which of the s sources brought which.
        above: for each source, what all that it brought exceeds in likeness, and nothing else
            that it could have brought; ``EVERYTHING`` if it brought all there is.
    """

    ids: PropertyIds
    items: Items
    fields: list[dict[str, Any]]
    sources: NDArray[np.bool_]
    above: tuple[float, ...]


def mostly_ties(source: Source, points: Sequence[grpc.ScoredPoint], limit: int) -> bool:
    """Whether half of the points are exactly as alike as the last, so that more may be."""
    return (
        source.above is None
        and len(points) == limit
        and points[source.limit // 2].score == points[-1].score
    )


def exceeded(source: Source, points: Sequence[grpc.ScoredPoint], limit: int) -> float:
    """What the points that a source brings exceed in likeness.

    The last is left out, and its equals with it: more of them may not have been found.
    """
    if source.above is not None:
        return source.above
    if len(points) < limit:
        return EVERYTHING
    last: float = points[-1].score
    # Of more than a thousand equals, which are found is left to Qdrant.
    return last - BELOW if mostly_ties(source, points, limit) else last


def gather(
    brought: Sequence[Sequence[grpc.ScoredPoint]], above: tuple[float, ...], fields: Sequence[str]
) -> Candidates:
    """The candidates of several searches, as far as they exceed their bounds.

    Raises OutdatedIndexError for points that another version of this program wrote.
    """
    kept = [
        [point for point in points if point.score > bound]
        for points, bound in zip(brought, above, strict=True)
    ]
    points = list(chain.from_iterable(kept))
    try:
        found = unpack([point.payload[ROW].string_value for point in points])
    except ValueError as error:
        raise OutdatedIndexError(str(error)) from error
    sources = np.zeros((len(kept), len(found.ids)), dtype=np.bool_)
    sources[np.repeat(np.arange(len(kept)), list(map(len, kept))), found.row] = True
    return Candidates(
        ids=found.ids,
        items=found.items,
        fields=[
            {
                name: _plain(points[first].payload[name])
                for name in fields
                if name in points[first].payload
            }
            for first in found.first.tolist()
        ]
        if fields
        else [],
        sources=sources,
        above=above,
    )


def _plain(value: grpc.Value) -> Any:
    return getattr(value, value.WhichOneof("kind") or "null_value")
