"""The figures that a version's gates look at, all from the slice that no training learned from.

Quality is told in two ways. Pairs: of an approval of the slice and a random property that the same
investor never acted on, does the twin tell which is which? Rankings: does it put what was approved
of first, and better than the version before and than rankings that need no training?
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from domain.contract.snapshots import InvestorHistory, PropertyColumns
from ml.catalogue.ranking import PastRanker
from ml.measures.baselines import baseline_scorers
from ml.measures.intervals import ratio_interval
from ml.measures.validation import Scorer, measure, pair_scores
from ml.training.reranker_training import owned_before
from ml.twin.artifacts import Artifact
from ml.twin.dataset import YEAR, Events, Queries, histories, queries
from ml.twin.items import Items
from ml.twin.reranker import Reranker
from ml.twin.scoring import LoadedTwin, items_of

THRESHOLD = 0.5
"""The calibrated affinity from which a pair counts as an approval: fitted on as many approvals as
other properties, it is where the one becomes likelier than the other."""

LEAST_COMPARED = 5
"""Investors without whom a part of the slice tells nothing of two versions."""

_NDCG = "ndcg@10"
_REDRAWS = 20
_INVESTORS = 512


def gate_figures(
    twin: Artifact,
    properties: PropertyColumns,
    data: Events,
    test: Queries,
    *,
    active: Artifact | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of a twin, JSON.

    Args:
        twin: what is judged.
        properties: all of the tenant's.
        data: all that happened.
        test: the slice that the twin never learned from.
        active: the version that answers now, if any: it ranks for the same queries, of a time that
            is new to it too.
        seed: of the random pairs.

    Returns:
        "not_finite": how many embeddings of properties and of investors are no numbers. If there
        are any, that is all. Else "f1" and "accuracy" on "pairs" balanced pairs, and rankings by
        the names of ``ml.measures.validation.METRICS``: of "twin", "active" and each of
        ``ml.measures.baselines``, whose best by NDCG@10 is named by "best_baseline". Where the
        active version learned from the beginning of the slice, it ranks for what came later, and so
        does the twin beside it as "twin_beside_active"; where too little did, "active_left_out"
        says so instead. "sure_loss" is, by the names of the best baseline and "active", what
        ``sure_loss`` gives.
    """
    past = as_of(properties, data, test.moment)
    items = items_of(twin.tower, twin.reranker, twin.statistics, past)
    broken = not_finite(twin.reranker, items, data)
    if broken:
        return {"not_finite": broken}
    approvals, others = balanced_pairs(data, test, seed)
    liked, random = (
        _affinity(twin, items, test, pairs) >= THRESHOLD for pairs in (approvals, others)
    )
    baselines = baseline_scorers(properties, data, test)
    found = measure({"twin": list_scorer(twin, past, test), **baselines}, test, data.items)
    best = max(baselines, key=lambda name: found[name][_NDCG].mean())
    losses = {best: sure_loss(found["twin"][_NDCG], found[best][_NDCG])}
    figures: dict[str, Any] = {
        "not_finite": 0,
        "f1": f1(liked, random),
        "accuracy": float((liked.sum() + (~random).sum()) / max(1, len(liked) + len(random))),
        "pairs": len(liked) + len(random),
        "best_baseline": best,
        "sure_loss": losses,
        **{name: _means(values) for name, values in found.items()},
    }
    if active is None:
        return figures
    common, rankers = test, {"active": active}
    if active.held_out_from > test.moment:
        common = queries(data, active.held_out_from, np.inf, len(test), seed)
        rankers["twin_beside_active"] = twin
        if len(common) < LEAST_COMPARED:
            return figures | {
                "active_left_out": "it learned from nearly all of the slice: later only "
                f"{len(common)} investors of at least {LEAST_COMPARED} approved of anything"
            }
    scorers = {
        name: list_scorer(one, as_of(properties, data, common.moment), common)
        for name, one in rankers.items()
    }
    beside = measure(scorers, common, data.items)
    mine = beside.get("twin_beside_active", found["twin"])
    losses["active"] = sure_loss(mine[_NDCG], beside["active"][_NDCG])
    return figures | {name: _means(values) for name, values in beside.items()}


def sure_loss(values: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """The share of the reference that is missing even at the upper end of a 95% interval.

    By bootstrap over investors, both (m,): 0 unless the values are lower beyond chance. It exceeds
    a tolerated share just where the upper end of the interval of the mean of
    values - (1 - share) * reference is below zero.
    """
    interval = ratio_interval(values, reference)
    return 0.0 if interval is None else max(0.0, 1 - interval.high)


def as_of(properties: PropertyColumns, data: Events, moment: float) -> PropertyColumns:
    """The properties, owned by those who had bought one by the moment."""
    owned = owned_before(data, moment).cpu().numpy()
    return replace(properties, owners=owned.astype(np.int32))


def list_scorer(twin: Artifact, properties: PropertyColumns, asked: Queries) -> Scorer:
    """What is served: numbers in the order of each investor's list, as ``PastRanker.scores``.

    Args:
        twin: what ranks.
        properties: as they were when the slice began.
        asked: for whom.
    """
    device = asked.user.device
    loaded = LoadedTwin(twin, device)
    ranker = PastRanker(loaded, properties, loaded.items(properties))
    past, seen = asked.histories, asked.seen.cpu().numpy()

    def scores(query: int) -> NDArray[np.float64]:
        present = past.present[query].cpu().numpy()
        rows = past.item[query].cpu().numpy()[present]
        history = InvestorHistory(
            user_id=UUID(int=int(asked.user[query])),
            properties=properties.take(rows),
            kind=past.kind[query].cpu().numpy()[present].astype(np.int8),
            occurred_at=asked.moment - YEAR * past.age[query].cpu().numpy()[present],
            as_of=asked.moment,
        )
        wanted = np.ones(len(properties), dtype=np.bool_)
        wanted[seen[1, seen[0] == query]] = False
        return ranker.scores(history, wanted, all_scored=False)

    def score(first: int, last: int) -> Tensor:
        return torch.from_numpy(np.stack(list(map(scores, range(first, last))))).to(device)

    return score


@torch.inference_mode()
def not_finite(reranker: Reranker, items: Items, data: Events) -> int:
    """How many properties, and investors as they are now, have no numbers for an embedding.

    An investor's is made of the embeddings of what it acted on, and of what each act counts.
    """
    finite = items.embedding.isfinite().all(dim=1) & items.prior.isfinite()
    broken = int((~finite).sum())
    users = torch.arange(len(data.start) - 1, device=data.start.device)
    for some in torch.split(users, _INVESTORS):
        now = (data.time.max() + 1).expand(len(some))
        past = histories(data, data.start[some + 1], data.start[some], now)
        weight = reranker.weights(past.item, past.kind, past.age, past.present)
        whole = (finite[past.item] | ~past.present) & weight.isfinite()
        broken += int((~whole).any(dim=1).sum())
    return broken


def balanced_pairs(data: Events, test: Queries, seed: int) -> tuple[Tensor, Tensor]:
    """Approvals of the slice, and for each a random property that the investor never acted on.

    Both are pairs (query, property), int64 (2, p). Whoever acted on nearly everything is left out.
    """
    acted_on = torch.unique(data.user * data.items + data.item)
    query = test.relevant[0]
    user = test.user[query]
    rng = np.random.default_rng(seed)
    row = torch.full_like(query, -1)
    for _ in range(_REDRAWS):
        missing = (row < 0).nonzero()[:, 0]
        drawn = torch.as_tensor(rng.integers(data.items, size=len(missing)), device=row.device)
        new = ~torch.isin(user[missing] * data.items + drawn, acted_on)
        row[missing[new]] = drawn[new]
    kept = row >= 0
    return test.relevant[:, kept], torch.stack((query[kept], row[kept]))


def f1(liked: NDArray[np.bool_], others: NDArray[np.bool_]) -> float:
    """F1 of what was said of approvals and of others; 0 if nothing was said to be approved of."""
    hits = int(liked.sum())
    return 2 * hits / max(1, len(liked) + hits + int(others.sum()))


def _affinity(twin: Artifact, items: Items, test: Queries, pairs: Tensor) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = (
        pair_scores(twin.reranker, items, test, pairs).double().cpu().numpy()
    )
    return twin.calibration(scores)


def _means(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    return {metric: float(some.mean()) for metric, some in values.items()}
