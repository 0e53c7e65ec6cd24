"""What a twin has to beat: rankings that need no training, for the gates and for evaluation.

"Owned" in the names is what the investor approved of: for a tenant whose interactions are deals,
what the investor owns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from domain.contract.snapshots import PropertyColumns
from ml.twin.dataset import KIND_WEIGHTS, Events, Queries
from ml.twin.features import FEATURE_NAMES, FeatureStatistics, encode
from ml.twin.items import on_sphere

POPULARITY, CONTENT, NEAREST, MIX = "popularity", "content cosine", "nearest-owned", "mix"

FAR_AWAY_KM = 1e4
"""The distance to a property without coordinates."""

_SOFTENING_KM = 0.05
"""Keeps the logarithm of a distance finite in the same building."""

_CELLS = 200_000
"""Pairs of properties that are compared at a time: they stay in a core's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """How near and how like each other n properties are.

    Attributes:
        place: float32 (n, 3), kilometres from their middle, NaN where unknown.
        attributes: float32 (n, 23), unit vectors of the standardised features but the location.
    """

    place: Tensor
    attributes: Tensor

    @classmethod
    def of(cls, properties: PropertyColumns, year: int, device: torch.device) -> "Likeness":
        """The likeness of properties as they are in a year."""
        points = on_sphere(properties.column("latitude"), properties.column("longitude"))
        known = np.isfinite(points).all(axis=1)
        middle = points[known].mean(axis=0) if known.any() else 0.0
        attributes = torch.from_numpy(standardised_attributes(properties, year))
        return cls(
            torch.from_numpy((points - middle).astype(np.float32)).to(device),
            functional.normalize(attributes, dim=1).float().to(device),
        )

    def to(self, owned: Tensor) -> dict[str, Tensor]:
        """Scores of all n properties from the rows of those owned, float32 (n,), by name.

        Without any, all scores are 0.
        """
        if not len(owned):
            return dict.fromkeys((NEAREST, CONTENT, MIX), torch.zeros_like(self.place[:, 0]))
        place, attributes = self.place[owned], self.attributes[owned]
        found: dict[str, list[Tensor]] = {NEAREST: [], CONTENT: [], MIX: []}
        size = max(1, _CELLS // len(owned))
        for first in range(0, len(self.place), size):
            some = slice(first, first + size)
            km = torch.cdist(
                place, self.place[some], compute_mode="donot_use_mm_for_euclid_dist"
            ).nan_to_num_(FAR_AWAY_KM)
            cosine = attributes @ self.attributes[some].T
            found[NEAREST].append(-km.amin(dim=0))
            found[CONTENT].append(cosine.amax(dim=0))
            found[MIX].append((cosine - km.add_(_SOFTENING_KM).log_()).amax(dim=0))
        return {name: torch.cat(parts) for name, parts in found.items()}


def standardised_attributes(properties: PropertyColumns, year: int) -> NDArray[np.float64]:
    """The encoder's features but the location, each with mean 0 and deviation 1, float64 (n, 23).

    A column that does not vary is 0. Ages are as of that year.
    """
    features = encode(properties, FeatureStatistics.fit(properties, year)).astype(np.float64)
    features = features[:, [name not in {"latitude", "longitude"} for name in FEATURE_NAMES]]
    deviation = features.std(axis=0)
    centred = features - features.mean(axis=0)
    return np.asarray(centred / np.where(deviation > 1e-9, deviation, 1))


def baseline_scorers(
    properties: PropertyColumns, data: Events, queries: Queries
) -> dict[str, Callable[[int, int], Tensor]]:
    """The baselines as scorers of queries (see ``ml.measures.validation.Scorer``), by name.

    They know what was known when the slice of the queries began.
    """
    year = datetime.fromtimestamp(queries.moment, UTC).year
    likeness = Likeness.of(properties, year, queries.user.device)
    weight = data.weight.clamp(min=0) * (data.time < queries.moment)
    popular = torch.zeros(data.items, device=weight.device).index_add_(0, data.item, weight)

    # Each is asked for the same queries, one right after the other.
    @lru_cache(maxsize=1)
    def compared(first: int, last: int) -> dict[str, Tensor]:
        each = [likeness.to(_approved(queries, query)) for query in range(first, last)]
        return {name: torch.stack([one[name] for one in each]) for name in (NEAREST, CONTENT, MIX)}

    def of(name: str, first: int, last: int) -> Tensor:
        return compared(first, last)[name]

    return {
        POPULARITY: lambda first, last: popular.expand(last - first, -1),
        **{name: partial(of, name) for name in (NEAREST, CONTENT, MIX)},
    }


def _approved(queries: Queries, query: int) -> Tensor:
    """Rows of what more speaks for than against in the history of a query."""
    past = queries.histories
    present = past.present[query]
    weight = torch.from_numpy(KIND_WEIGHTS).to(present.device)[past.kind[query][present]]
    rows, place = torch.unique(past.item[query][present], return_inverse=True)
    total = torch.zeros(len(rows), device=present.device).index_add_(0, place, weight)
    liked: Tensor = rows[total > 0]
    return liked
