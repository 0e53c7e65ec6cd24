"""Trains a tenant's twin from its properties and interactions.

Time is cut twice: the model learns from what came first, the slice after it chooses the epoch and
fits the calibration, and the last slice is only measured. Nothing is split by investor: who was
never seen in training cannot be told from one who was, since investors are their histories.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import numpy as np
import torch

from domain.contract.snapshots import InteractionLog, PropertyColumns
from ml.measures.validation import pair_scores
from ml.training.config import TrainingConfig, TrainingError
from ml.training.gates import gate_figures
from ml.training.reranker_training import owned_before, train_reranker
from ml.training.tower_training import Progress, train_tower
from ml.training.warm import new_and_replayed, trainable
from ml.twin.artifacts import Artifact, pack
from ml.twin.calibration import Calibration
from ml.twin.dataset import Events, Queries, events, examples, queries, recent
from ml.twin.device import DeviceMemoryError, pick_device
from ml.twin.features import FeatureStatistics, encode
from ml.twin.items import Items
from ml.twin.reranker import Reranker
from ml.twin.scoring import items_of
from ml.twin.towers import PropertyTower

LEAST_PROPERTIES = 20
LEAST_EXAMPLES = 50
LEAST_HELD_OUT = 5

_LEAST_INVESTORS = 50
_RANKED = 40_000_000
"""Pairs of investor and property that an evaluation may rank, or the least investors' worth."""


@dataclass(frozen=True, slots=True)
class TrainedTwin:
    """What training gives.

    Attributes:
        weights: safetensors bytes.
        metadata: JSON; with the weights it is what ``ml.twin.artifacts.unpack`` reads.
        metrics: JSON: the figures of ``ml.training.gates.gate_figures`` on the test slice; further
            entries say what was learned from and measured on.
    """

    weights: bytes
    metadata: dict[str, Any]
    metrics: dict[str, Any]


@contextmanager
def _enough_memory() -> Iterator[None]:
    """Says what to do where the device has too little memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(
            "device: 'cuda' has too little free memory for this training; wait until other "
            f"programs free some, or train with 'cpu': {error}"
        ) from error


@_enough_memory()
def train(
    properties: PropertyColumns,
    log: InteractionLog,
    config: TrainingConfig,
    report: Callable[[Progress], None],
    warm: Artifact | None = None,
    active: Artifact | None = None,
) -> TrainedTwin:
    """Trains a twin and measures it; ``report`` is called after each epoch of either stage.

    With ``warm``, training continues from that twin: see ``ml.training.warm``. ``active``, the
    version that answers now, is measured beside the new one. Both may be on any device.

    Sets torch's number of threads and its global seed: call it in a process of its own.
    Raises TrainingError naming what there is too little of, and DeviceMemoryError if that is
    memory of the device.
    """
    epochs: list[dict[str, Any]] = []

    def after_epoch(progress: Progress) -> None:
        if progress.metrics is not None:
            figures = {name: _finite(value) for name, value in progress.metrics.items()}
            loss = _finite(progress.loss)
            epochs.append({"epoch": progress.epoch, "loss": loss, "metrics": figures})
        report(progress)

    fitted = fit(properties, log, config, after_epoch, warm)
    artifact = fitted.artifact
    stored = pack(artifact, asdict(config))
    metrics: dict[str, Any] = {}
    if fitted.test is not None:
        metrics = {
            "test_investors": len(fitted.test),
            "test_approvals": fitted.test.relevant.shape[1],
            **gate_figures(
                artifact,
                properties,
                fitted.events,
                fitted.test,
                active=active.to(fitted.events.time.device) if active else None,
                seed=config.seed,
            ),
        }
    return TrainedTwin(
        weights=stored.weights,
        metadata=dict(stored.metadata),
        metrics=metrics
        | {
            "best_epoch": fitted.best_epoch,
            "epochs": epochs,
            "rerank_losses": list(map(_finite, fitted.rerank_losses)),
            "properties": len(properties),
            "interactions": len(fitted.events),
            "examples": fitted.examples,
        },
    )


def _finite(value: float) -> float | None:
    """The value as JSON knows it."""
    return value if isfinite(value) else None


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A trained twin with what it was trained and can be measured on.

    Attributes:
        artifact: the twin, on the training device.
        items: what the re-ranker reads of all properties, on the training device.
        events: all interactions that were given.
        test: the newest slice, never learned from; None without a test share.
        examples: how many events were learned from.
        best_epoch: the epoch of the tower that was kept; 0 for the weights continued from.
        rerank_losses: of the second stage, by epoch.
    """

    artifact: Artifact
    items: Items
    events: Events
    test: Queries | None
    examples: int
    best_epoch: int
    rerank_losses: list[float]


@_enough_memory()
def fit(
    properties: PropertyColumns,
    log: InteractionLog,
    config: TrainingConfig,
    report: Callable[[Progress], None],
    warm: Artifact | None = None,
) -> Fit:
    """The work of ``train`` before anything is measured or stored."""
    if warm is not None:
        config = config.warmed()
    device = pick_device(config.device)
    # Half the cores: beside other work, threads that wait for a core cost more than they bring.
    torch.set_num_threads(max(1, min(8, (os.cpu_count() or 1) // 2)))
    torch.manual_seed(config.seed)
    log = recent(log, config.lookback_days)
    _require("properties", len(properties), LEAST_PROPERTIES)
    _require("interactions", len(log), LEAST_EXAMPLES)
    shares = (1 - config.validation_share - config.test_share, 1 - config.test_share)
    learn_until, validate_until = np.quantile(log.occurred_at, shares)
    if not config.test_share:
        validate_until = np.inf
    data = events(log, len(properties), device)
    learned = examples(data, learn_until)
    if warm is not None:
        since, replay = warm.examples_until, config.warm_replay
        learned = new_and_replayed(data, learned, since, replay, config.seed)
    _require(
        "interactions of investors who had approved of another property before",
        len(learned),
        LEAST_EXAMPLES,
    )
    most = max(_LEAST_INVESTORS, min(config.evaluated_investors, _RANKED // len(properties)))
    seed = config.seed
    validation = queries(data, learn_until, validate_until, most, seed)
    test = queries(data, validate_until, np.inf, most, seed) if config.test_share else None
    for name, held_out in (("validation", validation), ("test", test)):
        if held_out is not None:
            _require(
                f"new approvals by known investors in the {name} slice",
                held_out.relevant.shape[1],
                LEAST_HELD_OUT,
            )

    newest = float(log.occurred_at.max())
    if warm is None:
        statistics = FeatureStatistics.fit(properties, datetime.fromtimestamp(newest, UTC).year)
        tower = PropertyTower(statistics.kilometres_per_unit())
    else:
        statistics, tower = warm.statistics, trainable(warm.tower)
    tower = tower.to(device)
    features = torch.from_numpy(encode(properties, statistics)).to(device)
    best_epoch = train_tower(
        tower, features, data, learned, validation, config, report, keep_start=warm is not None
    )

    reranker = (Reranker() if warm is None else trainable(warm.reranker)).to(device)
    reranker.fit_tenant(properties, statistics, config.seed)
    items = items_of(tower, reranker, statistics, properties)
    losses = train_reranker(reranker, items, features, data, learned, config, report)
    reranker.eval()
    with torch.inference_mode():
        items = replace(
            items,
            prior=reranker.prior(features, items.spacing),
            taken=owned_before(data, validate_until),
        )
    # What was bought within the slice was still to be had when it began.
    then = replace(items, taken=owned_before(data, validation.moment))
    calibration = _calibrate(reranker, then, validation, config.seed)
    return Fit(
        artifact=Artifact(
            tower,
            reranker,
            statistics,
            calibration,
            examples_until=float(learn_until),
            held_out_from=float(min(validate_until, np.nextafter(newest, np.inf))),
        ),
        items=items,
        events=data,
        test=test,
        examples=len(learned),
        best_epoch=best_epoch,
        rerank_losses=losses,
    )


def _require(what: str, count: int, least: int) -> None:
    if count < least:
        raise TrainingError(f"training needs at least {least} {what}; there are {count}")


def _calibrate(reranker: Reranker, items: Items, held_out: Queries, seed: int) -> Calibration:
    """Approvals of the slice against random properties and what was disliked within it."""
    drawn = np.random.default_rng(seed).integers(
        len(items.spacing), size=held_out.relevant.shape[1]
    )
    random = torch.as_tensor(drawn, device=held_out.relevant.device)
    other = torch.cat((torch.stack((held_out.relevant[0], random)), held_out.disliked), dim=1)
    liked, others = (
        pair_scores(reranker, items, held_out, pairs).double().cpu().numpy()
        for pairs in (held_out.relevant, other)
    )
    if not (np.isfinite(liked).all() and np.isfinite(others).all()):
        # A twin without numbers never answers: its gates see to that, and keep it on record.
        return Calibration(1.0, 0.0)
    return Calibration.fit(liked, others)
