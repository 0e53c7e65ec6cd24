"""Figures of rankings and of calibrated affinities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS: tuple[str, ...] = (
    "ndcg@10", "hr@10", "precision@10", "mrr", "recall@100", "auc", "gain",
)  # fmt: skip
"""Of one ranking: NDCG of its first ten; whether they hold something relevant, and what share of
them is; one over the rank of the first relevant property; the share of the relevant found within
100; the chance that a relevant candidate is ranked above another; and the mean over the relevant of
1 / log2(2 + others above)."""

SHORT, LONG = 10, 100
_BINS = 10
_CURVE_POINTS = 200

Rows = NDArray[np.intp]


def top(scores: NDArray[np.float64], candidates: NDArray[np.bool_], seed: int) -> Rows:
    """The best ``LONG`` candidates, best first; of equal scores, which is better is drawn by lot.

    A score of -inf is not ranked. Raises ValueError for a score that is no number.
    """
    if np.isnan(scores).any():
        raise ValueError(f"a scorer gave {np.isnan(scores).sum()} scores that are no numbers")
    rows = np.flatnonzero(candidates & (scores > -np.inf))
    np.random.default_rng(seed).shuffle(rows)
    if len(rows) > LONG:
        rows = rows[np.argpartition(-scores[rows], LONG - 1)[:LONG]]
    return rows[np.argsort(-scores[rows], kind="stable")]


def ranking_metrics(
    scores: NDArray[np.float64],
    candidates: NDArray[np.bool_],
    relevant: Rows,
    best: Rows,
) -> NDArray[np.float64]:
    """The figures of one ranking, float64 in the order of ``METRICS``, each in [0, 1].

    What is not ranked is in none of the first places, and otherwise comes after all that is, in an
    order drawn by lot: a list that was cut short is no worse than one that goes on at random.

    Args:
        scores: float64 (n,), -inf where not ranked.
        candidates: bool (n,).
        relevant: rows of the relevant candidates, at least one.
        best: the result of ``top``.
    """
    wanted = np.zeros(len(scores), dtype=np.bool_)
    wanted[relevant] = True
    hit = wanted[best]
    discount = 1 / np.log2(np.arange(SHORT) + 2)
    short = np.zeros(SHORT)
    short[: len(hit[:SHORT])] = hit[:SHORT]
    ranked_above, ties, others = _others_above(scores[candidates & ~wanted], scores[relevant])
    beaten = (others - ranked_above - ties / 2) / max(1, others)
    # Of equals, and so of what is not ranked, half are above.
    above = ranked_above + ties / 2
    values = {
        "ndcg@10": short @ discount / discount[: len(relevant)].sum(),
        "hr@10": short.any(),
        "precision@10": short.mean(),
        "mrr": 1 / (1 + above.min()),
        "recall@100": hit.sum() / len(relevant),
        "auc": beaten.mean() if others else 0.5,
        "gain": (1 / np.log2(2 + above)).mean(),
    }
    return np.array([values[name] for name in METRICS], dtype=np.float64)


def _others_above(
    other: NDArray[np.float64], mine: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """How many others score above and like each of mine, and how many others there are."""
    other = np.sort(other)
    left, right = np.searchsorted(other, mine, "left"), np.searchsorted(other, mine, "right")
    return len(other) - right, right - left, len(other)


def classification(label: NDArray[np.bool_], affinity: NDArray[np.float64]) -> dict[str, Any]:
    """Figures of calibrated affinities in [0, 1] as probabilities, JSON.

    An affinity of one half or more counts as a yes. The calibration error is the mean over ten
    equally wide bins, weighted by their size, of the distance between the mean affinity and the
    share of approvals (Naeini et al. 2015).

    Args:
        label: bool (m,), approvals; both sides must occur.
        affinity: float64 (m,).

    Raises:
        ValueError: all labels are equal.
    """
    if label.all() or not label.any():
        raise ValueError("calibration is measured on approvals and others; one side is missing")
    said = affinity >= 0.5
    bin_of = np.minimum((affinity * _BINS).astype(np.intp), _BINS - 1)
    size = np.bincount(bin_of, minlength=_BINS)
    filled = size > 0
    mean = np.bincount(bin_of, weights=affinity, minlength=_BINS)[filled] / size[filled]
    share = np.bincount(bin_of, weights=label, minlength=_BINS)[filled] / size[filled]
    curve = _roc(label, affinity)
    kept = np.linspace(0, len(curve) - 1, min(_CURVE_POINTS, len(curve))).astype(np.intp)
    yes, hits, wrong = (
        int(count) for count in (label.sum(), (label & said).sum(), (~label & said).sum())
    )
    missed, spared = yes - hits, len(label) - yes - wrong
    return {
        "pairs": len(label),
        "auc": float(np.trapezoid(curve[:, 1], curve[:, 0])),
        "f1": 2 * hits / (2 * hits + wrong + missed),
        "precision": hits / max(1, hits + wrong),
        "recall": hits / yes,
        "accuracy": (hits + spared) / len(label),
        "calibration_error": float(size[filled] @ np.abs(mean - share) / len(label)),
        "reliability": {
            "affinity": mean.tolist(),
            "share": share.tolist(),
            "pairs": size[filled].tolist(),
        },
        "roc": {
            "false_positive": curve[kept, 0].tolist(),
            "true_positive": curve[kept, 1].tolist(),
        },
        # Rows: approved of or not; columns: said to be or not.
        "confusion": [[hits, missed], [wrong, spared]],
    }


def _roc(label: NDArray[np.bool_], affinity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the others and of the approvals at or above each distinct affinity, (k, 2).

    From (0, 0) to (1, 1), ascending; the area under it counts equal affinities half.
    """
    order = np.argsort(-affinity, kind="stable")
    last = np.flatnonzero(np.append(np.diff(affinity[order]) != 0, True))
    approved = np.cumsum(label[order])[last]
    others = 1 + last - approved
    curve = np.stack((others / others[-1], approved / approved[-1]), axis=1)
    return np.concatenate((np.zeros((1, 2)), curve))
