"""What a twin has to beat: rankings that need little or no training.

Every scorer gives each of the n properties a number, greater for better, -inf for one it does not
rank at all. "Owned" in the names is what the investor approved of: for a tenant whose interactions
are deals, what the investor owns.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ml.dataset import KIND_WEIGHTS
from ml.evaluation.protocols import Query, Split
from ml.features import FEATURE_NAMES, FeatureStatistics, encode

Scorer = Callable[[Query], NDArray[np.float64]]
"""float64 (n,) for a query, without NaN."""

MIX, MIX_UNOWNED = "mix", "mix, unowned first"
"""The baselines that a twin's gains are given against."""

_SOFTENING_KM = 0.05
"""Keeps the logarithm of a distance finite in the same building."""

_TAKEN_PENALTY = 1e3
"""Greater than any difference of the mix: what somebody owns comes after all else."""


def baselines(split: Split) -> dict[str, Scorer]:
    """The scorers that need no training, by name."""
    attributes = standardised_attributes(split)
    unit = attributes / np.maximum(np.linalg.norm(attributes, axis=1, keepdims=True), 1e-12)
    weight = np.maximum(KIND_WEIGHTS[split.past.kind], 0)
    popular = np.zeros(len(split.columns))
    np.add.at(popular, split.past.property, weight)

    def popularity(_: Query) -> NDArray[np.float64]:
        return popular

    # Several scorers ask the same of each query, one right after the other.
    @lru_cache(maxsize=1)
    def best(query: Query) -> tuple[NDArray[np.float64], ...]:
        """Of what was approved of, the least distance, the greatest likeness, and the best mix."""
        near, like, both = (np.full(len(split.columns), -np.inf) for _ in range(3))
        for rows in split.in_blocks(query.approved):
            distance, likeness = split.distances(rows), np.asarray(unit @ unit[rows].T)
            np.maximum(near, -distance.min(axis=1), out=near)
            np.maximum(like, likeness.max(axis=1), out=like)
            likeness -= np.log(distance + _SOFTENING_KM)
            np.maximum(both, likeness.max(axis=1), out=both)
        return -near, like, both

    def nearest(query: Query) -> NDArray[np.float64]:
        return -best(query)[0]

    def content(query: Query) -> NDArray[np.float64]:
        return best(query)[1]

    def mix(query: Query) -> NDArray[np.float64]:
        return best(query)[2]

    def mix_of_unowned(query: Query) -> NDArray[np.float64]:
        return mix(query) - _TAKEN_PENALTY * split.taken

    return {
        "popularity": popularity,
        "content cosine": content,
        "nearest-owned": nearest,
        MIX: mix,
        MIX_UNOWNED: mix_of_unowned,
    }


def standardised_attributes(split: Split) -> NDArray[np.float64]:
    """The encoder's features but the location, each with mean 0 and deviation 1, float64 (n, 23).

    A column that does not vary is 0.
    """
    year = datetime.fromtimestamp(split.cut, UTC).year
    features = encode(split.columns, FeatureStatistics.fit(split.columns, year)).astype(np.float64)
    features = features[:, [name not in {"latitude", "longitude"} for name in FEATURE_NAMES]]
    deviation = features.std(axis=0)
    centred = features - features.mean(axis=0)
    return np.asarray(centred / np.where(deviation > 1e-9, deviation, 1))
