"""What serves is what was trained: the folded re-ranker gives the re-ranker's scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.vocabulary import InteractionKind
from ml.twin.folded_reranker import FoldedReranker
from ml.twin.items import Items, Opinions
from ml.twin.reranker import Reranker
from tests.ml.worlds import make_items, make_reranker


def trained(seed: int, *, all_used: bool = True) -> Reranker:
    """Weights, and a tenant's usual values, anywhere."""
    reranker = make_reranker(seed)
    draw = torch.Generator().manual_seed(seed)
    count = len(reranker.used)
    spread = 0.05 + torch.rand(count, generator=draw)
    reranker.usual = torch.stack((torch.randn(count, generator=draw), spread))
    if not all_used:
        reranker.used = torch.rand(count, generator=draw) < 0.6
    return reranker


@given(
    seed=st.integers(0, 10_000),
    acted=st.integers(0, 33),
    count=st.integers(1, 130),
    missing=st.sampled_from((0.0, 0.2, 1.0)),
    all_used=st.booleans(),
    sign=st.sampled_from((-1, 0, 1)),
)
def test_scores_are_those_of_the_reranker(
    seed: int, acted: int, count: int, missing: float, all_used: bool, sign: int
) -> None:
    reranker = trained(seed, all_used=all_used)
    history = _as_used(make_items((acted,), seed, missing), reranker)
    candidates = _as_used(make_items((count,), seed + 1, missing), reranker)
    weight = 2 * torch.randn((1, acted), generator=torch.Generator().manual_seed(seed))
    opinions = Opinions(history[None], sign * weight.abs() if sign else weight)
    with torch.inference_mode():
        expected = reranker(opinions, candidates[None])[0]
        found = FoldedReranker(reranker)(opinions, candidates)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


def _as_used(items: Items, reranker: Reranker) -> Items:
    known = items.known & reranker.used
    return replace(items, known=known, attributes=items.attributes * known)


@pytest.mark.parametrize("weight", ["distance", "difference", "profile", "dislike", "taken"])
def test_every_weight_counts(weight: str) -> None:
    reranker = trained(3)
    opinions = Opinions(make_items((12,), 1)[None], torch.linspace(-3, 5, 12)[None])
    candidates = make_items((64,), 2)
    before = FoldedReranker(reranker)(opinions, candidates)
    reranker.get_parameter(weight).add_(0.5)
    after = FoldedReranker(reranker)(opinions, candidates)
    assert (after - before).abs().max() > 1e-3


def test_nothing_it_is_given_changes() -> None:
    reranker = trained(4)
    opinions = Opinions(make_items((8,), 1)[None], torch.ones(1, 8))
    candidates = make_items((64,), 2)
    folded = FoldedReranker(reranker)
    assert torch.equal(folded(opinions, candidates), folded(opinions, candidates))
    assert torch.equal(candidates.prior, make_items((64,), 2).prior)


def test_it_is_a_copy() -> None:
    reranker = trained(3)
    opinions = Opinions(make_items((12,), 1)[None], torch.linspace(-3, 5, 12)[None])
    candidates = make_items((64,), 2)
    folded = FoldedReranker(reranker)
    before = folded(opinions, candidates)
    with torch.no_grad():
        for values in (*reranker.parameters(), reranker.usual):
            values.add_(0.5)
    torch.testing.assert_close(folded(opinions, candidates), before, rtol=0, atol=0)


@given(
    seed=st.integers(0, 10_000),
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=128),
)
def test_acts_weigh_what_they_do_to_the_reranker(seed: int, rows: list[int]) -> None:
    draw = np.random.default_rng(seed)
    reranker = trained(seed)
    torch.nn.init.normal_(reranker.age, std=0.3, generator=torch.Generator().manual_seed(seed))
    _, row = np.unique(rows, return_inverse=True)
    kind = draw.integers(0, len(InteractionKind), len(row)).astype(np.int8)
    age = np.sort(draw.exponential(2.0, len(row)))
    expected = reranker.weights(
        torch.from_numpy(row)[None],
        torch.from_numpy(kind.astype(np.int64))[None],
        torch.from_numpy(age.astype(np.float32))[None],
        torch.ones((1, len(row)), dtype=torch.bool),
    )[0]
    found = FoldedReranker(reranker).weights(row, kind, age)
    newest = np.unique(row, return_index=True)[1]
    np.testing.assert_allclose(found, expected.detach().numpy()[newest], rtol=1e-4, atol=1e-5)
