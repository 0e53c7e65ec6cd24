"""Measure a twin where the truth is known: ``python -m bench.simulation [--seeds N] [--json]``.

The houses are King County's and real; the investors and all they do are simulated, and so is every
figure below. In return their true utility is known: it ranks as the oracle, and figures are given
as the share of the way from popularity to the oracle.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bench.sample_columns import as_columns
from domain.contract.snapshots import InteractionLog, PropertyColumns
from domain.contract.vocabulary import InteractionKind
from ml.evaluation.baselines import Scorer, baselines
from ml.evaluation.evaluate import NAIVE, TWIN, Fit
from ml.evaluation.metrics import METRICS, ranking_metrics, top
from ml.evaluation.naive import naive_recipe
from ml.evaluation.probes import Fitted
from ml.evaluation.protocols import Protocol, Query, Split, split
from ml.measures.baselines import MIX
from ml.measures.intervals import mean_interval, ratio_interval
from ml.twin.dataset import KIND_WEIGHTS
from sample.export import DEFAULT_INVESTORS, Sample, build_sample

POPULARITY, NEAREST, ORACLE = "popularity", "nearest-owned", "oracle"
SAVES = "saves@10"
"""How many of the first ten the investor would save on seeing them, as a share: the mean of the
true probability. Unlike the others it does not depend on what the investor happened to see."""

FIGURES = (*METRICS, SAVES)
CLOSED = (SAVES, "ndcg@10", "recall@100", "gain")
LENGTHS = (0, 1, 3, 10, 30)
"""How many of an investor's newest interactions the learning curve shows a scorer."""

_UP, _DOWN = (
    list(InteractionKind).index(kind)
    for kind in (InteractionKind.THUMBS_UP, InteractionKind.THUMBS_DOWN)
)

Figures = NDArray[np.float64]
"""(investors, figures), seeds averaged; the figures in the order of ``FIGURES``."""

Utility = Callable[[Query], NDArray[np.float64]]
"""The true utility of every property to the investor of a query, in logits."""


def measure(
    sample: Sample,
    fit: Fit,
    seeds: Sequence[int],
    say: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """All figures, JSON: "gap_closed", "thumbs" and "learning_curve"."""
    columns, log = as_columns(sample)
    cut = split(columns, log)
    models: list[Fitted] = []
    naive: list[Scorer] = []
    for seed in seeds:
        say(f"fitting the twin, seed {seed}")
        models.append(fit(cut.columns, cut.past, seed))
        naive.append(naive_recipe(cut, seed))
    utility = _oracle(sample)
    simple = baselines(cut)
    scorers: dict[str, list[Scorer]] = {
        TWIN: [model.scores for model in models],
        NAIVE: naive,
        NEAREST: [simple[NEAREST]],
        MIX: [simple[MIX]],
        POPULARITY: [simple[POPULARITY]],
        ORACLE: [utility],
    }
    affinities = scorers | {TWIN: [_affinity(model) for model in models]}
    say("ranking what investors approved of later")
    queries = list(cut.queries(Protocol.ALL))
    figures = {name: _figures(queries, some, utility) for name, some in scorers.items()}
    say("telling later thumbs up from thumbs down")
    thumbs = _thumbs(queries, affinities, _later_thumbs(cut, log))
    say("ranking with shorter histories")
    return {
        "simulated": True,
        "properties": len(columns),
        "interactions": len(log),
        "investors": len(queries),
        "seeds": list(seeds),
        "gap_closed": {
            name: _gap_closed(figures[name], figures[POPULARITY], figures[ORACLE])
            for name in figures
        },
        "thumbs": thumbs,
        "learning_curve": _learning_curve(cut, queries, scorers, utility),
    }


def _oracle(sample: Sample) -> Scorer:
    return lambda query: sample.simulation.utility(query.investor.user_id.int)


def _figures(queries: Sequence[Query], scorers: Sequence[Scorer], utility: Utility) -> Figures:
    rows = []
    for number, query in enumerate(queries):
        seeds = []
        for scorer in scorers:
            scores = scorer(query)
            best = top(scores, query.candidates, number)
            found = ranking_metrics(scores, query.candidates, query.relevant, best)
            saves = 1 / (1 + np.exp(-utility(query)[best[:10]]))
            seeds.append([*found, float(saves.mean())])
        rows.append(np.mean(seeds, axis=0))
    return np.stack(rows)


def _gap_closed(mine: Figures, least: Figures, most: Figures) -> dict[str, Any]:
    """For each metric the mean, and its way from ``least`` to ``most`` as a share with interval."""
    found: dict[str, Any] = {}
    for name in CLOSED:
        place = FIGURES.index(name)
        above, gap = (mine - least)[:, place], (most - least)[:, place]
        share = ratio_interval(above, gap)
        found[name] = {
            "mean": asdict(mean_interval(mine[:, place])),
            "share": asdict(share) if share else None,
        }
    return found


def _later_thumbs(cut: Split, log: InteractionLog) -> dict[UUID, tuple[list[int], list[int]]]:
    """Rows with a thumb up and a thumb down after the cut, by investor."""
    thumbs: dict[UUID, tuple[list[int], list[int]]] = {}
    for place in np.flatnonzero((log.occurred_at >= cut.cut) & np.isin(log.kind, (_UP, _DOWN))):
        both = thumbs.setdefault(log.users[log.user[place]], ([], []))
        both[int(log.kind[place] == _DOWN)].append(int(log.property[place]))
    return thumbs


def _affinity(model: Fitted) -> Scorer:
    """Scores of every property that the AUC of thumbs is told by."""
    every = np.arange(len(model.embeddings))
    return lambda query: model.affinity(query, every)


def _thumbs(
    queries: Sequence[Query],
    scorers: Mapping[str, Sequence[Scorer]],
    later: Mapping[UUID, tuple[list[int], list[int]]],
) -> dict[str, Any]:
    """AUC of up against down: over all thumbs together, and the mean over investors with both."""
    asked: list[tuple[Query, list[int]]] = []
    labels: list[NDArray[np.bool_]] = []
    for query in queries:
        up, down = (
            [row for row in rows if query.candidates[row]]
            for rows in later.get(query.investor.user_id, ((), ()))
        )
        if up or down:
            asked.append((query, up + down))
            labels.append(np.arange(len(up + down)) < len(up))
    both = [place for place, label in enumerate(labels) if 0 < label.sum() < len(label)]
    found: dict[str, Any] = {}
    for name, models in scorers.items():
        together, each = [], []
        for model in models:
            scores = [model(query)[rows] for query, rows in asked]
            together.append(_auc(np.concatenate(labels), np.concatenate(scores)))
            each.append([_auc(labels[place], scores[place]) for place in both])
        found[name] = {
            "auc": float(np.mean(together)),
            "within_investors": asdict(mean_interval(np.mean(each, axis=0))),
            "investors": len(both),
            "thumbs": sum(map(len, labels)),
        }
    return found


def _auc(label: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    return float(roc_auc_score(label, np.nan_to_num(score, neginf=-1e9)))


def _learning_curve(
    cut: Split,
    queries: Sequence[Query],
    scorers: Mapping[str, Sequence[Scorer]],
    utility: Utility,
) -> list[dict[str, Any]]:
    """Saves and NDCG@10 of the same investors, shown with ever more of their history.

    Who is known for nothing good yet gets what is popular, as in service.
    """
    long = [query for query in queries if len(query.investor) >= max(LENGTHS)]
    rows = {property_id: row for row, property_id in enumerate(cut.columns.ids)}
    popular = scorers[POPULARITY]
    curve = []
    for length in LENGTHS:
        shown = [shortened(query, length, rows) for query in long]
        for name in (TWIN, MIX, NEAREST):
            figures = np.concatenate(
                [
                    _figures([query], scorers[name] if len(query.approved) else popular, utility)
                    for query in shown
                ]
            )
            curve.append(
                {
                    "interactions": length,
                    "scorer": name,
                    "investors": len(long),
                    **{
                        metric: asdict(mean_interval(figures[:, FIGURES.index(metric)]))
                        for metric in (SAVES, "ndcg@10")
                    },
                }
            )
    return curve


def shortened(query: Query, length: int, rows: Mapping[UUID, int]) -> Query:
    """The query as if the investor had only done the newest ``length`` things.

    What is ranked and what is relevant stays, so that lengths can be compared.
    """
    known = query.investor
    history = replace(
        known,
        properties=known.properties.take(range(min(length, len(known)))),
        kind=known.kind[:length],
        occurred_at=known.occurred_at[:length],
    )
    balance: dict[int, float] = {}
    for property_id, kind in zip(history.properties.ids, history.kind, strict=True):
        row = rows[property_id]
        balance[row] = balance.get(row, 0.0) + float(KIND_WEIGHTS[kind])
    approved = [row for row, weight in balance.items() if weight > 0]
    return replace(query, investor=history, approved=np.array(approved[::-1], dtype=np.intp))


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures as Markdown."""
    yield (
        f"Simulated investors on {found['properties']:,} real houses: {found['investors']} asked "
        f"about, {len(found['seeds'])} seeds, 95% intervals over investors. Every figure is one of "
        "a simulation."
    )
    yield ""
    yield "Share of the gap between popularity and the oracle that is closed (and the figure):"
    yield ""
    yield from _table(
        ("", *CLOSED),
        [
            (name, *(_closed(figures[metric]) for metric in CLOSED))
            for name, figures in found["gap_closed"].items()
        ],
    )
    yield ""
    yield "AUC on simulated thumbs given later, up against down:"
    yield ""
    yield from _table(
        ("", "all thumbs", "within investors"),
        [
            (name, f"{figures['auc']:.3f}", _text(figures["within_investors"]))
            for name, figures in found["thumbs"].items()
        ],
    )
    curve = found["learning_curve"]
    yield ""
    yield f"By interactions shown, {curve[0]['investors']} simulated investors (0: popularity):"
    yield ""
    yield from _table(
        ("interactions", "", SAVES, "NDCG@10"),
        [
            (
                str(point["interactions"]),
                point["scorer"],
                _text(point[SAVES]),
                _text(point["ndcg@10"]),
            )
            for point in curve
        ],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


def _closed(figures: Mapping[str, Any]) -> str:
    return f"{_text(figures['share'])}, {figures['mean']['value']:.3f}"


def _text(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "-"
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**interval)


def main() -> None:
    """Fit, measure and print."""
    from ml.evaluation.offline import fit_offline
    from ml.training.config import TrainingConfig

    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--investors", type=int, default=DEFAULT_INVESTORS)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()

    def fit(columns: PropertyColumns, log: InteractionLog, seed: int) -> Fitted:
        return fit_offline(columns, log, TrainingConfig(seed=seed))

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    sample = build_sample(investors=options.investors)
    found = measure(sample, fit, range(options.seeds), say)
    print(json.dumps(found) if options.json else "\n".join(lines(found)))


if __name__ == "__main__":
    main()
