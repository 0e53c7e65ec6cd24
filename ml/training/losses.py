"""What training minimises: the target should be told from properties drawn at random.

Both losses take the cosines of b investors with their target and with k negatives shared by all.
Each target has a weight whose sign says whether the investor approved of it (told apart by scoring
high) or disliked it (by scoring low), and whose size says how much it counts.
"""

from math import log
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Loss = Literal["infonce", "triplet"]


def info_nce(
    target: Tensor, negatives: Tensor, log_q: Tensor, weight: Tensor, temperature: float
) -> Tensor:
    """Softmax over the whole catalogue, estimated from a sample of it (Yi et al. 2019).

    A negative drawn k times with probability q stands for 1 / (k q) properties; subtracting
    log(k q) from its logit corrects for that. A liked target costs -log p, a disliked -log(1 - p).

    Args:
        target: (b,) cosines with the targets.
        negatives: (b, k) cosines with the negatives, -inf where one is the row's own target.
        log_q: (k,) log-probability with which each negative was drawn.
        weight: (b,) signed weights.
        temperature: greater than 0; smaller punishes the nearest negatives more.

    Returns:
        The weighted mean, a scalar.
    """
    positive = target / temperature
    corrected = negatives / temperature - (log_q + log(negatives.shape[1]))
    rest = torch.logsumexp(corrected, dim=1)
    cost = torch.where(
        weight > 0, functional.softplus(rest - positive), functional.softplus(positive - rest)
    )
    return _mean(cost, weight)


def triplet(target: Tensor, negatives: Tensor, weight: Tensor, margin: float) -> Tensor:
    """A liked target should beat every negative by the margin; a disliked one should not.

    Args:
        target: (b,) cosines with the targets.
        negatives: (b, k) cosines with the negatives, -inf where one is the row's own target.
        weight: (b,) signed weights.
        margin: cosine by which a target should win or lose.

    Returns:
        The weighted mean, a scalar.
    """
    usable = negatives.isfinite()
    gap = (target[:, None] - negatives.masked_fill(~usable, 0.0)) * weight.sign()[:, None]
    cost = (margin - gap).clamp(min=0).masked_fill(~usable, 0.0)
    return _mean(cost.sum(dim=1) / usable.sum(dim=1).clamp(min=1), weight)


def _mean(cost: Tensor, weight: Tensor) -> Tensor:
    """The mean of the costs, weighted by the size of the weights."""
    return (cost * weight.abs()).sum() / weight.abs().sum().clamp(min=1e-12)
