"""Maximal marginal relevance (Carbonell and Goldstein 1998)."""

import numpy as np
from numpy.typing import NDArray


def diversify(
    relevance: NDArray[np.float64],
    vectors: NDArray[np.float32],
    diversity: float,
    limit: int,
) -> NDArray[np.intp]:
    """Which ``limit`` of n to take, in order: relevant, and unlike those already taken.

    Greedy, so that a longer list begins with the shorter one.

    Args:
        relevance: (n,), any scale; it is stretched to [0, 1].
        vectors: (n, d), unit length; likeness is the cosine, mapped to [0, 1].
        diversity: from 0, relevance alone, to 1, unlikeness alone.
        limit: how many.
    """
    count = len(relevance)
    span = relevance.max(initial=-np.inf) - relevance.min(initial=np.inf)
    worth = (1 - diversity) * (relevance - relevance.min(initial=np.inf)) / max(span, 1e-12)
    closest = np.zeros(count)
    chosen = np.empty(min(limit, count), dtype=np.intp)
    for place in range(len(chosen)):
        # The first is the most relevant, whatever the diversity.
        gain = worth - diversity * closest if place else relevance.astype(np.float64)
        gain[chosen[:place]] = -np.inf
        chosen[place] = row = int(gain.argmax())
        np.maximum(closest, (1 + vectors @ vectors[row]) / 2, out=closest)
    return chosen
