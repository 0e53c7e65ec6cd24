"""Vectors that come from outside."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.core.errors import invalid

DIMENSIONS = 16
"""How many numbers an embedding has."""


def unit_vector(values: Sequence[float]) -> NDArray[np.float32]:
    """The direction of a vector, float32 (16,), of length 1.

    Raises:
        DomainError: INVALID_INPUT, blaming ``vector``, for another number of values, for one that
            is not finite, and for a vector without a direction.
    """
    if len(values) != DIMENSIONS:
        raise invalid(
            f"vector: {len(values)} numbers; give the {DIMENSIONS} of an embedding", "vector"
        )
    vector = np.array(values, dtype=np.float64)
    if not np.isfinite(vector).all():
        raise invalid("vector: use finite numbers", "vector")
    largest = np.abs(vector).max()
    if largest == 0:
        raise invalid("vector: all zero, which is no direction; use an embedding", "vector")
    # First by the largest, whose square may be more, or less, than a number can hold.
    vector /= largest
    unit: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
