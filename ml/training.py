"""Trains a tenant's twin from its properties and interactions.

Time is cut twice: the model learns from what came first, the slice after it chooses the epoch and
fits the calibration, and the last slice is only measured. Nothing is split by investor: who was
never seen in training cannot be told from one who was, since investors are their histories.
"""

import copy
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import log
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from domain.snapshots import InteractionLog, PropertyColumns
from ml.artifacts import Artifact, pack
from ml.calibration import Calibration
from ml.dataset import Events, Queries, events, examples, histories, queries, recent
from ml.validation import (
    popularity_scorer,
    ranking_metrics,
    twin_scorer,
    vectors,
)
from ml.features import FeatureStatistics, encode
from ml.losses import Loss, info_nce, triplet
from ml.model import TwoTower

LEAST_PROPERTIES = 20
LEAST_EXAMPLES = 50
LEAST_HELD_OUT = 5

LEAST_STEPS = 20
"""Steps an epoch has at least, short of batches smaller than a stretch."""

_STRETCH = 16
"""Examples that stay together in a batch, see ``_batches``."""


class TrainingError(ValueError):
    """There is too little to learn from, or the configuration is impossible; says which."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train.

    Attributes:
        epochs: most passes over the examples.
        patience: passes without a better gain on the validation slice after which training ends.
        batch_size: most examples per step; less where there would be few steps to an epoch.
        learning_rate: of AdamW at the start; it falls to zero along a cosine.
        weight_decay: of AdamW, on the matrices of the property tower.
        loss: "infonce" (sampled softmax) or "triplet".
        temperature: of the softmax.
        margin: of the triplet loss, in cosine.
        negatives: properties drawn uniformly per step, shared by the batch.
        validation_share: share of the interactions, by time, that chooses the epoch.
        test_share: share of the interactions, the newest, that is only measured.
        evaluated_investors: at most this many investors are ranked for each evaluation.
        lookback_days: how old interactions may be at most, from the newest; None for any age.
        device: "auto" takes CUDA if there is one.
        seed: of everything drawn; on one CPU equal seeds give equal weights.
    """

    epochs: int = 12
    patience: int = 6
    batch_size: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    loss: Loss = "infonce"
    temperature: float = 0.05
    margin: float = 0.2
    negatives: int = 1024
    validation_share: float = 0.1
    test_share: float = 0.1
    evaluated_investors: int = 2000
    lookback_days: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises TrainingError naming the field that is out of range."""
        positive = ("epochs", "patience", "negatives", "evaluated_investors")
        limits = [(name, getattr(self, name) >= 1, "at least 1") for name in positive]
        limits += [
            (name, getattr(self, name) > 0, "greater than 0")
            for name in ("learning_rate", "temperature", "margin")
        ]
        limits += [
            (name, 0 < getattr(self, name) < 0.5, "between 0 and 0.5")
            for name in ("validation_share", "test_share")
        ]
        limits += [
            ("batch_size", self.batch_size >= _STRETCH, f"at least {_STRETCH}"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("loss", self.loss in {"infonce", "triplet"}, "infonce or triplet"),
            ("device", self.device in {"auto", "cpu", "cuda"}, "auto, cpu or cuda"),
            (
                "lookback_days",
                self.lookback_days is None or self.lookback_days >= 1,
                "at least 1, or None",
            ),
        ]
        for name, valid, rule in limits:
            if not valid:
                raise TrainingError(f"training: {name} must be {rule}: {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands after an epoch.

    Attributes:
        epoch: how many are done, from 1.
        epochs: how many there will be at most.
        loss: mean over the epoch.
        metrics: of the validation slice, see ``ml.validation.METRICS``.
    """

    epoch: int
    epochs: int
    loss: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrainedTwin:
    """What training gives.

    Attributes:
        weights: safetensors bytes.
        metadata: JSON; with the weights it is what ``ml.artifacts.unpack`` reads.
        metrics: JSON: "twin" and "popularity" map the names of ``ml.validation.METRICS`` to figures
            on the test slice; further entries say what was learned from and measured on.
    """

    weights: bytes
    metadata: dict[str, Any]
    metrics: dict[str, Any]


def pick_device(device: str) -> torch.device:
    """The device by name, where "auto" is CUDA if there is one.

    Raises TrainingError if CUDA is asked for and absent.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device: 'cuda' was asked for, but torch finds none; use 'auto'")
    return torch.device(device)


def train(
    properties: PropertyColumns,
    log: InteractionLog,
    config: TrainingConfig,
    report: Callable[[Progress], None],
) -> TrainedTwin:
    """Trains a twin and measures it; ``report`` is called after each epoch.

    Sets torch's number of threads and its global seed: call it in a process of its own.
    Raises TrainingError naming what there is too little of.
    """
    device = pick_device(config.device)
    # Half the cores: beside other work, threads that wait for a core cost more than they bring.
    torch.set_num_threads(max(1, min(8, (os.cpu_count() or 1) // 2)))
    torch.manual_seed(config.seed)
    log = recent(log, config.lookback_days)
    _require("properties", len(properties), LEAST_PROPERTIES)
    _require("interactions", len(log), LEAST_EXAMPLES)
    learn_until, validate_until = np.quantile(
        log.occurred_at,
        (1 - config.validation_share - config.test_share, 1 - config.test_share),
    )
    data = events(log, len(properties), device)
    learned = examples(data, learn_until)
    _require(
        "interactions of investors who had approved of another property before",
        len(learned),
        LEAST_EXAMPLES,
    )
    most, seed = config.evaluated_investors, config.seed
    validation = queries(data, learn_until, validate_until, most, seed)
    test = queries(data, validate_until, np.inf, most, seed)
    for name, held_out in (("validation", validation), ("test", test)):
        _require(
            f"new approvals by known investors in the {name} slice",
            held_out.relevant.shape[1],
            LEAST_HELD_OUT,
        )

    newest = datetime.fromtimestamp(float(log.occurred_at.max()), UTC)
    statistics = FeatureStatistics.fit(properties, newest.year)
    features = torch.from_numpy(encode(properties, statistics)).to(device)
    model = TwoTower(statistics.kilometres_per_unit()).to(device)
    best_epoch = _fit(model, features, data, learned, validation, config, report)

    with torch.inference_mode():
        catalogue = model.property(features)
        calibration = _calibrate(model, catalogue, validation, config.seed)
        twin = twin_scorer(catalogue, vectors(model, catalogue, test.histories))
        metrics = {
            "twin": ranking_metrics(twin, test, data.items),
            "popularity": ranking_metrics(
                popularity_scorer(data, validate_until), test, data.items
            ),
        }
    stored = pack(Artifact(model, statistics, calibration), asdict(config))
    return TrainedTwin(
        weights=stored.weights,
        metadata=dict(stored.metadata),
        metrics={
            **metrics,
            "best_epoch": best_epoch,
            "properties": len(properties),
            "interactions": len(log),
            "examples": len(learned),
            "test_investors": len(test),
            "test_approvals": test.relevant.shape[1],
        },
    )


def _require(what: str, count: int, least: int) -> None:
    if count < least:
        raise TrainingError(f"training needs at least {least} {what}; there are {count}")


def _fit(
    model: TwoTower,
    features: Tensor,
    data: Events,
    learned: Tensor,
    validation: Queries,
    config: TrainingConfig,
    report: Callable[[Progress], None],
) -> int:
    """Trains in place, leaves the best epoch's weights in evaluation mode, returns its number."""
    rng = np.random.default_rng(config.seed)
    matrices = [weight for weight in model.property.layers.parameters() if weight.dim() > 1]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )
    size = max(_STRETCH, min(config.batch_size, len(learned) // LEAST_STEPS))
    steps = -(-len(learned) // size) * config.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, best_epoch, state = -1.0, 0, model.state_dict()
    for epoch in range(1, config.epochs + 1):
        model.train()
        total = torch.zeros((), device=features.device)
        for batch in _batches(learned, size, rng):
            loss = _loss(model, features, data, batch, config, rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(batch)
        model.eval()
        with torch.inference_mode():
            catalogue = model.property(features)
            investors = vectors(model, catalogue, validation.histories)
            metrics = ranking_metrics(twin_scorer(catalogue, investors), validation, data.items)
        report(Progress(epoch, config.epochs, float(total) / len(learned), metrics))
        if metrics["gain"] > best:
            best, best_epoch, state = metrics["gain"], epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(state)
    return best_epoch


def _batches(learned: Tensor, size: int, rng: np.random.Generator) -> list[Tensor]:
    """All examples once, in random batches of short stretches of one investor's events.

    Neighbours have nearly the same history, so a batch needs far fewer properties embedded than
    one of unrelated examples. Where the stretches begin changes from call to call.
    """
    shift = int(rng.integers(_STRETCH))
    stretches = [learned[:shift], *torch.split(learned[shift:], _STRETCH)]
    order = rng.permutation(len(stretches))
    return list(torch.split(torch.cat([stretches[i] for i in order]), size))


def _loss(
    model: TwoTower,
    features: Tensor,
    data: Events,
    batch: Tensor,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> Tensor:
    """The configured loss of one batch of examples (positions of events)."""
    target, user, moment = data.item[batch], data.user[batch], data.time[batch]
    history = histories(data, batch, data.start[user], moment, leave_out=target)
    negative = torch.as_tensor(
        rng.integers(data.items, size=min(config.negatives, data.items)), device=batch.device
    )
    # Each property is embedded once, however often the batch mentions it.
    item, place = torch.unique(
        torch.cat((history.item.flatten(), target, negative)), return_inverse=True
    )
    embedding = model.property(features[item])
    # functional.embedding, whose gradient, unlike that of indexing, adds up in a fixed order.
    of_history, of_target, of_negative = (
        functional.embedding(part, embedding)
        for part in torch.split(place, [history.item.numel(), len(target), len(negative)])
    )
    investor = model.investor(
        of_history.view(*history.item.shape, -1), history.kind, history.age, history.present
    )
    liked = (investor * of_target).sum(dim=1)
    cosines = (investor @ of_negative.T).masked_fill(target[:, None] == negative, -torch.inf)
    weight = data.weight[batch]
    if config.loss == "triplet":
        return triplet(liked, cosines, weight, config.margin)
    log_q = torch.full((len(negative),), -log(data.items), device=batch.device)
    return info_nce(liked, cosines, log_q, weight, config.temperature)


def _calibrate(model: TwoTower, catalogue: Tensor, held_out: Queries, seed: int) -> Calibration:
    """Approvals of the slice against random properties and what was disliked within it."""
    investors = vectors(model, catalogue, held_out.histories)

    def cosines(pairs: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        both = investors[pairs[0]] * catalogue[pairs[1]]
        return both.sum(dim=1).double().cpu().numpy()

    drawn = np.random.default_rng(seed).integers(len(catalogue), size=held_out.relevant.shape[1])
    random = torch.stack((held_out.relevant[0], torch.as_tensor(drawn, device=catalogue.device)))
    other = torch.cat((random, held_out.disliked), dim=1)
    return Calibration.fit(cosines(held_out.relevant), cosines(other))
