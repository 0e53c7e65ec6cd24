from uuid import UUID

import numpy as np
import pytest
import torch

from domain.snapshots import InteractionLog
from ml.dataset import Queries, events, queries
from ml.validation import METRICS, popularity_scorer, ranking_metrics

ITEMS = 200
CPU = torch.device("cpu")


def make_log() -> InteractionLog:
    """One investor saw property 0, then approved of 10, 11 and 12; another made 5 popular."""
    rows = [(0, 0, 0), (1, 5, 0), (0, 10, 9), (0, 11, 9), (0, 12, 9)]
    user, item, time = np.array(rows).T
    return InteractionLog(
        users=(UUID(int=0), UUID(int=1)),
        user=user.astype(np.int32),
        property=item.astype(np.int32),
        kind=np.zeros(len(rows), dtype=np.int8),
        occurred_at=time.astype(np.float64),
    )


@pytest.fixture
def held_out() -> Queries:
    return queries(events(make_log(), ITEMS, CPU), 5, 99, most=10, seed=0)


def scores(order: list[int]) -> torch.Tensor:
    """Scores that rank these properties first, in this order; all others are equal."""
    row = torch.zeros((1, ITEMS))
    row[0, order] = torch.arange(len(order), 0, -1, dtype=torch.float32)
    return row


def test_a_perfect_ranking(held_out: Queries) -> None:
    perfect = scores([0, 12, 10, 11])  # what was seen before is not ranked, so 0 costs nothing
    found = ranking_metrics(lambda _first, _last: perfect, held_out, ITEMS)
    assert found == dict.fromkeys(METRICS, 1.0)


def test_figures_by_hand(held_out: Queries) -> None:
    ranking = scores([*range(20, 24), 10, *range(30, 60), 11, *range(60, 180), 12])
    found = ranking_metrics(lambda _first, _last: ranking, held_out, ITEMS)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found["ndcg@10"] == pytest.approx(1 / np.log2(6) / ideal)
    assert found["hr@10"] == 1
    assert found["recall@100"] == pytest.approx(2 / 3)
    above = 4 + 34 + 154
    assert found["gain"] == pytest.approx(sum(1 / np.log2(2 + n) for n in (4, 34, 154)) / 3)
    assert found["auc"] == pytest.approx(1 - above / (3 * (ITEMS - 1 - 3)))


def test_constant_scores_earn_only_luck(held_out: Queries) -> None:
    found = ranking_metrics(lambda _first, _last: torch.zeros(1, ITEMS), held_out, ITEMS)
    assert found["auc"] == pytest.approx(0.5)
    assert found["ndcg@10"] < 0.5


def test_popularity_counts_what_came_before() -> None:
    data = events(make_log(), ITEMS, CPU)
    score = popularity_scorer(data, before=5)(0, 1)
    assert score[0].nonzero()[:, 0].tolist() == [0, 5]


def test_nothing_to_measure_is_an_error() -> None:
    nothing = queries(events(make_log(), ITEMS, CPU), 50, 99, most=10, seed=0)
    with pytest.raises(ValueError, match="no held-out"):
        ranking_metrics(lambda _first, _last: torch.zeros(0, ITEMS), nothing, ITEMS)
