"""What price would bring a property among an investor's best: the model asked again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from domain.properties.rows import PropertyValues
from domain.properties.snapshots import columns_of

TOP = 10
"""A property is among the best if it is one of so many."""

STEPS = tuple(
    sign * per_mille / 1000
    for per_mille in (*range(10, 101, 10), *range(125, 501, 25))
    for sign in (-1, 1)
)
"""The relative changes of price that are tried: the smaller first, the cheaper of two first."""

_CHANGES = np.array(STEPS)
_PRICE = NUMERIC_COLUMNS.index("listing_price")
_CAP_RATE = NUMERIC_COLUMNS.index("cap_rate")


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The listing price at which a property would be among the best, and the relative change."""

    listing_price: float
    change: float


def repriced(found: Sequence[PropertyValues]) -> PropertyColumns:
    """Each of the properties at each changed price: ``len(STEPS)`` rows for each, in order.

    The rent does not change with the price, so the capitalisation rate is scaled by the old price
    over the new one. All other values stay.
    """
    rows = columns_of(found).take(np.repeat(np.arange(len(found)), len(STEPS)))
    factors = np.tile(1 + _CHANGES, len(found))
    # take() made a copy, so nobody else sees this.
    rows.numeric[:, _PRICE] = np.round(rows.numeric[:, _PRICE] * factors, 2)
    rows.numeric[:, _CAP_RATE] /= factors
    return rows


def smallest_change(
    rows: PropertyColumns, scores: NDArray[np.float64], threshold: float, where: PropertyFilter
) -> list[Counterfactual | None]:
    """The smallest change for each property that lifts its score above the threshold.

    Args:
        rows: of ``repriced``.
        scores: float64, one for each of the rows.
        threshold: the score to exceed.
        where: what the list admits; a property that a change leads out of it is not on it.
    """
    prices = rows.column("listing_price")
    lifted = scores > threshold
    for values, within in (
        (prices, where.price),
        (rows.column("cap_rate"), where.cap_rate),
        (rows.column("price_per_square_foot"), where.price_per_square_foot),
    ):
        if within is not None:
            lifted &= values >= (-np.inf if within.min is None else within.min)
            lifted &= values <= (np.inf if within.max is None else within.max)
    found: list[Counterfactual | None] = []
    for start in range(0, len(rows), len(STEPS)):
        hits = np.flatnonzero(lifted[start : start + len(STEPS)])
        step = int(hits[0]) if len(hits) else None
        found.append(
            None if step is None else Counterfactual(float(prices[start + step]), STEPS[step])
        )
    return found
