from dataclasses import replace
from json import dumps
from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.snapshots import InteractionLog, PropertyColumns
from domain.contract.vocabulary import InteractionKind
from ml.measures.validation import METRICS
from ml.training.config import TrainingConfig
from ml.training.gates import as_of, balanced_pairs, f1, gate_figures, not_finite
from ml.training.training import Fit, fit, train
from ml.twin.dataset import Queries, events, queries
from tests.ml.worlds import KINDS, make_streets

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    epochs=4, rerank_epochs=4, rerank_examples=600, rerank_negatives=48, device="cpu"
)
World = tuple[PropertyColumns, InteractionLog]


@pytest.fixture(scope="module")
def streets() -> World:
    return make_streets()


@pytest.fixture(scope="module")
def fitted(streets: World) -> Fit:
    return fit(*streets, CONFIG, lambda _: None)


def held_out(found: Fit) -> Queries:
    assert found.test is not None
    return found.test


def random_log(seed: int, users: int, items: int, count: int) -> InteractionLog:
    rng = np.random.default_rng(seed)
    return InteractionLog(
        users=tuple(UUID(int=one) for one in range(users)),
        user=rng.integers(0, users, count).astype(np.int32),
        property=rng.integers(0, items, count).astype(np.int32),
        kind=rng.integers(0, len(KINDS), count).astype(np.int8),
        occurred_at=np.sort(rng.uniform(0, 1e8, count)),
    )


@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(2, 60), st.integers(1, 200))
def test_each_approval_has_a_stranger_beside_it(
    seed: int, users: int, items: int, count: int
) -> None:
    log = random_log(seed, users, items, count)
    data = events(log, items, CPU)
    test = queries(data, 5e7, np.inf, most=100, seed=0)
    approvals, others = balanced_pairs(data, test, seed)
    assert approvals.shape == others.shape
    assert approvals[0].tolist() == others[0].tolist()
    relevant = set(map(tuple, test.relevant.T.tolist()))
    assert set(map(tuple, approvals.T.tolist())) <= relevant
    acted_on = set(zip(log.user.tolist(), log.property.tolist(), strict=True))
    user = test.user.tolist()
    assert not acted_on & {(user[query], row) for query, row in others.T.tolist()}
    # Only who acted on most of it may be left out.
    for query, _ in relevant - set(map(tuple, approvals.T.tolist())):
        assert sum(one == user[query] for one, _ in acted_on) > 0.4 * items


def test_who_acted_on_everything_is_left_out() -> None:
    log = replace(
        random_log(0, 1, 4, 5),
        property=np.array([0, 1, 2, 3, 3], dtype=np.int32),
        kind=np.zeros(5, dtype=np.int8),
        occurred_at=np.arange(5, dtype=np.float64),
    )
    data = events(log, 4, CPU)
    test = queries(data, 2, np.inf, most=10, seed=0)
    assert test.relevant.shape[1] == 2
    approvals, others = balanced_pairs(data, test, 0)
    assert approvals.shape == others.shape == (2, 0)


def test_f1_by_hand() -> None:
    liked = np.array([True, True, True, False])
    others = np.array([True, False, False, False])
    assert f1(liked, others) == pytest.approx(3 / 4)
    assert f1(~liked & False, others) == 0
    assert f1(liked | True, others & False) == 1
    assert f1(liked[:0], others[:0]) == 0


def test_an_honest_twin_has_honest_figures(streets: World, fitted: Fit) -> None:
    columns, _ = streets
    found = gate_figures(
        fitted.artifact, columns, fitted.events, held_out(fitted), active=fitted.artifact
    )
    dumps(found, allow_nan=False)
    assert found["not_finite"] == 0
    assert found["pairs"] == 2 * held_out(fitted).relevant.shape[1]
    assert found["f1"] > 0.85
    assert found["accuracy"] > 0.85
    rankings = {name for name, value in found.items() if isinstance(value, dict)} - {"sure_loss"}
    assert rankings == {
        "twin", "active", "popularity", "nearest-owned", "content cosine", "mix",
    }  # fmt: skip
    assert all(set(found[name]) == set(METRICS) for name in rankings)
    # The same twin, on the very same queries.
    assert found["active"] == found["twin"]
    best = found["best_baseline"]
    others = rankings - {"twin", "active"}
    assert found[best]["ndcg@10"] == max(found[name]["ndcg@10"] for name in others)
    assert found["sure_loss"].keys() == {best, "active"}
    assert found["sure_loss"]["active"] == 0
    alone = gate_figures(fitted.artifact, columns, fitted.events, held_out(fitted))
    assert "active" not in alone
    assert alone["twin"] == found["twin"]


def test_labels_that_mean_nothing_teach_nothing(streets: World) -> None:
    columns, log = streets
    shuffled = replace(log, property=np.random.default_rng(0).permutation(log.property))
    found = train(columns, shuffled, CONFIG, lambda _: None).metrics
    assert found["accuracy"] < 0.6


def test_both_versions_know_what_was_taken_when_the_slice_began(
    streets: World, fitted: Fit
) -> None:
    columns, log = streets
    deals = replace(log, kind=np.full_like(log.kind, KINDS.index(InteractionKind.DEAL)))
    data = events(deals, len(columns), CPU)
    moment = float(np.median(log.occurred_at))
    taken = as_of(columns, data, moment).owners
    bought = np.unique(log.property[log.occurred_at < moment])
    assert np.flatnonzero(taken).tolist() == bought.tolist()
    assert 0 < len(bought) < len(columns)


def test_what_is_no_number_is_counted(streets: World, fitted: Fit) -> None:
    """An investor is what it acted on: it is as broken as that is."""
    _, log = streets
    items, reranker = fitted.items, fitted.artifact.reranker
    assert not_finite(reranker, items, fitted.events) == 0
    embedding = items.embedding.clone()
    embedding[7, 3] = torch.nan
    prior = items.prior.clone()
    prior[8] = torch.inf
    broken = replace(items, embedding=embedding, prior=prior)
    touched = np.unique(log.user[np.isin(log.property, (7, 8))])
    assert not_finite(reranker, broken, fitted.events) == 2 + len(touched)


def test_strengths_without_numbers_break_investors_alone(streets: World) -> None:
    found = fit(*streets, replace(CONFIG, epochs=1, rerank_epochs=0), lambda _: None)
    with torch.no_grad():
        found.artifact.reranker.age[0] = torch.nan
    assert not_finite(found.artifact.reranker, found.items, found.events) == 48


def test_a_training_that_diverged_is_measured_as_such(streets: World) -> None:
    """Its figures can be kept, and say nothing but that."""
    columns, log = streets
    trained = train(
        columns, log, replace(CONFIG, epochs=1, rerank_epochs=1, learning_rate=1e30), lambda _: None
    )
    dumps([trained.metrics, trained.metadata], allow_nan=False)
    assert trained.metrics["not_finite"] > len(columns)
    assert not {"f1", "accuracy", "twin"} & trained.metrics.keys()
