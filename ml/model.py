"""The two towers and nothing else.

- Properties and investors live in one 16-dimensional space of unit vectors; affinity is the cosine.
- The property tower reads the 25 features. Location matters most of them, and two standardised
  degrees are too coarse for it, so its input layer spells them out as learned Fourier features.
- There is no investor ID. An investor is the weighted sum of the properties acted on, so a new
  interaction moves the investor without training. The weight of one interaction depends on nothing
  but its kind and age, and its sign is that of the kind: adding ``w * e`` to a vector can only turn
  it towards ``e`` if w > 0, and away from ``e`` if w < 0. Approval always attracts, dislike repels.
- Recency is one exponential for all kinds, and bounded: what is older than two years fades no
  further, so that a first thumb after a long pause does not outweigh all that came before.
"""

from math import log, pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from domain.vocabulary import INTERACTION_WEIGHTS, InteractionKind
from ml.features import FEATURE_COUNT, LATITUDE, LONGITUDE

DIMENSIONS = 16
"""Length of every embedding."""

_HIDDEN = (128, 64, 32)
_DROPOUT = 0.2
_WAVES = 32
_WAVELENGTHS_KM = (0.4, 120.0)
_FADES_FOR = 2.0
"""Years after which an interaction loses no more weight."""

_MOST_LEARNED = 1.5
"""A kind's learned weight stays within a factor exp(1.5) of the domain's, so none vanishes."""


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


class InvestorTower(nn.Module):
    """A history of interactions to a unit vector in the space of the properties."""

    def __init__(self) -> None:
        super().__init__()
        weights = torch.tensor([INTERACTION_WEIGHTS[kind] for kind in InteractionKind])
        self.sign: Tensor
        self.log_prior: Tensor
        # Saved with the weights: what a version learned is relative to the prior it had.
        self.register_buffer("sign", weights.sign())
        self.register_buffer("log_prior", weights.abs().log())
        self.kind = nn.Parameter(torch.zeros(len(InteractionKind)))
        # softplus(0) is ln 2: interactions start with a half-life of one year.
        self.decay = nn.Parameter(torch.zeros(()))

    def forward(self, history: Tensor, kind: Tensor, age: Tensor, present: Tensor) -> Tensor:
        """The investor's unit vector, or zeros where the history is empty or cancels out.

        Args:
            history: (b, h, 16) embeddings of the properties acted on.
            kind: (b, h) integers, positions in ``InteractionKind``.
            age: (b, h) years since the interaction, in any order.
            present: (b, h) booleans, false where the row is padding.

        Returns:
            (b, 16).
        """
        if not history.shape[1]:
            return history.sum(dim=1)
        learned = self.log_prior + _MOST_LEARNED * self.kind.tanh()
        weight = learned[kind] - functional.softplus(self.decay) * age.clamp(max=_FADES_FOR)
        weight = weight.masked_fill(~present, -torch.inf)
        # Scaled by the greatest, so that old histories do not underflow; the direction is the same.
        greatest = weight.amax(dim=1, keepdim=True).nan_to_num(neginf=0.0)
        weight = (weight - greatest).exp() * self.sign[kind]
        return functional.normalize(torch.einsum("bh,bhd->bd", weight, history), dim=1)


class TwoTower(nn.Module):
    """Both towers, the unit that is trained, saved and loaded."""

    def __init__(self, kilometres_per_unit: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        self.property = PropertyTower(kilometres_per_unit)
        self.investor = InvestorTower()
