"""What a house might be worth, from what comparable houses sold for."""

import numpy as np
from numpy.typing import NDArray

from sample.king_county import Houses

COMPARABLES = 15
# How the price of otherwise similar houses grows with their size; chosen on this county, where
# .6 gives a smaller error than price per square foot (which is 1).
SIZE_ELASTICITY = 0.6
# What one unit of distance between two houses is worth, in each respect.
KILOMETRES = 1.5
WATERFRONT = 4.0
RANK_WINDOW = 3_000
CHUNK = 32


def estimate_values(houses: Houses) -> NDArray[np.float64]:
    """Estimate each house's value in US dollars, to the nearest 1,000, from other houses' sales.

    The 15 nearest in a weighted distance of place, living area, lot, grade, year, condition, view
    and waterfront are its comparables, looked for among the 3,000 houses next to it on either
    side by latitude. Their logarithmic prices, brought to its own size with an elasticity of .6,
    are averaged with weights that fall with the squared distance. A house is never its own
    comparable: its price has no part in its estimate. Comparables may have sold before or after
    it, so this is a valuation in hindsight, not a forecast.

    Returns float64 (n,). Raises ValueError unless there are more houses than comparables.
    """
    count = len(houses)
    if count <= COMPARABLES:
        raise ValueError(f"houses: {count} given, at least {COMPARABLES + 1} are needed")
    order = np.argsort(houses.latitude, kind="stable")
    positions = _comparison_space(houses)[order]
    size = SIZE_ELASTICITY * np.log(houses.square_feet)
    adjusted = (np.log(houses.price) - size)[order]

    mean = np.empty(count)
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        first, last = max(0, start - RANK_WINDOW), min(count, stop + RANK_WINDOW)
        # Not by a matrix product: its rounding, and so the choice between houses that are equally
        # near, would change with the number of threads.
        squared = np.zeros((stop - start, last - first), dtype=np.float32)
        for axis in positions.T:
            apart = axis[start:stop, None] - axis[None, first:last]
            apart *= apart
            squared += apart
        rows = np.arange(stop - start)
        squared[rows, rows + (start - first)] = np.inf
        nearest = np.argpartition(squared, COMPARABLES - 1, axis=1)[:, :COMPARABLES]
        weights = 1.0 / (0.05 + np.take_along_axis(squared, nearest, axis=1))
        mean[start:stop] = (weights * adjusted[first + nearest]).sum(axis=1) / weights.sum(axis=1)

    values = np.empty(count)
    values[order] = np.exp(mean)
    return np.round(values * np.exp(size), -3)


def _comparison_space(houses: Houses) -> NDArray[np.float32]:
    """Give coordinates (n, 9) in which near means comparable; float32 halves the search's cost."""

    def standardised(column: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((column - column.mean()) / max(float(column.std()), 1e-9))

    return np.column_stack(
        [
            houses.kilometres / KILOMETRES,
            standardised(np.log(houses.square_feet)),
            standardised(houses.grade),
            standardised(np.log(houses.lot_square_feet)) * 0.5,
            standardised(houses.year_built) * 0.5,
            standardised(houses.condition) * 0.3,
            houses.view * 0.4,
            houses.waterfront * WATERFRONT,
        ]
    ).astype(np.float32)
