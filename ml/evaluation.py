"""How well rankings find what investors approved of later, with popularity measured beside.

Every property is ranked for every investor, except those the investor had acted on before. Figures
are means over investors, so that a busy one counts no more than a quiet one.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ml.dataset import Events, Histories, Queries
from ml.model import TwoTower

RankingMetrics = dict[str, float]
Scorer = Callable[[int, int], Tensor]
"""Scores of every property for the queries from one position up to another, float (b, n)."""

METRICS: tuple[str, ...] = ("ndcg@10", "hr@10", "recall@100", "auc")
"""Rank quality and hits within the first 10, share found within 100, and the chance that a relevant
property is ranked above an irrelevant one."""

_BLOCK = 256


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
    order = torch.randperm(items, generator=torch.Generator().manual_seed(0)).to(device)
    totals = dict.fromkeys(METRICS, 0.0)
    for first in range(0, len(queries), _BLOCK):
        last = min(first + _BLOCK, len(queries))
        score = scorer(first, last)
        seen = _mask(queries.seen, first, last, items)
        relevant = _mask(queries.relevant, first, last, items)
        ranked = score.masked_fill(seen, -torch.inf)[:, order].argsort(
            dim=1, descending=True, stable=True
        )
        hits = relevant[:, order].gather(1, ranked)
        unseen = items - seen.sum(dim=1)
        for name, values in _metrics(hits, unseen).items():
            totals[name] += float(values.sum())
    return {name: total / len(queries) for name, total in totals.items()}


def format_metrics(metrics: Mapping[str, RankingMetrics]) -> str:
    """A plain text table, one ranking a line, from the mapping of rankings to their metrics."""
    lines = [f"{'':<12}" + "".join(f"{name:>12}" for name in METRICS)]
    lines += [
        f"{ranking:<12}" + "".join(f"{values[name]:>12.4f}" for name in METRICS)
        for ranking, values in metrics.items()
    ]
    return "\n".join(lines)


def _mask(pairs: Tensor, first: int, last: int, items: int) -> Tensor:
    """Pairs (query, property) of a block of queries as booleans (last - first, n)."""
    inside = pairs[:, (pairs[0] >= first) & (pairs[0] < last)]
    mask = torch.zeros((last - first, items), dtype=torch.bool, device=pairs.device)
    mask[inside[0] - first, inside[1]] = True
    return mask


def _metrics(hits: Tensor, unseen: Tensor) -> dict[str, Tensor]:
    """Metrics (b,) of ranked relevance (b, n), whose first ``unseen`` (b,) places are real."""
    found = hits.sum(dim=1)
    place = torch.arange(hits.shape[1], device=hits.device)
    discount = 1 / torch.log2(place[:10] + 2.0)
    ideal = torch.cumsum(discount, dim=0)[found.clamp(max=len(discount)) - 1]
    # A relevant property at place p has p places above it, less the relevant ones among them.
    irrelevant_above = (place * hits).sum(dim=1) - found * (found - 1) / 2
    irrelevant = (unseen - found).clamp(min=1)
    return {
        "ndcg@10": (hits[:, :10] * discount).sum(dim=1) / ideal,
        "hr@10": hits[:, :10].any(dim=1).float(),
        "recall@100": hits[:, :100].sum(dim=1) / found,
        "auc": 1 - irrelevant_above / (found * irrelevant),
    }
