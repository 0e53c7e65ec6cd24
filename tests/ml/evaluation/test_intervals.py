import numpy as np
import pytest

from ml.evaluation.intervals import difference_interval, mean_interval, ratio_interval


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


def test_nobody_is_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one investor"):
        mean_interval(np.empty(0))
