"""The figures against brute force."""

from math import log2

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from ml.evaluation.metrics import METRICS, classification, ranking_metrics, top
from tests.drawing import few


@st.composite
def rankings(
    draw: st.DrawFn,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    """Scores without ties, some of them -inf; candidates; relevant candidates."""
    count = draw(st.integers(2, 130))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.permutation(count).astype(float)
    scores[rng.random(count) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = -np.inf
    candidates = rng.random(count) < 0.8
    candidates[rng.integers(count)] = True
    rows = np.flatnonzero(candidates)
    size = draw(st.integers(1, min(len(rows), 15)))
    return scores, candidates, np.sort(rng.choice(rows, size, replace=False))


@given(rankings())
def test_ranking_metrics_are_what_they_say(
    ranking: tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]],
) -> None:
    scores, candidates, relevant = ranking
    best = top(scores, candidates, 0)
    found = dict(zip(METRICS, ranking_metrics(scores, candidates, relevant, best), strict=True))

    wanted = set(relevant.tolist())
    ranked = [
        row for row in np.argsort(-scores).tolist() if candidates[row] and scores[row] > -np.inf
    ]
    assert best.tolist() == ranked[:100]
    hits = [row in wanted for row in ranked]
    ideal = sum(1 / log2(place + 2) for place in range(min(10, len(wanted))))
    assert found["ndcg@10"] == pytest.approx(
        sum(hit / log2(place + 2) for place, hit in enumerate(hits[:10])) / ideal
    )
    assert found["hr@10"] == any(hits[:10])
    assert found["precision@10"] == pytest.approx(sum(hits[:10]) / 10)
    assert found["recall@100"] == pytest.approx(sum(hits[:100]) / len(wanted))

    others = [row for row in np.flatnonzero(candidates).tolist() if row not in wanted]
    beaten, places = [], []
    for row in wanted:
        beaten += [
            1.0 if scores[row] > scores[other] else 0.5 if scores[row] == scores[other] else 0.0
            for other in others
        ]
        # The only scores that can be equal are those of what is not ranked.
        above = sum(scores[other] > scores[row] for other in others)
        places.append(above + sum(scores[other] == scores[row] for other in others) / 2)
    assert found["auc"] == pytest.approx(np.mean(beaten) if others else 0.5)
    assert found["gain"] == pytest.approx(np.mean([1 / log2(2 + above) for above in places]))
    assert found["mrr"] == pytest.approx(
        1 / (hits.index(True) + 1) if any(hits) else 1 / (1 + min(places))
    )


def test_ties_earn_only_luck() -> None:
    scores, candidates, relevant = np.zeros(1000), np.ones(1000, dtype=np.bool_), np.arange(100)
    hits = [np.isin(top(scores, candidates, seed)[:10], relevant).mean() for seed in range(200)]
    assert np.mean(hits) == pytest.approx(0.1, abs=0.03)
    assert ranking_metrics(scores, candidates, relevant, top(scores, candidates, 0))[
        METRICS.index("auc")
    ] == pytest.approx(0.5)


def test_what_is_not_ranked_is_in_no_list_and_else_half_way_down() -> None:
    scores, candidates = np.full(5, -np.inf), np.ones(5, dtype=np.bool_)
    figures = ranking_metrics(scores, candidates, np.array([2]), top(scores, candidates, 0))
    assert dict(zip(METRICS, figures, strict=True)) == {
        "ndcg@10": 0, "hr@10": 0, "precision@10": 0, "mrr": 1 / 3, "recall@100": 0,
        "auc": 0.5, "gain": 0.5,
    }  # fmt: skip


def test_a_score_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="2 scores that are no numbers"):
        top(np.array([1, np.nan, np.nan]), np.ones(3, dtype=np.bool_), 0)


def test_classification_of_a_case_by_hand() -> None:
    label = np.array([True, True, True, False, False, False])
    affinity = np.array([0.95, 0.85, 0.05, 0.95, 0.15, 0.05])
    found = classification(label, affinity)
    assert found["confusion"] == [[2, 1], [1, 2]]
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["f1"] == pytest.approx(2 / 3)
    # Of nine pairs, four are in order and two are equal.
    assert found["auc"] == pytest.approx((4 + 2 / 2) / 9)
    assert found["reliability"] == {
        "affinity": pytest.approx([0.05, 0.15, 0.85, 0.95]),
        "share": pytest.approx([0.5, 0.0, 1.0, 0.5]),
        "pairs": [2, 1, 1, 2],
    }
    assert found["calibration_error"] == pytest.approx(
        (2 * 0.45 + 1 * 0.15 + 1 * 0.15 + 2 * 0.45) / 6
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=2, max_size=60))
def test_classification_is_that_of_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    """With equal affinities, and with nobody or everybody said to approve."""
    label = np.array([approved for approved, _ in pairs])
    affinity = np.array([tenths / 10 for _, tenths in pairs])
    assume(0 < label.sum() < len(label))
    found, said = classification(label, affinity), affinity >= 0.5
    assert found["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(label, affinity))
    for name in ("accuracy", "f1", "precision", "recall"):
        given = {} if name == "accuracy" else {"zero_division": 0}
        expected = getattr(sklearn_metrics, f"{name}_score")(label, said, **given)
        assert found[name] == pytest.approx(expected)
    expected = sklearn_metrics.confusion_matrix(label, said, labels=[True, False])
    assert found["confusion"] == expected.tolist()
    wrong, right, _ = sklearn_metrics.roc_curve(label, affinity, drop_intermediate=False)
    assert found["roc"] == {
        "false_positive": pytest.approx(wrong.tolist()),
        "true_positive": pytest.approx(right.tolist()),
    }


@given(st.integers(0, 2**32))
@few(20)
def test_honest_affinities_have_little_calibration_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    affinity = rng.random(20_000)
    found = classification(rng.random(20_000) < affinity, affinity)
    assert found["calibration_error"] < 0.03
    assert found["auc"] == pytest.approx(5 / 6, abs=0.02)
    assert len(found["roc"]["false_positive"]) <= 200


def test_one_sided_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="one side is missing"):
        classification(np.ones(3, dtype=np.bool_), np.full(3, 0.5))
