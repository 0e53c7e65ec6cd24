"""The second stage: scores candidates against everything an investor did.

A score is a sum of readable parts, in log-odds:

- *History.* A kernel compares a candidate with each property approved of: how far apart on the map
  and relative to how densely the place is built, how different in every attribute, whether of the
  same type, and how alike the twin finds them. Log-sum-exp over the history lets the best match
  decide, and gives every approval a vote.
- *Dislikes.* The same kernel over what was disliked, taken off.
- *Profile.* How usual the candidate's attributes are for the investor, against how usual they are
  for the tenant: Gaussian log-likelihood ratios, shrunk to the tenant's where little is known.
- *The candidate itself.* A small network on its features, and whether another investor of the
  tenant owns it already.
- *The buy box.* What the investor says is wanted, fading as history grows.

Nothing is looked up by investor: the history is the investor, and a new act counts at once. Some
two hundred weights learn from little data; their starting values are the knowledge of other
markets (``ml/twin/prior.json``), and weight decay pulls towards those rather than to zero.
"""

import json
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from domain.contract.snapshots import PropertyColumns
from domain.contract.vocabulary import INTERACTION_WEIGHTS, InteractionKind
from ml.twin.features import ATTRIBUTE_NAMES, FEATURE_COUNT, FeatureStatistics, attributes
from ml.twin.items import Acts, Items, Opinions, positions
from ml.twin.piecewise_linear import add_clamped

PRIOR_FILE = Path(__file__).with_name("prior.json")
PRIOR = (
    "kind",
    "age",
    "distance",
    "relative_distance",
    "distance_unknown",
    "difference",
    "same_type",
    "likeness",
    "background",
    "dislike",
    "profile",
    "taken",
)
"""The parameters whose starting values other markets taught."""

NEAREST_KM = 0.005
"""Distances below five metres are the same place."""

_DISTANCE_KM = (0.02, 0.05, 0.15, 0.4, 1.0, 2.5, 6.0, 15.0, 40.0)
"""Where the slope of the score over the logarithm of the distance may change."""

_SPACINGS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""The same, for distances in units of the local spacing."""

DIFFERENCES = (0.15, 0.5, 1.5, 3.0)
"""Where the slope over the difference of a standardised attribute may change."""

LEAST_AGE_YEARS = 0.1
"""Added to ages, so that what was done just now has a logarithm."""

_AGES_YEARS = (LEAST_AGE_YEARS, 0.5, 1.5, 4.0)
_REFERENCE = 512
_SPACING_NEIGHBOURS = 3
_HIDDEN = 24
THUMBS_DOWN = list(InteractionKind).index(InteractionKind.THUMBS_DOWN)
LEAST = 1e-37
"""Next to nothing; its logarithm is finite."""

LARGEST_RATIO = 4.0
"""How much one attribute speaks for or against a candidate at most."""

_USUAL_DIFFERENCE = 1.1
"""Mean difference of two standard normal values: what "not alike" means for an attribute."""

_PROFILE_BASE = 10.0
"""Saves that the tenant's average counts for where an investor's own is estimated. Fixed, for
training sets it too low: it has seen its investors' tastes."""


class Part(StrEnum):
    """A part of the comparison that can be left out, to see what it is worth."""

    NEARNESS = "NEARNESS"
    PRICE = "PRICE"
    SIZE = "SIZE"
    PROPERTY_TYPE = "PROPERTY_TYPE"


_ATTRIBUTES_OF: dict[Part, tuple[str, ...]] = {
    Part.PRICE: ("listing_price", "price_per_sqft", "estimated_value"),
    Part.SIZE: ("bedrooms", "bathrooms", "square_feet", "lot_square_feet"),
}


class Reranker(nn.Module):
    """Scores of candidates in log-odds, from histories; see the module for its parts."""

    def __init__(self, places: int = 1) -> None:
        """Starting weights. ``places`` is the number of rows of ``reference``, for loading."""
        super().__init__()
        count = len(ATTRIBUTE_NAMES)
        weights = torch.tensor([INTERACTION_WEIGHTS[kind] for kind in InteractionKind])
        self.approves: Tensor
        self.reference: Tensor
        self.usual: Tensor
        self.used: Tensor
        self.distance_knots: Tensor
        self.spacing_knots: Tensor
        self.age_knots: Tensor
        for name, knots in (
            ("distance_knots", (NEAREST_KM, *_DISTANCE_KM)),
            ("spacing_knots", _SPACINGS),
            ("age_knots", _AGES_YEARS),
        ):
            self.register_buffer(name, torch.tensor(knots).log(), persistent=False)
        self.register_buffer("approves", weights > 0)
        # Of the tenant's properties: places from which spacing is told, the mean and variance of
        # each attribute, and whether any property has it.
        self.register_buffer("reference", torch.zeros(places, 3))
        self.register_buffer("usual", torch.stack((torch.zeros(count), torch.ones(count))))
        self.register_buffer("used", torch.ones(count, dtype=torch.bool))
        self.kind = nn.Parameter(weights.abs().log())
        self.age = nn.Parameter(torch.tensor([-0.1, *[0.0] * (len(_AGES_YEARS) - 1)]))
        # Minus the logarithm of the distance from fifty metres on, which needs no training.
        slopes = [0.0] * (1 + len(_DISTANCE_KM))
        slopes[_DISTANCE_KM.index(0.05) + 1] = -1.0
        self.distance = nn.Parameter(torch.tensor(slopes))
        self.relative_distance = nn.Parameter(torch.zeros(len(_SPACINGS)))
        self.distance_unknown = nn.Parameter(torch.tensor(-4.0))
        self.difference = nn.Parameter(torch.full((len(DIFFERENCES), count), -0.05))
        self.same_type = nn.Parameter(torch.tensor(0.5))
        self.likeness = nn.Parameter(torch.tensor(1.0))
        self.background = nn.Parameter(torch.tensor(-10.0))
        self.dislike = nn.Parameter(torch.tensor(0.0))
        self.profile = nn.Parameter(torch.full((count,), -2.0))
        self.taken = nn.Parameter(torch.tensor(-1.0))
        self.candidate = nn.Linear(FEATURE_COUNT + 1, _HIDDEN)
        self.candidate_score = nn.Linear(_HIDDEN, 1, bias=False)
        nn.init.zeros_(self.candidate_score.weight)
        with torch.no_grad():
            for name, value in _prior().items():
                self.get_parameter(name).copy_(torch.tensor(value))

    def fit_tenant(
        self, properties: PropertyColumns, statistics: FeatureStatistics, seed: int
    ) -> None:
        """Take over what is usual for the tenant's properties. Nothing here is learned.

        ``seed`` draws the places from which spacing is told.
        """
        values, present = attributes(properties, statistics)
        device = self.usual.device
        attribute, known = torch.from_numpy(values).to(device), torch.from_numpy(present).to(device)
        position = positions(properties).to(device)
        count = known.sum(dim=0).clamp(min=1)
        mean = (attribute * known).sum(dim=0) / count
        variance = (((attribute - mean) * known) ** 2).sum(dim=0) / count
        self.usual = torch.stack((mean, variance.clamp(min=0.05)))
        self.used = known.any(dim=0)
        placed = position[position.isfinite().all(dim=1)]
        if not len(placed):
            placed = torch.zeros((1, 3), device=position.device)
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(placed), generator=generator)[:_REFERENCE]
        self.reference = placed[chosen.to(placed.device)]

    def spacing(self, position: Tensor) -> Tensor:
        """How far apart properties are around the places (n, 3): ln kilometres, (n,)."""
        nearest = min(_SPACING_NEIGHBOURS, len(self.reference))
        blocks = [
            torch.cdist(
                block.nan_to_num(),
                self.reference,
                # By matrix products it would lose a kilometre to rounding.
                compute_mode="donot_use_mm_for_euclid_dist",
            )
            .topk(nearest, largest=False)
            .values[:, -1]
            for block in torch.split(position, 4096)
        ]
        return (torch.cat(blocks) + NEAREST_KM).log()

    def opinions(self, acts: Acts) -> Opinions:
        """What all acts on a property amount to; see ``weights``."""
        return Opinions(acts.items, self.weights(acts.row, acts.kind, acts.age, acts.present))

    def weights(self, row: Tensor, kind: Tensor, age: Tensor, present: Tensor) -> Tensor:
        """What acts (b, h) on properties amount to, float32 (b, h); the arguments are as in `Acts`.

        The sum of the weights of all acts on a property, at the newest of them, and 0 elsewhere.
        The weight of one act depends on its kind, which gives the sign, and on its age. A thumb
        down takes back whatever speaks for the property: what is said outweighs what was done.
        """
        elapsed = (age.clamp(min=0.0) + LEAST_AGE_YEARS).log()
        size = _hinged(self.kind[kind], elapsed, self.age_knots, self.age).exp()
        signed = torch.where(self.approves[kind], size, -size) * present
        same = (row[:, :, None] == row[:, None]) & present[:, None]
        rejected = (same & (kind == THUMBS_DOWN)[:, None]).any(dim=2)
        total = (same * signed[:, None]).sum(dim=2)
        against = (same * signed.clamp(max=0.0)[:, None]).sum(dim=2)
        newest = ~same.tril(-1).any(dim=2) & present
        return torch.where(rejected, against, total) * newest

    def forward(self, opinions: Opinions, candidates: Items, without: Part | None = None) -> Tensor:
        """Scores (b, c) of candidates (b, c). ``without`` treats one part as merely usual."""
        similarity = self.kernel(opinions.items, candidates, without)
        greatest = torch.zeros_like(candidates.prior)[:, None]
        if similarity.numel():
            greatest = similarity.detach().amax(dim=1, keepdim=True)
        # Approval and aversion at once. A sum of nothing is less than anything that counts.
        sides = torch.stack((opinions.weight, -opinions.weight), dim=1).clamp(min=0.0)
        sums = (sides @ (similarity - greatest).exp()).clamp(min=LEAST).log() + greatest
        approval, aversion = sums.unbind(dim=1)
        # What is like nothing approved of still has a chance, so that scores stay finite.
        approval = torch.logaddexp(approval, self.background)
        aversion = functional.softplus(aversion + self.dislike)
        profile = self._profile(opinions, candidates, without)
        return approval - aversion + profile + candidates.prior + self.taken * candidates.taken

    def kernel(self, acted: Items, candidates: Items, without: Part | None = None) -> Tensor:
        """How alike properties acted on (b, h) and candidates (b, c) are: (b, h, c)."""
        here, there = _by_column(acted.position), _by_column(candidates.position)
        km = (here[..., None] - there[:, :, None]).square_().sum(dim=0).sqrt_()
        if without is Part.NEARNESS:
            km = torch.full_like(km, _DISTANCE_KM[-1])
        placed = km.isfinite().float()
        distance = (km.nan_to_num_() + NEAREST_KM).log_()
        relative = distance - acted.spacing[:, :, None]
        near = torch.zeros_like(distance)
        near = _hinged(near, distance, self.distance_knots, self.distance)
        near = _hinged(near, relative, self.spacing_knots, self.relative_distance)
        result = near * placed + self.distance_unknown * (1 - placed)

        def differences() -> Iterator[Tensor]:
            """Of one attribute after the other, (b, h, c); none where one is unknown."""
            buffer = torch.empty_like(km)
            for mine, theirs, known, known_too in zip(*compared, strict=True):
                torch.sub(mine[:, :, None], theirs[:, None], out=buffer).abs_()
                yield buffer.mul_(known[:, :, None]).mul_(known_too[:, None])

        used = self.used.nonzero()[:, 0]
        compared = [
            _by_column(values[..., used].float())
            for values in (acted.attributes, candidates.attributes, acted.known, candidates.known)
        ]
        if without in _ATTRIBUTES_OF:
            left_out = self._of(without)[used]
            compared[0][left_out], compared[1][left_out] = _USUAL_DIFFERENCE, 0.0
        slopes = self.difference[:, used]
        result = add_clamped(result, torch.clamp_max, differences, DIFFERENCES, slopes)

        if without is not Part.PROPERTY_TYPE:
            kind = acted.property_type[:, :, None]
            same = (kind == candidates.property_type[:, None]) & (kind >= 0)
            result = result + self.same_type * same.float()
        return result + self.likeness * (acted.embedding @ candidates.embedding.transpose(1, 2))

    def _profile(self, opinions: Opinions, candidates: Items, without: Part | None) -> Tensor:
        """Log-likelihood ratios of the candidates' attributes, (b, c)."""
        mean, variance, own_mean, own_variance = self.usual_for(opinions)
        value = candidates.attributes
        ratio = (
            (value - mean) ** 2 / variance
            - (value - own_mean[:, None]) ** 2 / own_variance[:, None]
            + (variance / own_variance).log()[:, None]
        ) / 2
        ratio = ratio.clamp(-LARGEST_RATIO, LARGEST_RATIO) * candidates.known
        if without in _ATTRIBUTES_OF:
            ratio = ratio.masked_fill(self._of(without), 0.0)
        score: Tensor = ratio @ functional.softplus(self.profile)
        return score

    def usual_for(self, opinions: Opinions) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and variance of each attribute, of the tenant (15,) and of b investors (b, 15)."""
        mean, variance = self.usual
        saves = opinions.weight.clamp(min=0.0) / INTERACTION_WEIGHTS[InteractionKind.SAVE]
        votes = saves[:, :, None] * opinions.items.known
        total = votes.sum(dim=1) + _PROFILE_BASE
        values = opinions.items.attributes
        own_mean = ((votes * values).sum(dim=1) + _PROFILE_BASE * mean) / total
        spread = (votes * (values - own_mean[:, None]) ** 2).sum(dim=1)
        own_variance = ((spread + _PROFILE_BASE * variance) / total).clamp(min=0.05)
        return mean, variance, own_mean, own_variance

    def prior(self, features: Tensor, spacing: Tensor) -> Tensor:
        """What speaks for properties whoever asks: (..., 25) and (...,) to (...,)."""
        own = torch.cat((features, spacing[..., None]), dim=-1)
        score: Tensor = self.candidate_score(self.candidate(own).tanh())
        return score[..., 0]

    def _of(self, part: Part) -> Tensor:
        """Which attributes (15,) belong to the part."""
        names = _ATTRIBUTES_OF[part]
        return torch.tensor([name in names for name in ATTRIBUTE_NAMES], device=self.used.device)


@cache
def _prior() -> dict[str, Any]:
    prior: dict[str, Any] = json.loads(PRIOR_FILE.read_text()) if PRIOR_FILE.exists() else {}
    return prior


def _by_column(values: Tensor) -> Tensor:
    """(..., k) as (k, ...), one column after the other in memory."""
    return values.movedim(-1, 0).contiguous()


def _hinged(start: Tensor, values: Tensor, knots: Tensor, slopes: Tensor) -> Tensor:
    """``start`` (...) plus how far the values (...) are beyond each knot (k,), times its slope."""
    # Which is slope times the greater of both, less a constant.
    start = start - slopes @ knots
    return add_clamped(start, torch.clamp_min, lambda: [values], knots.tolist(), slopes[:, None])
