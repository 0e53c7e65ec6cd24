import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.twin.calibration import Calibration

SCORES = st.lists(st.floats(-20, 20), min_size=1, max_size=40)


@given(liked=SCORES, other=SCORES)
def test_rises_with_the_score_and_stays_within_bounds(
    liked: list[float], other: list[float]
) -> None:
    calibration = Calibration.fit(np.array(liked), np.array(other))
    # Beyond some dozens of log-odds, floats hold nothing above 0 and below 1.
    middle = -calibration.bias / calibration.scale
    scores = calibration(middle + np.linspace(-30, 30, 201) / calibration.scale)
    assert (np.diff(scores) > 0).all()
    assert np.isfinite(calibration(np.array([-1e9, 1e9]))).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_finds_the_curve_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    score = rng.uniform(-3, 3, 200_000)
    liked = rng.random(len(score)) < 1 / (1 + np.exp(-(2 * score)))
    calibration = Calibration.fit(score[liked], score[~liked])
    assert calibration.scale == pytest.approx(2, rel=0.05)
    assert calibration.bias == pytest.approx(0, abs=0.05)


def test_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="calibration needs"):
        Calibration.fit(np.array([0.5]), np.array([]))


@pytest.mark.parametrize("value", [{}, {"scale": 1.0}, {"scale": -1, "bias": 0}, {"scale": "x"}])
def test_broken_json_is_named(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_json(value)
