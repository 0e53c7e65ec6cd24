"""How well rankings find what investors approved of later.

Every property is ranked for every investor, except those the investor had acted on before. Figures
are means over investors, so that a busy one counts no more than a quiet one.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.twin.dataset import KIND_WEIGHTS, Histories, Queries
from ml.twin.items import Acts, Items, Opinions
from ml.twin.reranker import Reranker
from ml.twin.towers import INTERESTS, interest_logits

RankingMetrics = dict[str, float]
Scorer = Callable[[int, int], Tensor]
"""Scores of every property for the queries from one position up to another, float (b, n)."""

METRICS: tuple[str, ...] = ("ndcg@10", "hr@10", "recall@100", "auc", "gain")
"""Rank quality and hits within the first 10; the share found within 100; the chance that a relevant
property is ranked above an irrelevant one; and the mean of 1 / log2(2 + irrelevant ones above),
which looks at the top like NDCG, but moves with every place and so is the steadiest of the five."""

_SHARE, _SHARES = 16, 256
"""Pairs of one query that are scored together, and how many such shares are at a time."""

_CELLS = 4_000_000
"""How many scores are looked at together: bounds memory whatever the size of the catalogue."""


def tower_scorer(catalogue: Tensor, histories: Histories, temperature: float) -> Scorer:
    """Logits of the first stage for all properties (n, 16), from the newest approvals."""
    positive = torch.from_numpy(KIND_WEIGHTS > 0).to(catalogue.device)
    interests = histories.newest(positive[histories.kind], INTERESTS)

    def score(first: int, last: int) -> Tensor:
        some = interests[torch.arange(first, last, device=catalogue.device)]
        scaled = (catalogue[some.item] / temperature) @ catalogue.T
        return interest_logits(scaled, some.present)

    return score


@torch.inference_mode()
def pair_scores(reranker: Reranker, items: Items, queries: Queries, pairs: Tensor) -> Tensor:
    """The second stage's scores (p,) of pairs (query, property), int64 (2, p)."""
    scores = torch.empty(pairs.shape[1], device=pairs.device)
    # Pairs of one query together: its opinions take longer to form than to apply.
    order = pairs[0].argsort(stable=True)
    query, row = pairs[:, order]
    place = torch.arange(len(order), device=pairs.device) - torch.searchsorted(query, query)
    shares, share = torch.unique(torch.stack((query, place // _SHARE)), dim=1, return_inverse=True)
    candidates = torch.zeros((shares.shape[1], _SHARE), dtype=torch.int64, device=pairs.device)
    candidates[share, place % _SHARE] = row
    blocks = [
        reranker(_opinions(reranker, items, queries, rows), items[some])
        for rows, some in zip(
            torch.split(shares[0], _SHARES), torch.split(candidates, _SHARES), strict=True
        )
    ]
    if blocks:
        scores[order] = torch.cat(blocks)[share, place % _SHARE]
    return scores


def _opinions(reranker: Reranker, items: Items, queries: Queries, rows: Tensor) -> Opinions:
    past = queries.histories[rows]
    return reranker.opinions(Acts(items[past.item], past.item, past.kind, past.age, past.present))


def ranking_metrics(scorer: Scorer, queries: Queries, items: int) -> RankingMetrics:
    """The metrics named in ``METRICS``, each in [0, 1]: see ``compare``."""
    return compare({"": scorer}, queries, items)[""]


def compare(
    scorers: Mapping[str, Scorer], queries: Queries, items: int
) -> dict[str, RankingMetrics]:
    """The means over the queries of what ``measure`` gives."""
    return {
        name: {metric: float(values.mean()) for metric, values in found.items()}
        for name, found in measure(scorers, queries, items).items()
    }


def measure(
    scorers: Mapping[str, Scorer], queries: Queries, items: int
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The metrics (q,) of several scorers on the same queries. Raises ValueError without queries.

    Equal scores are broken by chance (seeded), so that a constant score earns only luck. What has
    no number for a score comes last.
    """
    if not len(queries):
        raise ValueError("there is no held-out interaction to measure on")
    device = queries.user.device
    # Which of equals topk takes is its own affair; shuffling the columns makes that chance.
    order = torch.randperm(items, generator=torch.Generator().manual_seed(0)).to(device)
    block = max(1, _CELLS // (items * INTERESTS))
    found: dict[str, dict[str, list[Tensor]]] = {
        name: {metric: [] for metric in METRICS} for name in scorers
    }
    for first in range(0, len(queries), block):
        last = min(first + block, len(queries))
        seen = _mask(queries.seen, first, last, items)
        relevant = _mask(queries.relevant, first, last, items)
        for name, scorer in scorers.items():
            score = scorer(first, last)
            score = score.masked_fill(seen | score.isnan(), -torch.inf)
            best = order[score[:, order].topk(min(100, items), dim=1).indices]
            values = _list_metrics(relevant.gather(1, best), relevant.sum(dim=1))
            values |= _pair_metrics(score, relevant)
            for metric in METRICS:
                found[name][metric].append(values[metric])
    return {
        name: {metric: torch.cat(some).double().cpu().numpy() for metric, some in values.items()}
        for name, values in found.items()
    }


def _mask(pairs: Tensor, first: int, last: int, items: int) -> Tensor:
    """Pairs (query, property) of a block of queries as booleans (last - first, n)."""
    inside = pairs[:, (pairs[0] >= first) & (pairs[0] < last)]
    mask = torch.zeros((last - first, items), dtype=torch.bool, device=pairs.device)
    mask[inside[0] - first, inside[1]] = True
    return mask


def _list_metrics(hits: Tensor, found: Tensor) -> dict[str, Tensor]:
    """Metrics (b,) of the relevance of the first 100 (b, 100) and the number of relevant (b,)."""
    discount = 1 / torch.log2(torch.arange(min(10, hits.shape[1]), device=hits.device) + 2.0)
    ideal = torch.cumsum(discount, dim=0)[found.clamp(max=len(discount)) - 1]
    return {
        "ndcg@10": (hits[:, :10] * discount).sum(dim=1) / ideal,
        "hr@10": hits[:, :10].any(dim=1).float(),
        "recall@100": hits.sum(dim=1) / found,
    }


def _pair_metrics(score: Tensor, relevant: Tensor) -> dict[str, Tensor]:
    """Metrics (b,) from how many irrelevant properties are above each relevant one.

    Equal scores count half; a score of -inf is a property that is not ranked.
    """
    other = score.masked_fill(relevant, -torch.inf)
    others = other.isfinite().sum(dim=1).clamp(min=1)
    row, column = relevant.nonzero(as_tuple=True)
    size = max(1, _CELLS // score.shape[1])
    above = []
    for rows, columns in zip(torch.split(row, size), torch.split(column, size), strict=True):
        mine, theirs = score[rows, columns][:, None], other[rows]
        above.append((theirs > mine).sum(dim=1) + 0.5 * (theirs == mine).sum(dim=1))
    irrelevant = torch.cat(above)
    sums = torch.zeros((2, len(score)), device=score.device)
    sums[0].index_add_(0, row, 1 - irrelevant / others[row])
    sums[1].index_add_(0, row, 1 / torch.log2(2 + irrelevant))
    means = sums / relevant.sum(dim=1)
    return {"auc": means[0], "gain": means[1]}
