"""How far chance could have moved a figure: the bootstrap over investors (Efron 1979).

Investors are the unit of chance: properties of one investor resemble each other, and so do the
rankings of one investor by models of different seeds. What belongs to one investor is averaged
first.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
_QUANTILES = (0.025, 0.975)
_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the middle 95% of what other draws of investors would give."""

    value: float
    low: float
    high: float


def mean_interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Of the mean over investors, (m,). Raises ValueError without investors."""
    drawn = _resampled(values[:, None], seed)[:, 0]
    return _interval(float(values.mean()), drawn)


def difference_interval(
    values: NDArray[np.float64], base: NDArray[np.float64], seed: int = 0
) -> Interval:
    """Of the mean difference between two scorers on the same investors, both (m,)."""
    return mean_interval(values - base, seed)


def ratio_interval(
    values: NDArray[np.float64], base: NDArray[np.float64], seed: int = 0
) -> Interval | None:
    """Of the ratio of two scorers' means on the same investors.

    None where the base finds so little that the ratio is unbounded.
    """
    if base.mean() <= 0:
        return None
    mine, theirs = _resampled(np.stack((values, base), axis=1), seed).T
    ratio = np.divide(mine, theirs, out=np.full(len(mine), np.inf), where=theirs > 0)
    low, high = np.quantile(ratio, _QUANTILES, method="higher")
    if not np.isfinite(high):
        return None
    return Interval(float(values.mean() / base.mean()), float(low), float(high))


def rate_difference_interval(
    group: NDArray[np.float64], base: NDArray[np.float64], seed: int = 0
) -> Interval | None:
    """Of how much more one group of investors does than another one, as a rate.

    Args:
        group: float64 (m, 2): of each investor how often, and out of how many.
        base: float64 (n, 2): the same of the others, who are drawn apart.
        seed: of the draws.

    Returns:
        The difference of the groups' rates, each the sum of the ones over that of the others; None
        where so few did anything that some draws hold none of it.
    """
    if not len(group) or not len(base):
        return None
    # Seeds of their own: equal groups must not be drawn alike.
    drawn = (_resampled(group, seed), _resampled(base, seed + 1))
    if any((some[:, 1] <= 0).any() for some in drawn):
        return None
    mine, theirs = (some[:, 0] / some[:, 1] for some in drawn)
    of, all_of = group.sum(axis=0), base.sum(axis=0)
    return _interval(float(of[0] / of[1] - all_of[0] / all_of[1]), mine - theirs)


def _interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, _QUANTILES)
    return Interval(value, float(low), float(high))


def _resampled(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of ``DRAWS`` samples with replacement of the rows of (m, k), float64 (DRAWS, k)."""
    count = len(values)
    if not count:
        raise ValueError("an interval needs at least one investor")
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // count)
    return np.concatenate(
        [
            values[rng.integers(count, size=(min(block, DRAWS - first), count))].mean(axis=1)
            for first in range(0, DRAWS, block)
        ]
    )
