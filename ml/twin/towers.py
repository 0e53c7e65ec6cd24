"""The two towers and nothing else.

- Properties and investors live in one 16-dimensional space of unit vectors; likeness is the cosine.
- The property tower reads the 25 features. Location matters most of them, and two standardised
  degrees are too coarse for it, so its input layer spells them out as learned Fourier features.
- There is no investor ID. An investor is the set of the properties approved of, each an interest of
  its own: a property suits who has something like it, however different the rest is. The mean of a
  history would lie between two towns and in neither.
- What the interests weigh, dislikes, and recency are left to the second stage,
  ``ml.twin.reranker``: the first only has to bring everything worth a look.
"""

from math import log, pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.twin.features import FEATURE_COUNT, LATITUDE, LONGITUDE

DIMENSIONS = 16
"""Length of every embedding."""

INTERESTS = 16
"""Newest approvals with which the properties near an investor are looked for."""

_BLOCK = 4096
_HIDDEN = (128, 64, 32)
_DROPOUT = 0.1
_WAVES = 32
_WAVELENGTHS_KM = (0.4, 120.0)


class LocationWaves(nn.Module):
    """Sines and cosines of a location along learned directions and wavelengths.

    From features (n, 25) to (n, 64). ``kilometres_per_unit`` says how far one unit of the latitude
    and the longitude feature goes; it is saved with the weights.
    """

    def __init__(self, kilometres_per_unit: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        shortest, longest = (log(length) for length in _WAVELENGTHS_KM)
        length = torch.linspace(shortest, longest, _WAVES).exp()
        direction = 2 * pi * torch.rand(_WAVES)
        self.frequency = nn.Parameter(
            torch.stack((direction.sin() / length, direction.cos() / length))
        )
        self.kilometres_per_unit: Tensor
        self.register_buffer("kilometres_per_unit", torch.tensor(kilometres_per_unit))

    def forward(self, features: Tensor) -> Tensor:
        """(n, 25) to (n, 64), values in [-1, 1]."""
        north = features[:, LATITUDE, None] * self.kilometres_per_unit[0]
        east = features[:, LONGITUDE, None] * self.kilometres_per_unit[1]
        # Not a matrix product, whose rounding depends on the size of the batch: hundreds of turns
        # leave few digits for the angle. Whole turns are taken off for the same reason.
        turns = north * self.frequency[0] + east * self.frequency[1]
        phase = 2 * pi * (turns - turns.detach().floor())
        return torch.cat((phase.sin(), phase.cos()), dim=1)


class PropertyTower(nn.Module):
    """25 features to a unit vector: 128, 64, 32, 16, with batch normalisation and dropout."""

    def __init__(self, kilometres_per_unit: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        self.waves = LocationWaves(kilometres_per_unit)
        layers: list[nn.Module] = []
        width = FEATURE_COUNT + 2 * _WAVES
        for hidden in _HIDDEN:
            # Batch normalisation subtracts the mean, so a bias before it would do nothing.
            layers += [
                nn.Linear(width, hidden, bias=False),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Dropout(_DROPOUT),
            ]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, DIMENSIONS))

    def forward(self, features: Tensor) -> Tensor:
        """(n, 25) to (n, 16), rows of length 1."""
        hidden = torch.cat((features, self.waves(features)), dim=1)
        return functional.normalize(self.layers(hidden), dim=1)


class FoldedTower:
    """A trained property tower for serving: the same function with fewer operations.

    Batch normalisation is folded into the weights, and large batches are worked through in blocks
    that stay in the processor's cache.
    """

    def __init__(self, tower: PropertyTower) -> None:
        """Takes a copy of the weights, on their device."""
        waves = tower.waves
        self._north = (waves.frequency[0] * waves.kilometres_per_unit[0]).detach().clone()
        self._east = (waves.frequency[1] * waves.kilometres_per_unit[1]).detach().clone()
        self._layers: list[tuple[Tensor, Tensor]] = []
        for layer in tower.layers:
            if isinstance(layer, nn.Linear):
                linear = layer.weight.detach().clone()
                offset = layer.bias.detach().clone() if layer.bias is not None else linear[:, 0]
                self._layers.append((linear, offset))
            elif isinstance(layer, nn.BatchNorm1d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                scale = (layer.weight / (layer.running_var + layer.eps).sqrt()).detach()
                weight, _ = self._layers[-1]
                # The linear layer before it has no bias of its own.
                offset = layer.bias.detach() - layer.running_mean * scale
                self._layers[-1] = (weight * scale[:, None], offset)

    def __call__(self, features: Tensor) -> Tensor:
        """(n, 25) to (n, 16), rows of length 1; without gradients."""
        if len(features) <= _BLOCK:
            return self._embed(features)
        return torch.cat([self._embed(block) for block in torch.split(features, _BLOCK)])

    def _embed(self, features: Tensor) -> Tensor:
        # As in LocationWaves: whole turns are taken off before the digits are spent on them.
        turns = features[:, LATITUDE, None] * self._north
        phase = turns.addcmul_(features[:, LONGITUDE, None], self._east).frac_().mul_(2 * pi)
        hidden = torch.cat((features, phase.sin(), phase.cos()), dim=1)
        *inner, (weight, bias) = self._layers
        for inner_weight, inner_bias in inner:
            hidden = functional.linear(hidden, inner_weight, inner_bias).relu_()
        vector = functional.linear(hidden, weight, bias)
        return vector.div_(torch.linalg.vector_norm(vector, dim=1, keepdim=True).clamp_(min=1e-12))


def interest_logits(scaled: Tensor, present: Tensor) -> Tensor:
    """The investor tower: logits of properties from their likeness to what was approved of.

    Log-sum-exp, a smooth maximum, over the interests; the index is searched by the maximum.

    Args:
        scaled: (b, h, n), cosines of each interest with each property asked about, divided by a
            temperature of at least 0.02: no exponential overflows, and none is guarded against.
        present: (b, h) booleans, false where the row is padding.

    Returns:
        (b, n); the same low number throughout for who approved of nothing.
    """
    total = torch.einsum("bh,bhn->bn", present.to(scaled.dtype), scaled.exp())
    return total.clamp(min=1e-30).log()
