"""The whole measurement: fit on what came before the cut, rank, compare, probe."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from domain.contract.snapshots import InteractionLog, PropertyColumns
from domain.contract.vocabulary import PropertyType
from ml.evaluation.baselines import Scorer, baselines
from ml.evaluation.measure import MOST_INVESTORS, Result, measure
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

_SAMPLED = 2000
_FITTED, _RANKED = 0.7, 0.7
"""Shares of the whole that are done once all twins are fitted; of the rest, once all is ranked."""


@dataclass(frozen=True, slots=True)
class EmbeddingSample:
    """Embeddings of up to 2,000 properties drawn at random, with what to colour them by.

    Attributes:
        coloured_by: what the labels are.
        vectors: the 16 dimensions of each, to three decimals.
        label: of the same; None where it is unknown.
    """

    coloured_by: str
    vectors: list[list[float]]
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
        training: for each seed "seed", "seconds" (None if unknown) and "epochs", the latter as
            ``Fitted.history``.
        embeddings: of the first seed's twin.
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
    embeddings: EmbeddingSample

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
    return assess(
        cut,
        models,
        naive,
        protocols,
        seeds,
        lambda share, message: report(_FITTED + (1 - _FITTED) * share, message),
        interactions=len(log),
        config=config,
        simulated=simulated,
    )


def assess(
    cut: Split,
    models: Sequence[Fitted],
    naive: Sequence[Scorer],
    protocols: Sequence[Protocol] = tuple(Protocol),
    seeds: Sequence[int] = (0,),
    report: Report = lambda _share, _message: None,
    *,
    interactions: int,
    most: int = MOST_INVESTORS,
    config: dict[str, Any] | None = None,
    simulated: bool = False,
) -> Evaluation:
    """Measure twins that are fitted already, with the naive recipe beside.

    Args:
        cut: what the twins were fitted to, and what came later.
        models: a twin for each seed.
        naive: the naive recipe for each seed.
        protocols: what to rank.
        seeds: of both; at least one.
        report: is told how far the work got.
        interactions: how many there are, before and after the cut.
        most: investors asked about for each protocol.
        config: how the twins were fitted, to be kept with the figures.
        simulated: whether any of the interactions are.

    Raises:
        EvaluationError: there is nothing to rank.
    """
    scorers: dict[str, Sequence[Scorer]] = {
        TWIN: [model.scores for model in models],
        **{name: [scorer] for name, scorer in baselines(cut).items()},
        NAIVE: naive,
    }
    results = []
    for number, protocol in enumerate(protocols):
        report(_RANKED * number / len(protocols), f"ranking: {protocol.value}")
        results += measure(cut, protocol, scorers, most)
    if not results:
        raise EvaluationError(
            f"nobody acquired anything later that {', '.join(protocols)} would rank"
        )
    report(_RANKED, "probing the twin")
    return Evaluation(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cut=datetime.fromtimestamp(cut.cut, UTC).isoformat(timespec="seconds"),
        seeds=tuple(seeds),
        simulated=simulated,
        properties=len(cut.columns),
        interactions=interactions,
        learned_from=len(cut.past),
        config=config or {},
        results=results,
        calibration=calibration(models, cut, most),
        responsiveness=responsiveness(models[0], cut, most),
        variety=variety(models[0], cut, most),
        training=[
            {"seed": seed, "seconds": model.seconds, "epochs": model.history}
            for seed, model in zip(seeds, models, strict=True)
        ],
        embeddings=_sample(models[0], cut),
    )


def _sample(model: Fitted, cut: Split) -> EmbeddingSample:
    columns = cut.columns
    rows = np.arange(len(columns))
    if len(rows) > _SAMPLED:
        rows = np.sort(np.random.default_rng(0).choice(rows, _SAMPLED, replace=False))
    cities = [columns.city[row] for row in rows]
    coloured_by, label = "neighbourhood", cities
    if len(Counter(cities)) < 3:
        names = [*PropertyType, None]
        coloured_by, label = "property type", [names[columns.property_type[row]] for row in rows]
    vectors = np.round(model.embeddings[rows].astype(np.float64), 3).tolist()
    return EmbeddingSample(coloured_by, vectors, label)
