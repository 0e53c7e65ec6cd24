"""What the second stage reads of a property, as one string in its point's payload.

The index thus answers with all that a request needs, in one field of each hit: nothing is encoded
again, nothing else is asked, and hundreds of hits become arrays at once. The numbers are those of
the model version that the point belongs to.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.property_ids import SIZE, PropertyIds, as_bytes
from ml.twin.item_rows import EMBEDDING, WIDTH, from_rows, to_rows
from ml.twin.items import Items

ROW = "row2"
"""The payload field. Whoever changes what is in it renames it and the collections."""

_ID = SIZE // 4
_WIDTH = _ID + WIDTH
"""Numbers of four bytes: the property's id, then those of ``ml.twin.item_rows``. Three divides
their bytes, so that strings can be decoded as one, end to end."""

_LENGTH = 4 * (4 * _WIDTH // 3)
"""Characters of a string."""


class Unpacked(NamedTuple):
    """What strings say.

    Attributes:
        ids: the n properties that they are of, each once, ascending.
        items: what the second stage reads of those.
        first: (n,), the first string of each.
    """

    ids: PropertyIds
    items: Items
    first: NDArray[np.intp]


def pack(ids: Iterable[UUID], items: Items) -> list[str]:
    """One string for each of n properties."""
    rows = np.empty((len(items.prior), _WIDTH), dtype="<f4")
    # Bytes, not numbers: they pass through unchanged.
    rows[:, :_ID].view("u1")[:] = as_bytes(ids).view("u1").reshape(-1, SIZE)
    rows[:, _ID:] = to_rows(items)
    # Encoded as one and cut: see ``_WIDTH``.
    content = b2a_base64(rows.tobytes(), newline=False).decode("ascii")
    return [content[first : first + _LENGTH] for first in range(0, len(content), _LENGTH)]


def values(packed: str) -> NDArray[np.float32]:
    """The numbers of one string, without the id before them; NaN where unknown."""
    return np.frombuffer(a2b_base64(packed), dtype="<f4")[_ID:]


def unpack(packed: Sequence[str]) -> Unpacked:
    """What strings say of their properties; one may be the subject of several.

    Raises ValueError for strings that another version of this code wrote.
    """
    content = b"" if {*map(len, packed)} - {_LENGTH} else a2b_base64("".join(packed))
    if len(content) != 4 * _WIDTH * len(packed):
        raise ValueError("the index was filled by another version of this program; reindex")
    rows = np.frombuffer(content, dtype="<f4").reshape(-1, _WIDTH)
    subjects = np.ascontiguousarray(rows[:, :_ID]).view(f"S{SIZE}")[:, 0]
    ids, first = np.unique(subjects, return_index=True)
    values = rows[first, _ID:]
    return Unpacked(PropertyIds(ids), from_rows(values, values[:, EMBEDDING:]), first)
