"""What a twin has to beat: rankings that need little or no training.

Every scorer gives each of the n properties a number, greater for better, -inf for one it does not
rank at all. "Owned" in the names is what the investor approved of: for a tenant whose interactions
are deals, what the investor owns.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray

from ml.evaluation.protocols import Query, Split
from ml.measures.baselines import CONTENT, MIX, NEAREST, POPULARITY, Likeness
from ml.twin.dataset import KIND_WEIGHTS

Scorer = Callable[[Query], NDArray[np.float64]]
"""float64 (n,) for a query, without NaN."""

MIX_UNOWNED = "mix, unowned first"
"""With ``MIX``, the baselines that a twin's gains are given against."""

_TAKEN_PENALTY = 1e3
"""Greater than any difference of the mix: what somebody owns comes after all else."""


def baselines(split: Split) -> dict[str, Scorer]:
    """The scorers that need no training, by name; see ``ml.measures.baselines``."""
    year = datetime.fromtimestamp(split.cut, UTC).year
    likeness = Likeness.of(split.columns, year, torch.device("cpu"))
    weight = np.maximum(KIND_WEIGHTS[split.past.kind], 0)
    popular = np.zeros(len(split.columns))
    np.add.at(popular, split.past.property, weight)

    # Several scorers ask the same of each query, one right after the other.
    @lru_cache(maxsize=1)
    def compared(query: Query) -> dict[str, NDArray[np.float64]]:
        found = likeness.to(torch.from_numpy(query.approved))
        return {name: scores.double().numpy() for name, scores in found.items()}

    def of(name: str, query: Query) -> NDArray[np.float64]:
        return compared(query)[name]

    def mix_of_unowned(query: Query) -> NDArray[np.float64]:
        return of(MIX, query) - _TAKEN_PENALTY * split.taken

    return {
        POPULARITY: lambda _: popular,
        **{name: partial(of, name) for name in (CONTENT, NEAREST, MIX)},
        MIX_UNOWNED: mix_of_unowned,
    }
