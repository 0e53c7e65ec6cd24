"""How well rankings find what investors approved of later, with popularity measured beside.

Every property is ranked for every investor, except those the investor had acted on before. Figures
are means over investors, so that a busy one counts no more than a quiet one.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ml.dataset import Events, Histories, Queries
from ml.model import TwoTower

RankingMetrics = dict[str, float]
Scorer = Callable[[int, int], Tensor]
"""Scores of every property for the queries from one position up to another, float (b, n)."""

METRICS: tuple[str, ...] = ("ndcg@10", "hr@10", "recall@100", "auc", "gain")
"""Rank quality and hits within the first 10; the share found within 100; the chance that a relevant
property is ranked above an irrelevant one; and the mean of 1 / log2(2 + irrelevant ones above),
which looks at the top like NDCG, but moves with every place and so is the steadiest of the five."""

_CELLS = 4_000_000
"""How many scores are looked at together: bounds memory whatever the size of the catalogue."""


def vectors(model: TwoTower, catalogue: Tensor, histories: Histories) -> Tensor:
    """The investors' unit vectors (b, 16) from their histories and all embeddings (n, 16)."""
    investors: Tensor = model.investor(
        catalogue[histories.item], histories.kind, histories.age, histories.present
    )
    return investors


def twin_scorer(catalogue: Tensor, investors: Tensor) -> Scorer:
    """Cosines between investors (q, 16) and properties (n, 16)."""
    return lambda first, last: investors[first:last] @ catalogue.T


def popularity_scorer(data: Events, before: float) -> Scorer:
    """The same ranking for everybody: by the positive weight of what happened before."""
    weight = data.weight.clamp(min=0) * (data.time < before)
    score = torch.zeros(data.items, device=weight.device).index_add_(0, data.item, weight)
    return lambda first, last: score.expand(last - first, -1)


def ranking_metrics(scorer: Scorer, queries: Queries, items: int) -> RankingMetrics:
    """The metrics named in ``METRICS``, each in [0, 1]. Raises ValueError without queries.

    Equal scores are broken by chance (seeded), so that a constant score earns only luck.
    """
    if not len(queries):
        raise ValueError("there is no held-out interaction to measure on")
    device = queries.user.device
    # Which of equals topk takes is its own affair; shuffling the columns makes that chance.
    order = torch.randperm(items, generator=torch.Generator().manual_seed(0)).to(device)
    block = max(1, _CELLS // items)
    totals = dict.fromkeys(METRICS, 0.0)
    for first in range(0, len(queries), block):
        last = min(first + block, len(queries))
        score = scorer(first, last).masked_fill(_mask(queries.seen, first, last, items), -torch.inf)
        relevant = _mask(queries.relevant, first, last, items)
        best = order[score[:, order].topk(min(100, items), dim=1).indices]
        values = _list_metrics(relevant.gather(1, best), relevant.sum(dim=1))
        values |= _pair_metrics(score, relevant)
        for name in METRICS:
            totals[name] += float(values[name].sum())
    return {name: total / len(queries) for name, total in totals.items()}


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
