import numpy as np
import pytest
from numpy.typing import NDArray

from ml.measures.intervals import (
    difference_interval,
    mean_interval,
    rate_difference_interval,
    ratio_interval,
)


def test_95_of_100_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        drawn = mean_interval(rng.exponential(2.0, 60), seed)
        held += drawn.low <= 2.0 <= drawn.high
    # The percentile interval of sixty skewed values falls a little short of 95%.
    assert 0.87 < held / 200 < 0.98


def test_pairing_takes_out_what_investors_differ_in() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(100)
    better = hard + 0.01 + rng.normal(0, 0.005, 100)
    paired = difference_interval(better, hard)
    assert paired.low > 0
    assert mean_interval(better).low < mean_interval(hard).high  # unpaired, they overlap
    ratio = ratio_interval(better, hard)
    assert ratio is not None
    assert 1 < ratio.low < ratio.value < ratio.high < 1.1
    assert ratio.value == pytest.approx(better.mean() / hard.mean())


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(30)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)
    assert mean_interval(values).low < values.mean() < mean_interval(values).high


def test_a_ratio_to_next_to_nothing_is_not_given() -> None:
    something = np.ones(20)
    assert ratio_interval(something, np.zeros(20)) is None
    assert ratio_interval(something, np.eye(1, 20)[0]) is None  # a third of the draws miss it
    assert ratio_interval(something, something) is not None


def counts_of(rng: np.random.Generator, investors: int, rate: float) -> NDArray[np.float64]:
    """How often each investor accepts, out of a number of its own."""
    tried = rng.integers(0, 20, investors)
    return np.stack((rng.binomial(tried, rate), tried), axis=1).astype(np.float64)


def test_95_of_100_differences_of_rates_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        found = rate_difference_interval(
            counts_of(rng, 60, 0.6), counts_of(rng, 90, 0.5), seed=2 * seed
        )
        assert found is not None
        held += found.low <= 0.1 <= found.high
    assert 0.9 < held / 200 < 0.99


def test_a_rate_is_of_all_that_a_group_did() -> None:
    group, base = np.array([[3.0, 4.0], [0.0, 6.0]]), np.array([[1.0, 5.0], [1.0, 5.0]])
    found = rate_difference_interval(group, base)
    assert found is not None
    assert found.value == pytest.approx(0.3 - 0.2)
    turned = rate_difference_interval(base, group)
    assert turned is not None
    assert turned.value == pytest.approx(-found.value)


def test_equal_groups_are_drawn_apart() -> None:
    group = counts_of(np.random.default_rng(0), 50, 0.5)
    found = rate_difference_interval(group, group)
    assert found is not None
    assert found.low < found.value == 0 < found.high


def test_a_rate_of_too_little_is_not_told() -> None:
    some = counts_of(np.random.default_rng(0), 50, 0.5)
    # A third of the draws miss the one who did anything.
    for few in (np.eye(20, 2), np.zeros((5, 2)), np.empty((0, 2))):
        assert rate_difference_interval(some, few) is None
        assert rate_difference_interval(few, some) is None


def test_nobody_is_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one investor"):
        mean_interval(np.empty(0))
