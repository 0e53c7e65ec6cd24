"""Continues from a trained twin: what is new since, and enough of the old not to be forgotten.

The encoder's statistics stay those of the version, for its weights mean nothing with others. What
is only counted, not learned (where properties lie, what is usual for the tenant), is counted anew.
"""

import copy
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ml.training.config import TrainingError
from ml.twin.dataset import Events

LEAST_NEW = 10
"""Fewer new examples say too little to train for."""

LEAST_REPLAYED = 2000
"""Older examples drawn at least, as far as there are so many: a few new ones alone would pull the
weights anywhere."""


Stage = TypeVar("Stage", bound=nn.Module)


def trainable(stage: Stage) -> Stage:
    """A copy of the weights that can be trained."""
    return copy.deepcopy(stage).requires_grad_(True)


def new_and_replayed(
    data: Events, learned: Tensor, since: float, replay: float, seed: int
) -> Tensor:
    """Of the examples ``learned`` those from ``since`` on, and a sample of the others.

    Args:
        data: what happened.
        learned: int64 (e,), positions of events, ascending.
        since: seconds since 1970 UTC.
        replay: how many of the others for each new one; ``LEAST_REPLAYED`` at least.
        seed: draws the sample.

    Returns:
        Positions of events, ascending.

    Raises:
        TrainingError: there is too little new.
    """
    new = data.time[learned] >= since
    count = int(new.sum())
    if count < LEAST_NEW:
        raise TrainingError(
            f"continuing from the active version needs at least {LEAST_NEW} new examples; "
            f"there are {count}: wait for more interactions, or train in full"
        )
    older = (~new).nonzero()[:, 0]
    most = max(LEAST_REPLAYED, round(replay * count))
    if len(older) > most:
        drawn = np.random.default_rng(seed).choice(len(older), most, replace=False)
        older = older[torch.as_tensor(np.sort(drawn), device=older.device)]
    chosen = new.clone()
    chosen[older] = True
    return learned[chosen]
