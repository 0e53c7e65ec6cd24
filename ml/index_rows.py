"""What the second stage reads of a property, as one string in its point's payload.

The index thus answers with all that a request needs: nothing is encoded again, and nothing else is
asked. The numbers are those of the model version that the point belongs to.
"""

import base64
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ml.features import ATTRIBUTE_NAMES
from ml.reranker import Items

_COUNT = len(ATTRIBUTE_NAMES)
_WIDTH = _COUNT + 7
"""Attributes (NaN where unknown), position, spacing, type, whether it is taken, prior."""

_LENGTH = 4 * -(-4 * _WIDTH // 3)
"""Characters of a string."""


def pack(items: Items) -> list[str]:
    """One string for each of n properties; without their embeddings, which are the vectors."""
    rows = np.empty((len(items.prior), _WIDTH), dtype="<f4")
    known = items.known.cpu().numpy()
    rows[:, :_COUNT] = np.where(known, items.attributes.cpu().numpy(), np.nan)
    rows[:, _COUNT : _COUNT + 3] = items.position.cpu().numpy()
    for place, values in enumerate(
        (items.spacing, items.property_type, items.taken, items.prior), _COUNT + 3
    ):
        rows[:, place] = values.cpu().numpy()
    return [base64.b64encode(row.tobytes()).decode("ascii") for row in rows]


def unpack(
    packed: Sequence[str], embeddings: NDArray[np.float32], device: torch.device | str = "cpu"
) -> Items:
    """The items of n properties from their strings and vectors (n, 16).

    Raises ValueError for strings that another version of this code wrote.
    """
    content = b"".join(map(base64.b64decode, packed))
    # Both, since what follows the padding of a string is not decoded.
    if {*map(len, packed)} - {_LENGTH} or len(content) != 4 * _WIDTH * len(packed):
        raise ValueError("the index was filled by another version of this program; reindex")
    rows = torch.from_numpy(np.frombuffer(content, dtype="<f4").reshape(-1, _WIDTH).copy())
    rows = rows.to(device)
    attributes = rows[:, :_COUNT]
    known = ~attributes.isnan()
    return Items(
        attributes=attributes.nan_to_num(),
        known=known,
        position=rows[:, _COUNT : _COUNT + 3],
        spacing=rows[:, _COUNT + 3],
        property_type=rows[:, _COUNT + 4].long(),
        taken=rows[:, _COUNT + 5],
        embedding=torch.from_numpy(embeddings).to(device),
        prior=rows[:, _COUNT + 6],
    )
