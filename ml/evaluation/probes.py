"""What a fitted twin does when it is told something, or asked for variety; and its affinities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import HISTORY_LIMIT, PropertyColumns
from domain.contract.vocabulary import InteractionKind
from ml.evaluation.measure import MOST_INVESTORS
from ml.evaluation.metrics import METRICS, SHORT, classification, ranking_metrics, top
from ml.evaluation.protocols import Protocol, Query, Rows, Split
from ml.measures.intervals import Interval, mean_interval

DIVERSITIES = (0.0, 0.1, 0.3, 0.5, 1.0)
_TOLD_INVESTORS = 50
_DIVERSIFIED_INVESTORS = 300
_NEIGHBOURS = 50
_NDCG = METRICS.index("ndcg@10")


class Fitted(Interface):
    """A twin fitted to what came before the cut.

    Rows are those of the columns it was fitted to. ``scores`` and ``affinity`` read the investor of
    the query and nothing that the twin remembers of that investor.
    """

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """L2-normalised, float32 (n, 16)."""
        ...

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry an epoch, JSON: "epoch", "loss" and "metrics", names to validation figures."""
        ...

    @property
    def seconds(self) -> float | None:
        """How long fitting took, if that is known."""
        ...

    def scores(self, query: Query) -> NDArray[np.float64]:
        """Numbers in the order of the list, float64 (n,); -inf for what is not ranked."""
        ...

    def affinity(self, query: Query, rows: Rows) -> NDArray[np.float64]:
        """Calibrated affinity of those properties in [0, 1], float64 (len(rows),)."""
        ...

    def listed(self, query: Query, diversity: float, k: int) -> Rows:
        """The first k candidates of the list for a diversity in [0, 1], best first."""
        ...


@dataclass(frozen=True, slots=True)
class Responsiveness:
    """How far feedback on one property moves those like it.

    Attributes:
        investors: how many were told.
        up: mean places that the 50 properties most like the one in tenth place rise, in the next
            list, after a thumb up on it; places down count below 0.
        down: the same after a thumb down.
    """

    investors: int
    up: Interval
    down: Interval


@dataclass(frozen=True, slots=True)
class Variety:
    """The first ten at one diversity: their quality, how many properties ever show, how alike.

    ``cosine`` is the mean over pairs of the first ten, 1 where all are the same.
    """

    diversity: float
    ndcg: Interval
    coverage: float
    cosine: float


def responsiveness(
    fitted: Fitted, split: Split, most: int = MOST_INVESTORS
) -> Responsiveness | None:
    """Give a thumb on the property in tenth place and rank again; None if no list is that long.

    Asks the first investors of at most ``most``, here and below.
    """
    moved: dict[InteractionKind, list[float]] = {
        InteractionKind.THUMBS_UP: [],
        InteractionKind.THUMBS_DOWN: [],
    }
    for query in islice(split.queries(Protocol.ALL, most), _TOLD_INVESTORS):
        before = fitted.scores(query)
        best = top(before, query.candidates, 0)
        if len(best) < SHORT:
            continue
        told = int(best[SHORT - 1])
        others = query.candidates.copy()
        others[told] = False
        rows = np.flatnonzero(others)
        likeness = fitted.embeddings[rows] @ fitted.embeddings[told]
        like = rows[np.argsort(-likeness, kind="stable")[:_NEIGHBOURS]]
        for kind, changes in moved.items():
            after = fitted.scores(_after(query, split.columns, told, kind))
            rise = _places(before, others)[like] - _places(after, others)[like]
            changes.append(float(rise.mean()))
    up, down = (np.array(changes) for changes in moved.values())
    if not len(up):
        return None
    return Responsiveness(len(up), mean_interval(up), mean_interval(down))


def _after(query: Query, columns: PropertyColumns, row: int, kind: InteractionKind) -> Query:
    """The query once the investor has done something at the cut."""
    known = query.investor
    first = columns.take([row])
    arrays: dict[str, Any] = {
        name: np.concatenate((getattr(first, name), getattr(known.properties, name)))
        for name in ("numeric", "property_type", "listing_status", "listed_at", "owners")
    }
    properties = replace(
        first,
        ids=first.ids + known.properties.ids,
        zipcode=first.zipcode + known.properties.zipcode,
        city=first.city + known.properties.city,
        labels=(),
        **arrays,
    ).take(range(min(HISTORY_LIMIT, len(known) + 1)))
    code = np.array([list(InteractionKind).index(kind)], dtype=np.int8)
    history = replace(
        known,
        properties=properties,
        kind=np.concatenate((code, known.kind))[:HISTORY_LIMIT],
        occurred_at=np.concatenate(([known.as_of], known.occurred_at))[:HISTORY_LIMIT],
    )
    return replace(query, investor=history)


def _places(scores: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Places from 1, float64 (n,); what is not ranked shares the place after the last."""
    ranked = np.flatnonzero(among & (scores > -np.inf))
    places = np.full(len(scores), len(ranked) + 1.0)
    places[ranked[np.argsort(-scores[ranked], kind="stable")]] = np.arange(len(ranked)) + 1.0
    return places


def variety(fitted: Fitted, split: Split, most: int = MOST_INVESTORS) -> list[Variety]:
    """The first ten of all properties, at each of ``DIVERSITIES``."""
    found: dict[float, list[tuple[float, float]]] = {level: [] for level in DIVERSITIES}
    shown = {level: np.zeros(len(split.columns), dtype=np.bool_) for level in DIVERSITIES}
    ranked = np.zeros(len(split.columns), dtype=np.bool_)
    for query in split.queries(Protocol.ALL, min(most, _DIVERSIFIED_INVESTORS)):
        scores = np.where(query.candidates, fitted.scores(query), -np.inf)
        ranked |= query.candidates
        for level in DIVERSITIES:
            best = fitted.listed(query, level, SHORT)
            figures = ranking_metrics(scores, query.candidates, query.relevant, best)
            found[level].append((float(figures[_NDCG]), _likeness(fitted.embeddings[best])))
            shown[level][best] = True
    return [
        Variety(
            diversity=level,
            ndcg=mean_interval(np.array(pairs)[:, 0]),
            coverage=float(shown[level].sum() / ranked.sum()),
            cosine=float(np.array(pairs)[:, 1].mean()),
        )
        for level, pairs in found.items()
    ]


def _likeness(vectors: NDArray[np.float32]) -> float:
    """Mean cosine between two different ones of the unit vectors (k, 16); 1 if there are none."""
    count = len(vectors)
    if count < 2:
        return 1.0
    total = float(np.square(vectors.astype(np.float64).sum(axis=0)).sum())
    return (total - count) / (count * (count - 1))


def calibration(
    models: Sequence[Fitted], split: Split, most: int = MOST_INVESTORS
) -> dict[str, Any]:
    """Figures of ``ml.evaluation.metrics.classification`` for later approvals of the investors.

    Each approval is paired with a property drawn at random from what the same investor had neither
    acted on nor came to approve of. Pairs of all models are taken together.
    """
    labels, affinities = [], []
    rng = np.random.default_rng(0)
    for query in split.queries(Protocol.ALL, most):
        other = query.candidates.copy()
        other[query.relevant] = False
        pool = np.flatnonzero(other)
        drawn = rng.choice(pool, size=min(len(pool), len(query.relevant)), replace=False)
        pairs = np.concatenate((query.relevant[: len(drawn)], drawn))
        for model in models:
            affinities.append(model.affinity(query, pairs))
            labels.append(np.repeat((True, False), len(drawn)))
    return classification(np.concatenate(labels), np.concatenate(affinities))
