"""What continuing from a version costs and brings beside training in full: `bench.warm`.

A version learns from the first 80% of a market's interactions. Then everything is there, and three
twins are measured on the same newest slice: that version as it is, one trained in full, and one
that continues from it. They are measured as well on the newest slice that the first version had
held out: what its own time asked for, which the other two have seen since; who forgets does worse
there. The means over all investors with something to find come first, then those over the
investors who did nothing that is new to the continued training: only what was known before speaks
for them.
"""

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.sample_columns import as_columns, portfolio_columns
from domain.contract.snapshots import InteractionLog, PropertyColumns
from ml.measures.validation import RankingMetrics, ranking_metrics
from ml.training.config import TrainingConfig
from ml.training.gates import as_of, list_scorer
from ml.training.training import Fit, fit
from ml.twin.artifacts import Artifact
from ml.twin.dataset import Events, Queries, queries
from sample.export import build_sample
from sample.portfolios import REGIONS

KING_COUNTY = "king-county"
EARLIER = 0.8
_MOST = 2000


@dataclass(frozen=True, slots=True)
class Trained:
    """A twin and what it took."""

    name: str
    fitted: Fit
    seconds: float
    cpu_seconds: float


def train(
    name: str, columns: PropertyColumns, log: InteractionLog, warm: Artifact | None = None
) -> Trained:
    """Train on the CPU with the settings that jobs have."""
    began, cpu = time.perf_counter(), time.process_time()
    fitted = fit(columns, log, TrainingConfig(device="cpu"), lambda _: None, warm)
    return Trained(name, fitted, time.perf_counter() - began, time.process_time() - cpu)


def earlier(log: InteractionLog) -> InteractionLog:
    """The first 80%."""
    keep = log.occurred_at < np.quantile(log.occurred_at, EARLIER)
    return replace(
        log,
        user=log.user[keep],
        property=log.property[keep],
        kind=log.kind[keep],
        occurred_at=log.occurred_at[keep],
    )


def figures(
    artifact: Artifact, columns: PropertyColumns, data: Events, asked: Queries
) -> RankingMetrics:
    """The twin's, on the queries."""
    scorer = list_scorer(artifact, as_of(columns, data, asked.moment), asked)
    return ranking_metrics(scorer, asked, len(columns))


def without_news(data: Events, asked: Queries, since: float) -> Queries | None:
    """Of the queries those of who did nothing between then and when they are asked."""
    new = torch.zeros(len(data.start) - 1, dtype=torch.bool)
    new[data.user[(data.time >= since) & (data.time < asked.moment)]] = True
    rows = (~new[asked.user]).nonzero()[:, 0]
    if not len(rows):
        return None
    place = torch.full((len(asked),), -1)
    place[rows] = torch.arange(len(rows))

    def pairs(some: torch.Tensor) -> torch.Tensor:
        moved = torch.stack((place[some[0]], some[1]))
        return moved[:, moved[0] >= 0]

    return Queries(
        user=asked.user[rows],
        histories=asked.histories[rows],
        seen=pairs(asked.seen),
        relevant=pairs(asked.relevant),
        disliked=pairs(asked.disliked),
        moment=asked.moment,
    )


def compare(name: str) -> Table:
    """Of one market."""
    columns, log = as_columns(build_sample()) if name == KING_COUNTY else portfolio_columns(name)
    before = train("earlier version", columns, earlier(log))
    full = train("trained in full", columns, log)
    warm = train("continued", columns, log, before.fitted.artifact)
    data = full.fitted.events
    newest, held_out = full.fitted.test, before.fitted.test
    assert newest is not None
    assert held_out is not None
    # The same queries, against all that is known now.
    own = queries(data, held_out.moment, earlier(log).occurred_at.max(), _MOST, 0)
    still = without_news(data, newest, before.fitted.artifact.examples_until)
    slices = {"newest slice": newest, "investors without news": still, "earlier slice": own}
    table = Table(title=f"{name}: {len(columns):,} properties, {len(log):,} interactions")
    for heading in ("", "examples", "seconds", "CPU s"):
        table.add_column(heading, justify="right" if heading else "left")
    for heading, asked in slices.items():
        count = 0 if asked is None else len(asked)
        table.add_column(f"{heading} ({count:,})\nNDCG@10 recall@100 gain", justify="right")
    for one in (before, full, warm):
        cells = []
        for asked in slices.values():
            if asked is None:
                cells.append("-")
                continue
            found = figures(one.fitted.artifact, columns, data, asked)
            cells.append("  ".join(f"{found[m]:.4f}" for m in ("ndcg@10", "recall@100", "gain")))
        row = (one.name, f"{one.fitted.examples:,}", f"{one.seconds:.0f}", f"{one.cpu_seconds:.0f}")
        table.add_row(*row, *cells)
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("market", nargs="*", help=f"of {KING_COUNTY}, {', '.join(REGIONS)}")
    console = Console(width=150)
    for name in parser.parse_args().market or (KING_COUNTY, *REGIONS):
        console.print(compare(name))


if __name__ == "__main__":
    main()
