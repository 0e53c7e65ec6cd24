"""What the second stage reads of properties, a row of 32-bit floats for each."""

import numpy as np
import torch
from numpy.typing import NDArray

from ml.twin.features import ATTRIBUTE_NAMES
from ml.twin.items import Items
from ml.twin.towers import DIMENSIONS

_ATTRIBUTES = len(ATTRIBUTE_NAMES)
_SPACING, _TYPE, _TAKEN, _PRIOR = range(_ATTRIBUTES + 3, _ATTRIBUTES + 7)

EMBEDDING = _ATTRIBUTES + 7
"""Numbers before the embedding: attributes (NaN where unknown), position, spacing, type, whether
the property is taken, prior."""

WIDTH = EMBEDDING + DIMENSIONS
"""Numbers of a row; its last are the embedding."""


def to_rows(items: Items) -> NDArray[np.float32]:
    """One row for each of n properties, float32 (n, ``WIDTH``)."""
    rows = np.empty((len(items.prior), WIDTH), dtype=np.float32)
    known = items.known.cpu().numpy()
    rows[:, :_ATTRIBUTES] = np.where(known, items.attributes.cpu().numpy(), np.nan)
    rows[:, _ATTRIBUTES:_SPACING] = items.position.cpu().numpy()
    for place, values in (
        (_SPACING, items.spacing),
        (_TYPE, items.property_type),
        (_TAKEN, items.taken),
        (_PRIOR, items.prior),
    ):
        rows[:, place] = values.cpu().numpy()
    rows[:, EMBEDDING:] = items.embedding.cpu().numpy()
    return rows


def from_rows(rows: NDArray[np.float32], embedding: NDArray[np.float32]) -> Items:
    """The inverse, on the CPU.

    Args:
        rows: float32 (n, ``EMBEDDING`` or more), without the embedding or with it.
        embedding: float32 (n, 16).
    """
    values = torch.from_numpy(rows)
    attributes = values[:, :_ATTRIBUTES]
    return Items(
        attributes=attributes.nan_to_num(),
        known=~attributes.isnan(),
        position=values[:, _ATTRIBUTES:_SPACING],
        spacing=values[:, _SPACING],
        property_type=values[:, _TYPE].long(),
        taken=values[:, _TAKEN],
        prior=values[:, _PRIOR],
        embedding=torch.from_numpy(embedding),
    )
