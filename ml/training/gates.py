"""The figures that a version's gates judge, all from the slice that no training learned from.

Quality is measured in two ways. Pairs: does the twin tell an approval of the slice from a random
property that the same investor never acted on? Rankings: does it put first what was approved of,
better than the active version and than rankings that need no training? It ranks as requests do
(``ml.catalogue.ranking``), over the properties as they were.
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
"""The calibrated affinity from which a pair counts as an approval.

The calibration is fitted on as many approvals as other properties, so an approval is the likelier
of the two from here on.
"""

LEAST_COMPARED = 5
"""With fewer investors, a part of the slice is too small to compare two versions on."""

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
        twin: the version that is judged.
        properties: all properties of the tenant.
        data: all interactions.
        test: the slice that the twin never learned from.
        active: the version that answers now, if any. It ranks for the same queries, or for those of
            the time that is new to it too.
        seed: of the random pairs.

    Returns:
        "not_finite": how many embeddings of properties and of investors are not finite. If there
        are any, that is all. Else "f1" and "accuracy" on "pairs" balanced pairs, and rankings by
        the names of ``ml.measures.validation.METRICS``: of "twin", "active" and each of
        ``ml.measures.baselines``, whose best by NDCG@10 is named by "best_baseline". Where the
        active version learned from the beginning of the slice, it ranks for what came later, and so
        does the twin beside it as "twin_beside_active"; where too little did, "active_left_out"
        says so instead. "sure_loss" has, by the names of the best baseline and "active", what
        ``sure_loss`` returns.
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

    The interval is by bootstrap over investors; both arguments are (m,). The result is 0 unless the
    values are lower beyond chance. It exceeds a tolerated share exactly if the upper end of the
    interval of the mean of values - (1 - share) * reference is below zero.
    """
    interval = ratio_interval(values, reference)
    return 0.0 if interval is None else max(0.0, 1 - interval.high)


def as_of(properties: PropertyColumns, data: Events, moment: float) -> PropertyColumns:
    """The properties, with one owner if somebody had bought them by the moment, else none."""
    owned = owned_before(data, moment).cpu().numpy()
    return replace(properties, owners=owned.astype(np.int32))


def list_scorer(twin: Artifact, properties: PropertyColumns, asked: Queries) -> Scorer:
    """Orders properties as the lists that are served: see ``PastRanker.scores``.

    Args:
        twin: the version that ranks.
        properties: as they were when the slice began.
        asked: the investors, with what each had done by then.
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
    """The number of properties, and of investors as they are now, whose embedding is not finite.

    An investor's is made of the embeddings of what it acted on, and of the weights of its acts.
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

    Both are pairs (query, property), int64 (2, p). They leave out investors who acted on nearly
    everything.
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
    """F1 of predictions for approvals and for others; 0 if nothing was predicted as an approval."""
    hits = int(liked.sum())
    return 2 * hits / max(1, len(liked) + hits + int(others.sum()))


def _affinity(twin: Artifact, items: Items, test: Queries, pairs: Tensor) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = (
        pair_scores(twin.reranker, items, test, pairs).double().cpu().numpy()
    )
    return twin.calibration(scores)


def _means(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    return {metric: float(some.mean()) for metric, some in values.items()}
