"""Trains the first stage: what an investor approves of should lie near something else of it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ml.measures.validation import RankingMetrics, ranking_metrics, tower_scorer
from ml.training.config import STRETCH, TrainingConfig
from ml.training.losses import info_nce, triplet
from ml.twin.dataset import Events, Queries, company
from ml.twin.towers import PropertyTower, interest_logits

LEAST_STEPS = 20
"""Steps an epoch has at least, short of batches smaller than a stretch."""

_INTERESTS = 12
"""Draws of approvals that speak for an investor in training: more add work, and little else."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands after an epoch.

    Attributes:
        epoch: how many are done, from 1.
        epochs: how many there will be at most.
        loss: mean over the epoch.
        metrics: of the validation slice, see ``ml.measures.validation.METRICS``; None while the
            re-ranker is trained, which is not measured after each epoch.
    """

    epoch: int
    epochs: int
    loss: float
    metrics: RankingMetrics | None


def train_tower(
    model: PropertyTower,
    features: Tensor,
    data: Events,
    learned: Tensor,
    validation: Queries,
    config: TrainingConfig,
    report: Callable[[Progress], None],
    *,
    keep_start: bool = False,
) -> int:
    """Train in place, leave the best epoch's weights in evaluation mode, return its number.

    Args:
        model: on the device of the other tensors.
        features: (n, 25), all properties.
        data: what happened.
        learned: int64 (e,), the events to learn from.
        validation: the later slice by whose gain the epoch is chosen.
        config: how to train.
        report: called after each epoch.
        keep_start: whether the weights given may be the best, as epoch 0.
    """
    rng = np.random.default_rng(config.seed)
    # Nothing of what is held out is looked at.
    last = data.time[learned].max()
    end = data.start[:-1] + torch.bincount(
        data.user[data.time <= last], minlength=len(data.start) - 1
    )
    size = max(STRETCH, min(config.batch_size, len(learned) // LEAST_STEPS))
    optimizer = _optimizer(model, config)
    steps = -(-min(len(learned), config.epoch_examples) // size) * config.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def measured() -> RankingMetrics:
        model.eval()
        with torch.inference_mode():
            scorer = tower_scorer(model(features), validation.histories, config.temperature)
            return ranking_metrics(scorer, validation, data.items)

    best, best_epoch, state = -1.0, 0, copy.deepcopy(model.state_dict())
    if keep_start:
        best = measured()["gain"]
    for epoch in range(1, config.epochs + 1):
        model.train()
        total, count = torch.zeros((), device=features.device), 0
        for batch in _batches(learned, size, config.epoch_examples, rng):
            loss = _loss(model, features, data, end, batch, config, rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(batch)
            count += len(batch)
        metrics = measured()
        report(Progress(epoch, config.epochs, float(total) / count, metrics))
        if metrics["gain"] > best:
            best, best_epoch, state = metrics["gain"], epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(state)
    return best_epoch


def _optimizer(model: PropertyTower, config: TrainingConfig) -> torch.optim.Optimizer:
    matrices = [weight for weight in model.layers.parameters() if weight.dim() > 1]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )


def _batches(learned: Tensor, size: int, most: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """At most ``most`` examples, in random batches of short stretches of one investor's events.

    Neighbours have nearly the same history, so a batch needs far fewer properties embedded than
    one of unrelated examples. Where the stretches begin changes from call to call.
    """
    shift = int(rng.integers(STRETCH))
    stretches = [learned[:shift], *torch.split(learned[shift:], STRETCH)]
    order = rng.permutation(len(stretches))
    yield from torch.split(torch.cat([stretches[i] for i in order])[:most], size)


def _loss(
    model: PropertyTower,
    features: Tensor,
    data: Events,
    end: Tensor,
    batch: Tensor,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> Tensor:
    """The configured loss of one batch of examples (positions of events)."""
    target = data.item[batch]
    interest, usable = company(data, batch, end, _INTERESTS, rng)
    negative = torch.as_tensor(
        rng.integers(data.items, size=min(config.negatives, data.items)), device=batch.device
    )
    # Each property is embedded once, however often the batch mentions it.
    item, place = torch.unique(
        torch.cat((interest.flatten(), target, negative)), return_inverse=True
    )
    embedding = model(features[item])
    # functional.embedding, whose gradient, unlike that of indexing, adds up in a fixed order.
    of_interest, of_target, of_negative = (
        functional.embedding(part, embedding)
        for part in torch.split(place, [interest.numel(), len(target), len(negative)])
    )
    # Scaled before the product, whose result is many times larger.
    of_interest = of_interest.view(*interest.shape, -1) / config.temperature
    liked = interest_logits(of_interest @ of_target[:, :, None], usable)[:, 0]
    others = interest_logits(of_interest @ of_negative.T, usable)
    acted_on = (interest[:, :, None] == negative) & usable[:, :, None]
    unusable = (target[:, None] == negative) | acted_on.any(dim=1)
    others = others.masked_fill(unusable, -torch.inf)
    # Who drew nothing usable teaches nothing this time.
    weight = data.weight[batch] * usable.any(dim=1)
    if config.loss == "triplet":
        return triplet(
            config.temperature * liked, config.temperature * others, weight, config.margin
        )
    log_q = torch.full((len(negative),), -log(data.items), device=batch.device)
    return info_nce(liked, others, log_q, weight, 1.0)
