from uuid import UUID

import numpy as np
import pytest
import torch

from domain.contract.snapshots import InteractionLog
from ml.measures.validation import (
    METRICS,
    compare,
    pair_scores,
    ranking_metrics,
    tower_scorer,
)
from ml.twin.artifacts import Artifact
from ml.twin.dataset import KIND_WEIGHTS, Queries, events, queries
from ml.twin.items import Acts, Items

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


def test_what_has_no_number_comes_last(held_out: Queries) -> None:
    """Else a diverged training would look perfect."""
    nothing = torch.full((1, ITEMS), torch.nan)
    found = ranking_metrics(lambda _first, _last: nothing, held_out, ITEMS)
    assert found["ndcg@10"] < 0.1
    assert found["gain"] < 0.2
    some = scores([10, 11, 12]).index_fill(1, torch.tensor([10]), torch.nan)
    found = ranking_metrics(lambda _first, _last: some, held_out, ITEMS)
    assert found["recall@100"] == pytest.approx(2 / 3)


def test_scorers_are_compared_on_the_same_queries(busy: Queries) -> None:
    draw = torch.Generator().manual_seed(0)
    given = [torch.rand((len(busy), ITEMS), generator=draw) for _ in range(2)]
    scorers = {
        str(number): lambda first, last, some=some: some[first:last]
        for number, some in enumerate(given)
    }
    found = compare(scorers, busy, ITEMS)
    assert list(found) == ["0", "1"]
    for name, scorer in scorers.items():
        assert found[name] == ranking_metrics(scorer, busy, ITEMS)
    assert found["0"] != found["1"]


def test_nothing_to_measure_is_an_error() -> None:
    nothing = queries(events(make_log(), ITEMS, CPU), 50, 99, most=10, seed=0)
    with pytest.raises(ValueError, match="no held-out"):
        ranking_metrics(lambda _first, _last: torch.zeros(0, ITEMS), nothing, ITEMS)


@pytest.fixture(scope="module")
def busy() -> Queries:
    """Twenty investors who did all kinds of things with the session's 200 properties."""
    rng = np.random.default_rng(0)
    log = InteractionLog(
        users=tuple(UUID(int=one) for one in range(20)),
        user=rng.integers(0, 20, 600).astype(np.int32),
        property=rng.integers(0, ITEMS, 600).astype(np.int32),
        kind=rng.integers(0, 7, 600).astype(np.int8),
        occurred_at=np.sort(rng.uniform(0, 1e8, 600)),
    )
    return queries(events(log, ITEMS, CPU), 7e7, 1e8, most=100, seed=0)


def by_hand(artifact: Artifact, items: Items, busy: Queries, query: int) -> torch.Tensor:
    """What the re-ranker says of every property to one investor's history."""
    past = busy.histories[torch.tensor([query])]
    opinions = artifact.reranker.opinions(
        Acts(items[past.item], past.item, past.kind, past.age, past.present)
    )
    found: torch.Tensor = artifact.reranker(opinions, items[None])
    return found[0]


def test_pairs_are_scored_as_the_reranker_does(
    artifact: Artifact, items: Items, busy: Queries
) -> None:
    # Some queries have more pairs than are scored together; their order is anybody's.
    draw = torch.Generator().manual_seed(0)
    many = torch.randint(0, ITEMS, (60,), generator=draw)
    pairs = torch.cat((busy.relevant, torch.stack((torch.full_like(many, 3), many))), dim=1)
    pairs = pairs[:, torch.randperm(pairs.shape[1], generator=draw)]
    found = pair_scores(artifact.reranker, items, busy, pairs)
    each = [by_hand(artifact, items, busy, query) for query in range(len(busy))]
    expected = torch.stack([each[query][row] for query, row in pairs.T.tolist()])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)
    nothing = torch.empty((2, 0), dtype=torch.int64)
    assert pair_scores(artifact.reranker, items, busy, nothing).shape == (0,)


def test_the_first_stage_looks_for_what_is_like_any_approval(items: Items, busy: Queries) -> None:
    """At a low temperature, the logit says little more than the cosine with the nearest."""
    found = 0.02 * tower_scorer(items.embedding, busy.histories, 0.02)(0, len(busy))
    for query in range(len(busy)):
        kinds, present = busy.histories.kind[query], busy.histories.present[query]
        liked = present & (torch.from_numpy(KIND_WEIGHTS)[kinds] > 0)
        rows = busy.histories.item[query][liked][:16]
        nearest = (items.embedding[rows] @ items.embedding.T).max(dim=0).values
        more = found[query] - nearest
        assert more.min() > -1e-4
        assert more.max() <= 0.02 * np.log(16) + 1e-4
