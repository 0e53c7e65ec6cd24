"""What the twin costs, without server or database: ``python -m bench.twin``.

Training on invented investors of 10,000 and 1,000,000 interactions, embedding of 1 to 1,000,000
properties, and what one request takes: the investor's state from the history, re-ranking, and
reasons. One thread on the CPU, as in the server; on CUDA as well where there is one. Medians, with
the fastest and the slowest run.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from uuid import UUID

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from domain.contract.snapshots import (
    NUMERIC_COLUMNS,
    InteractionLog,
    InvestorHistory,
    PropertyColumns,
)
from domain.contract.vocabulary import InteractionKind, ListingStatus, PropertyType
from ml.training.config import TrainingConfig
from ml.training.tower_training import Progress
from ml.training.training import fit
from ml.twin.features import encode
from ml.twin.scoring import LoadedTwin

SIZES = (1, 100, 10_000, 1_000_000)
TRAININGS = ((10_000, 20_000), (1_000_000, 200_000))
"""Interactions and properties."""

HISTORY, CANDIDATES, PAGE = 30, 400, 20
YEAR = 365.25 * 86_400.0


def invent(
    properties: int, interactions: int, seed: int = 0
) -> tuple[PropertyColumns, InteractionLog]:
    """Properties in ten towns and investors who each keep to a town and a price, as columns."""
    rng = np.random.default_rng(seed)
    numeric = np.full((properties, len(NUMERIC_COLUMNS)), np.nan)
    town = rng.integers(10, size=properties)
    price = rng.lognormal(13, 0.5, properties)
    for name, values in {
        "listing_price": price,
        "estimated_value": price * rng.lognormal(0, 0.1, properties),
        "bedrooms": rng.integers(1, 6, properties),
        "bathrooms": rng.integers(2, 8, properties) / 2,
        "square_feet": rng.lognormal(7.5, 0.4, properties),
        "year_built": rng.integers(1900, 2020, properties),
        "latitude": 47.0 + 0.1 * town + rng.normal(0, 0.02, properties),
        "longitude": -122.0 + rng.normal(0, 0.02, properties),
        "condition_score": rng.random(properties),
    }.items():
        numeric[:, NUMERIC_COLUMNS.index(name)] = values
    columns = PropertyColumns(
        ids=tuple(UUID(int=row) for row in range(properties)),
        numeric=numeric,
        property_type=rng.integers(len(PropertyType), size=properties).astype(np.int8),
        listing_status=rng.integers(len(ListingStatus), size=properties).astype(np.int8),
        zipcode=(None,) * properties,
        city=(None,) * properties,
        listed_at=np.full(properties, np.nan),
        owners=np.zeros(properties, dtype=np.int32),
    )
    investors = max(10, interactions // 100)
    user = rng.integers(investors, size=interactions)
    # By town, then price: an investor's share of that order is a town and a price range.
    order = np.lexsort((price, town))
    home = rng.integers(properties, size=investors)
    near = home[user] + rng.normal(0, properties / 100, interactions).astype(np.int64)
    return columns, InteractionLog(
        users=tuple(UUID(int=row) for row in range(investors)),
        user=user.astype(np.int32),
        property=order[near % properties].astype(np.int32),
        kind=rng.choice(len(InteractionKind), interactions, p=_KINDS).astype(np.int8),
        occurred_at=np.sort(rng.uniform(1.6e9, 1.6e9 + YEAR, interactions)),
    )


_KINDS = (0.6, 0.15, 0.08, 0.05, 0.06, 0.03, 0.03)


def timed(work: Callable[[], object], device: torch.device, seconds: float = 2.0) -> list[float]:
    """Milliseconds of runs, at least 3, for about so many seconds; the first is dropped."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while len(took) < 4 or (time.perf_counter() < end and len(took) < 2000):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took.append(1000 * (time.perf_counter() - began))
    return took[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave the millions out")
    quick = parser.parse_args().quick
    devices = [torch.device("cpu")]
    if torch.cuda.is_available():
        devices.append(torch.device("cuda"))
    console = Console()
    for device in devices:
        console.print(_training(device, TRAININGS[:1] if quick else TRAININGS))
        console.print(_inference(device, SIZES[:3] if quick else SIZES))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"Peak memory of this process: {peak:,.0f} MiB. Cores: {os.cpu_count()}.")


def _training(device: torch.device, trainings: tuple[tuple[int, int], ...]) -> Table:
    table = Table(title=f"Training on {device.type}", title_justify="left")
    for heading in ("interactions", "properties", "seconds", "CPU seconds", "epochs", "gain"):
        table.add_column(heading, justify="right")
    for interactions, properties in trainings:
        columns, log = invent(properties, interactions)
        gains: list[float] = []

        def keep(progress: Progress, gains: list[float] = gains) -> None:
            if progress.metrics is not None:
                gains.append(progress.metrics["gain"])

        config = TrainingConfig(device="cuda" if device.type == "cuda" else "cpu", test_share=0.0)
        began, cpu = time.perf_counter(), time.process_time()
        fit(
            columns,
            log,
            config,
            keep,
        )
        table.add_row(
            f"{interactions:,}",
            f"{properties:,}",
            f"{time.perf_counter() - began:.1f}",
            f"{time.process_time() - cpu:.1f}",
            f"{len(gains)}",
            f"{max(gains):.3f}",
        )
    return table


def _inference(device: torch.device, sizes: tuple[int, ...]) -> Table:
    table = Table(title=f"Inference on {device.type}, milliseconds", title_justify="left")
    for heading in ("what", "median", "fastest", "slowest"):
        table.add_column(heading, justify="left" if heading == "what" else "right")

    def row(what: str, took: list[float]) -> None:
        table.add_row(what, *(f"{value:,.3f}" for value in (median(took), min(took), max(took))))

    columns, log = invent(5000, 10_000)
    config = TrainingConfig(
        device="cuda" if device.type == "cuda" else "cpu", epochs=1, rerank_epochs=1, test_share=0.0
    )
    artifact = fit(columns, log, config, lambda _: None).artifact
    torch.set_num_threads(1)
    twin = LoadedTwin(artifact, device)
    many, _ = invent(max(sizes), 1000)
    for size in sizes:
        some = many.take(range(size))
        features = encode(some, artifact.statistics)
        row(
            f"features of {size:,}",
            timed(partial(encode, some, artifact.statistics), device),
        )
        row(
            f"embedding of {size:,}",
            timed(partial(twin.embed_features, features), device),
        )

    recent = range(HISTORY)
    history = InvestorHistory(
        user_id=UUID(int=1),
        properties=columns.take(recent),
        kind=np.resize(np.arange(5, dtype=np.int8), HISTORY),
        occurred_at=np.linspace(1.6e9 + YEAR, 1.6e9, HISTORY),
        as_of=1.6e9 + YEAR,
    )
    shorter = replace(
        history,
        properties=columns.take(range(3)),
        kind=history.kind[:3],
        occurred_at=history.occurred_at[:3],
    )
    candidates = twin.items(many.take(range(min(CANDIDATES, max(sizes)))))
    page = many.take(range(min(PAGE, max(sizes))))
    for known, name in ((shorter, "3 acts"), (history, f"{HISTORY} acts")):
        investor = twin.investor(known)
        row(
            f"state of an investor with {name} (fold-in)",
            timed(partial(twin.investor, known), device),
        )
        row(
            f"re-ranking {CANDIDATES} candidates, {name}",
            timed(partial(twin.score, investor, candidates), device),
        )
        row(f"reasons of {PAGE}, {name}", timed(partial(twin.explain, investor, page), device))
    return table


if __name__ == "__main__":
    main()
