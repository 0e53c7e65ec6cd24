"""The comparison with the active version: fair to both, and no refusal by chance."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from domain.contract.snapshots import InteractionLog, PropertyColumns
from ml.training.config import TrainingConfig
from ml.training.gates import LEAST_COMPARED, gate_figures, sure_loss
from ml.training.training import Fit, fit
from ml.twin.dataset import Queries, queries
from tests.ml.worlds import make_streets

TOLERANCE = 0.1
PLACES = st.sampled_from([0.0, *(1 / np.log2(np.arange(2, 12)))])
World = tuple[PropertyColumns, InteractionLog]
Figures = np.ndarray[tuple[int], np.dtype[np.float64]]


@pytest.fixture(scope="module")
def streets() -> World:
    return make_streets()


@pytest.fixture(scope="module")
def fitted(streets: World) -> Fit:
    config = TrainingConfig(
        epochs=1, rerank_epochs=1, rerank_examples=200, rerank_negatives=16, device="cpu"
    )
    return fit(*streets, config, lambda _: None)


@pytest.fixture(scope="module")
def held_out(fitted: Fit) -> Queries:
    assert fitted.test is not None
    return fitted.test


def ndcg(rng: np.random.Generator, quality: Figures) -> Figures:
    """Of investors with one hit each: found with that probability, at a place drawn by lot."""
    found = rng.random(len(quality)) < quality
    return found / np.log2(2 + rng.integers(0, 10, len(quality)))


@pytest.mark.parametrize(("investors", "trials"), [(10, 200), (30, 200), (300, 60)])
def test_an_equal_model_is_hardly_ever_refused_and_a_worse_one_is(
    investors: int, trials: int
) -> None:
    rng = np.random.default_rng(0)
    equal, worse, plain = [], [], []
    for _ in range(trials):
        quality = rng.uniform(0.5, 1, investors)
        active, new = ndcg(rng, quality), ndcg(rng, quality)
        equal.append(sure_loss(new, active) > TOLERANCE)
        plain.append(new.mean() < (1 - TOLERANCE) * active.mean())
        worse.append(sure_loss(ndcg(rng, 0.04 * quality), active) > TOLERANCE)
    assert np.mean(equal) <= 0.05
    assert np.mean(worse) >= 0.95
    # What the interval is there for.
    assert investors == 300 or np.mean(plain) > 0.1


@given(
    arrays.arrays(np.float64, 12, elements=PLACES),
    arrays.arrays(np.float64, 12, elements=PLACES),
)
def test_a_sure_loss_is_a_share_and_no_more_than_the_plain_one(new: Figures, old: Figures) -> None:
    assert 0 <= sure_loss(new, old) <= 1
    assert sure_loss(old, old) == 0
    assert sure_loss(np.maximum(new, old), old) == 0
    assert sure_loss(np.zeros(12), np.zeros(12)) == 0


def test_what_all_lack_is_sure() -> None:
    old = np.linspace(0.5, 1, 12)
    assert sure_loss(0.7 * old, old) == pytest.approx(0.3)
    assert sure_loss(0 * old, old) == 1


def test_one_that_learned_from_the_slice_ranks_for_what_came_later(
    streets: World, fitted: Fit, held_out: Queries
) -> None:
    columns, _ = streets
    newest = float(fitted.events.time.max())
    cut = (held_out.moment + newest) / 2
    later = queries(fitted.events, cut, np.inf, len(held_out), 0)
    assert LEAST_COMPARED <= len(later) < len(held_out)
    active = replace(fitted.artifact, held_out_from=cut)
    found = gate_figures(fitted.artifact, columns, fitted.events, held_out, active=active)
    # The same twin, on the very same queries, which are others than those of the slice.
    assert found["active"] == found["twin_beside_active"] != found["twin"]
    assert found["active"] == gate_figures(fitted.artifact, columns, fitted.events, later)["twin"]
    assert found["sure_loss"]["active"] == 0
    assert "active_left_out" not in found


def test_one_that_learned_from_all_of_the_slice_is_left_out_and_that_is_said(
    streets: World, fitted: Fit, held_out: Queries
) -> None:
    columns, _ = streets
    newest = float(fitted.events.time.max())
    active = replace(fitted.artifact, held_out_from=np.nextafter(newest, np.inf))
    found = gate_figures(fitted.artifact, columns, fitted.events, held_out, active=active)
    assert not {"active", "twin_beside_active"} & found.keys()
    assert "only 0 investors of at least 5" in found["active_left_out"]
    assert "active" not in found["sure_loss"]
