"""Runs scorers over the rankings of a protocol and keeps the figures of each investor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.baselines import MIX_UNOWNED, Scorer
from ml.evaluation.metrics import METRICS, SHORT, ranking_metrics, top
from ml.evaluation.protocols import Protocol, Split
from ml.measures.baselines import MIX
from ml.measures.intervals import Interval, difference_interval, mean_interval, ratio_interval

MOST_INVESTORS = 2000


@dataclass(frozen=True, slots=True)
class Comparison:
    """NDCG@10 beside a baseline's, on the same investors.

    Attributes:
        difference: this scorer's less the baseline's.
        ratio: this scorer's over the baseline's; None where the baseline may find nothing.
    """

    difference: Interval
    ratio: Interval | None


@dataclass(frozen=True, slots=True)
class Result:
    """How one scorer did under one protocol.

    Attributes:
        protocol: what was ranked.
        scorer: who ranked it.
        investors: for how many.
        seeds: how many models the figures are means of.
        metrics: by the names of ``ml.evaluation.metrics.METRICS``.
        coverage: share of the candidates that are in the first ten of anybody.
        against: by the name of a baseline, but not of the scorer itself.
    """

    protocol: Protocol
    scorer: str
    investors: int
    seeds: int
    metrics: dict[str, Interval]
    coverage: float
    against: dict[str, Comparison]


def measure(
    split: Split,
    protocol: Protocol,
    scorers: Mapping[str, Sequence[Scorer]],
    most: int = MOST_INVESTORS,
) -> list[Result]:
    """The figures of each scorer, in the order given; none if the protocol asks for nothing.

    A mean over investors counts each once: the rankings of one investor are averaged first, and
    so are the models of several seeds. ``scorers`` holds one scorer for each seed.
    """
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scorers}
    shown = {
        name: np.zeros((len(models), len(split.columns)), dtype=np.bool_)
        for name, models in scorers.items()
    }
    ranked = np.zeros(len(split.columns), dtype=np.bool_)
    investor = []
    asked: dict[object, int] = {}
    for number, query in enumerate(split.queries(protocol, most)):
        investor.append(asked.setdefault(query.investor.user_id, len(asked)))
        ranked |= query.candidates
        for name, models in scorers.items():
            figures = np.empty((len(models), len(METRICS)))
            for seed, model in enumerate(models):
                scores = model(query)
                best = top(scores, query.candidates, number)
                shown[name][seed, best[:SHORT]] = True
                figures[seed] = ranking_metrics(scores, query.candidates, query.relevant, best)
            rows[name].append(figures.mean(axis=0))
    if not investor:
        return []
    means = {name: _by_investor(np.stack(values), investor) for name, values in rows.items()}
    return [
        _result(protocol, name, means, float(shown[name].sum(axis=1).mean() / ranked.sum()), models)
        for name, models in scorers.items()
    ]


def _by_investor(values: NDArray[np.float64], investor: list[int]) -> NDArray[np.float64]:
    """Means (investors, metrics) of the rankings (q, metrics) of each."""
    sums = np.zeros((max(investor) + 1, values.shape[1]))
    np.add.at(sums, investor, values)
    return np.asarray(sums / np.bincount(investor)[:, None])


def _result(
    protocol: Protocol,
    name: str,
    means: Mapping[str, NDArray[np.float64]],
    coverage: float,
    models: Sequence[Scorer],
) -> Result:
    mine, ndcg = means[name], METRICS.index("ndcg@10")
    against = {}
    for baseline in (MIX, MIX_UNOWNED):
        if baseline in means and baseline != name:
            pair = mine[:, ndcg], means[baseline][:, ndcg]
            against[baseline] = Comparison(difference_interval(*pair), ratio_interval(*pair))
    return Result(
        protocol=protocol,
        scorer=name,
        investors=len(mine),
        seeds=len(models),
        metrics={metric: mean_interval(mine[:, place]) for place, metric in enumerate(METRICS)},
        coverage=coverage,
        against=against,
    )
