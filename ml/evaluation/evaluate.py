"""The whole measurement: fit on what came before the cut, rank, compare, probe."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from domain.snapshots import InteractionLog, PropertyColumns
from domain.vocabulary import PropertyType
from ml.evaluation.baselines import Scorer, baselines
from ml.evaluation.measure import Result, measure
from ml.evaluation.naive import naive_recipe
from ml.evaluation.probes import (
    Fitted,
    Responsiveness,
    Variety,
    calibration,
    responsiveness,
    variety,
)
from ml.evaluation.protocols import EvaluationError, Protocol, Split, split

TWIN, NAIVE = "twin", "naive recipe"

Fit = Callable[[PropertyColumns, InteractionLog, int], Fitted]
"""Fits a twin to properties and interactions with a seed."""

Report = Callable[[float, str], None]
"""Is told how far the work got: a share in [0, 1] and what is done now."""

_MAPPED = 2000
_FITTED = 0.7


@dataclass(frozen=True, slots=True)
class EmbeddingMap:
    """Embeddings laid out on a plane: what lies near is alike; directions and axes mean nothing.

    Attributes:
        method: how, for people.
        coloured_by: what the labels are.
        x: of up to 2,000 properties drawn at random.
        y: of the same.
        label: of the same; None where it is unknown.
    """

    method: str
    coloured_by: str
    x: list[float]
    y: list[float]
    label: list[str | None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was measured; see the parts for what they mean.

    Attributes:
        made_at: when, ISO 8601 in UTC.
        cut: where time was cut, ISO 8601 in UTC.
        seeds: of the fitted models.
        simulated: whether any of the interactions are.
        properties: how many there are.
        interactions: how many there are, before and after the cut.
        learned_from: how many came before.
        config: how the twin was fitted, JSON.
        results: one for each protocol and scorer.
        calibration: see ``ml.evaluation.probes.calibration``.
        responsiveness: of the first seed's twin.
        variety: of the first seed's twin.
        training: for each seed "seed", "seconds" and "epochs", the latter as ``Fitted.history``.
        map: of the first seed's embeddings.
    """

    made_at: str
    cut: str
    seeds: tuple[int, ...]
    simulated: bool
    properties: int
    interactions: int
    learned_from: int
    config: dict[str, Any]
    results: list[Result]
    calibration: dict[str, Any]
    responsiveness: Responsiveness | None
    variety: list[Variety]
    training: list[dict[str, Any]]
    map: EmbeddingMap

    def to_json(self) -> dict[str, Any]:
        """The evaluation as a JSON object."""
        return asdict(self)

    def result(self, protocol: Protocol, scorer: str) -> Result:
        """One of the results. Raises KeyError if there is none."""
        for result in self.results:
            if (result.protocol, result.scorer) == (protocol, scorer):
                return result
        raise KeyError((protocol, scorer))


def evaluate(
    columns: PropertyColumns,
    log: InteractionLog,
    fit: Fit,
    protocols: Sequence[Protocol] = tuple(Protocol),
    seeds: Sequence[int] = (0, 1, 2),
    report: Report = lambda _share, _message: None,
    *,
    config: dict[str, Any] | None = None,
    simulated: bool = False,
) -> Evaluation:
    """Fit a twin for each seed to the past and measure it on what came later.

    Args:
        columns: the properties.
        log: all interactions.
        fit: gets the properties and interactions as they were at the cut.
        protocols: what to rank.
        seeds: of the twins and of the naive recipe; at least one.
        report: is told how far the work got.
        config: how ``fit`` fits, to be kept with the figures.
        simulated: whether any of the interactions are.

    Raises:
        EvaluationError: there is too little to measure on.
    """
    cut = split(columns, log)
    models: list[Fitted] = []
    naive = []
    for number, seed in enumerate(seeds):
        report(_FITTED * number / len(seeds), f"fitting the twin, seed {seed}")
        models.append(fit(cut.columns, cut.past, seed))
        naive.append(naive_recipe(cut, seed))
    scorers: dict[str, list[Scorer]] = {
        TWIN: [model.scores for model in models],
        **{name: [scorer] for name, scorer in baselines(cut).items()},
        NAIVE: naive,
    }
    results = []
    for number, protocol in enumerate(protocols):
        share = _FITTED + (0.9 - _FITTED) * number / len(protocols)
        report(share, f"ranking: {protocol.value}")
        results += measure(cut, protocol, scorers)
    if not results:
        raise EvaluationError(
            f"nobody acquired anything later that {', '.join(protocols)} would rank"
        )
    report(0.9, "probing the twin")
    return Evaluation(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cut=datetime.fromtimestamp(cut.cut, UTC).isoformat(timespec="seconds"),
        seeds=tuple(seeds),
        simulated=simulated,
        properties=len(columns),
        interactions=len(log),
        learned_from=len(cut.past),
        config=config or {},
        results=results,
        calibration=calibration(models, cut),
        responsiveness=responsiveness(models[0], cut),
        variety=variety(models[0], cut),
        training=[
            {"seed": seed, "seconds": model.seconds, "epochs": model.history}
            for seed, model in zip(seeds, models, strict=True)
        ],
        map=_map(models[0], cut),
    )


def _map(model: Fitted, cut: Split) -> EmbeddingMap:
    """t-SNE (van der Maaten and Hinton 2008); PCA where there are too few for it."""
    columns = cut.columns
    rows = np.arange(len(columns))
    if len(rows) > _MAPPED:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MAPPED, replace=False))
    vectors = model.embeddings[rows].astype(np.float64)
    if len(rows) > 100:
        method = "t-SNE"
        # Threads that wait for a busy core make it many times slower.
        with threadpool_limits(1):
            layout = TSNE(init="pca", random_state=0).fit_transform(vectors)
    else:
        method = "principal components"
        layout = PCA(2, random_state=0).fit_transform(vectors)
    cities = [columns.city[row] for row in rows]
    coloured_by, label = "neighbourhood", cities
    if len(Counter(cities)) < 3:
        names = [*PropertyType, None]
        coloured_by, label = "property type", [names[columns.property_type[row]] for row in rows]
    x, y = np.round(layout.T, 3).tolist()
    return EmbeddingMap(method, coloured_by, x, y, label)
