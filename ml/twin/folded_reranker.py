"""A trained re-ranker for serving: the same function of one investor, with fewer operations.

Training wants a graph that gradients flow back through; a request wants each of some three hundred
candidates compared with each of some thirty properties in a millisecond. So the sums over knots are
accumulated in place instead of being laid out side by side, and what training left unused is left
out. ``tests/ml/twin/test_folded_reranker.py`` holds both to the same scores.
"""

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from domain.contract.vocabulary import PropertyType
from ml.twin.items import Items, Opinions
from ml.twin.reranker import (
    DIFFERENCES,
    LARGEST_RATIO,
    LEAST,
    LEAST_AGE_YEARS,
    NEAREST_KM,
    THUMBS_DOWN,
    Reranker,
)


class FoldedReranker:
    """The scores of a re-ranker; takes a copy of its weights, on their device."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker = deepcopy(reranker)
        self._used = reranker.used.nonzero()[:, 0]
        # Slope times how far beyond the knot is slope times the greater of both, less a constant.
        self._near = reranker.distance_knots[:, None], reranker.distance.detach()
        self._relative = reranker.spacing_knots[:, None], reranker.relative_distance.detach()
        self._constant = sum(
            float(knots[:, 0] @ slopes) for knots, slopes in (self._near, self._relative)
        )
        self._distance_unknown = reranker.distance_unknown.item()
        self._same_type = reranker.same_type.item()
        self._likeness = reranker.likeness.item()
        self._taken = reranker.taken.item()
        self._worth = functional.softplus(reranker.profile).detach()
        self._kinds = torch.arange(len(PropertyType), device=self._used.device)
        self._all_used = bool(reranker.used.all())
        # From the furthest knot inwards, so that one tensor is drawn in ever more.
        self._differences = [
            (knot, reranker.difference[place, self._used].detach())
            for place, knot in reversed(list(enumerate(DIFFERENCES)))
        ]

        # In float64 on the CPU: of some dozens of acts, calling a device costs more than computing.
        self.approves = reranker.approves.cpu().numpy()
        self._kind = reranker.kind.detach().double().cpu().numpy()
        self._age_knots = reranker.age_knots.double().cpu().numpy()
        self._age = reranker.age.detach().double().cpu().numpy()

    def weights(
        self, row: NDArray[np.intp], kind: NDArray[np.integer], age: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """As ``Reranker.weights``, of h acts of one investor: float32 (p,), one for each property.

        Args:
            row: (h,), the number of the property acted on, from 0 to p - 1.
            kind: (h,), position in ``InteractionKind``.
            age: (h,), years since, at least 0.
        """
        elapsed = np.log(age + LEAST_AGE_YEARS)
        beyond = np.maximum(elapsed[:, None] - self._age_knots, 0.0)
        size = np.exp(self._kind[kind] + beyond @ self._age)
        signed = np.where(self.approves[kind], size, -size)
        total = np.bincount(row, signed)
        against = np.bincount(row, np.minimum(signed, 0.0))
        rejected = np.bincount(row, kind == THUMBS_DOWN) > 0
        return np.where(rejected, against, total).astype(np.float32)

    def __call__(self, opinions: Opinions, candidates: Items) -> Tensor:
        """Scores (c,) of candidates (c,) for one investor, a batch of one; without gradients."""
        weight = opinions.weight[0]
        similarity = self._kernel(opinions.items, candidates)
        greatest = similarity.amax(dim=0) if len(weight) else torch.zeros_like(candidates.prior)
        # Approval and aversion at once. A sum of nothing is less than anything that counts.
        sides = torch.stack((weight, -weight)).clamp_(min=0.0)
        sums = torch.mm(sides, similarity.sub_(greatest).exp_()).clamp_(min=LEAST).log_()
        approval, aversion = sums.add_(greatest)
        score = torch.logaddexp(approval, self._reranker.background)
        score.sub_(functional.softplus(aversion.add_(self._reranker.dislike)))
        score.add_(self._profile(opinions, candidates))
        return score.add_(candidates.prior).add_(candidates.taken, alpha=self._taken)

    def _kernel(self, acted: Items, candidates: Items) -> Tensor:
        """As ``Reranker.kernel``, of items (1, h) and (c,): (h, c)."""
        here, there = acted.position[0], candidates.position
        km = torch.cdist(
            here.nan_to_num(),
            there.nan_to_num(),
            # By matrix products it would lose a kilometre to rounding.
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        distance = km.add_(NEAREST_KM).log_()
        result = torch.full_like(distance, -self._constant)
        flat = result.view(-1)
        for (knots, slopes), origin in ((self._near, None), (self._relative, acted.spacing[0])):
            if origin is not None:
                distance.sub_(origin[:, None])
            flat.addmv_(torch.maximum(distance.view(1, -1), knots).T, slopes)
        placed, placed_too = here.isfinite().all(dim=1), there.isfinite().all(dim=1)
        if not bool(placed.all() & placed_too.all()):
            result = torch.where(placed[:, None] & placed_too, result, self._distance_unknown)

        flat, count = result.view(-1), result.numel()
        mine, theirs = self._of_use(acted.attributes[0]), self._of_use(candidates.attributes)
        known, known_too = self._of_use(acted.known[0]), self._of_use(candidates.known)
        difference = (mine[:, :, None] - theirs[:, None]).abs_()
        if not bool(known.all() & known_too.all()):
            difference.mul_(known[:, :, None].float()).mul_(known_too[:, None].float())
        for knot, slopes in self._differences:
            flat.addmv_(difference.clamp_(max=knot).view(len(difference), count).T, slopes)

        same = (acted.property_type[0, :, None] == self._kinds) * self._same_type
        mine = torch.cat((acted.embedding[0] * self._likeness, same), dim=1)
        theirs = torch.cat(
            (candidates.embedding, candidates.property_type[:, None] == self._kinds), dim=1
        )
        return result.addmm_(mine, theirs.T)

    def _profile(self, opinions: Opinions, candidates: Items) -> Tensor:
        """As ``Reranker._profile``: (c,). A difference of squares is one polynomial."""
        mean, variance, own_mean, own_variance = self._reranker.usual_for(opinions)
        square = (1 / variance - 1 / own_variance) / 2
        linear = own_mean / own_variance - mean / variance
        ends = mean**2 / variance - own_mean**2 / own_variance
        constant = (ends + (variance / own_variance).log()) / 2
        value = candidates.attributes
        ratio = (value * square).add_(linear).mul_(value).add_(constant)
        ratio.clamp_(-LARGEST_RATIO, LARGEST_RATIO).mul_(candidates.known)
        return ratio @ self._worth

    def _of_use(self, attributes: Tensor) -> Tensor:
        """The attributes (n, 15) that the tenant has, one after the other: (u, n)."""
        return (attributes.T if self._all_used else attributes.T[self._used]).contiguous()
