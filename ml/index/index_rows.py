"""What the second stage reads of a property, as one string in its point's payload.

The index thus answers with all that a request needs, in one field of each hit: nothing is encoded
again, nothing else is asked, and hundreds of hits become arrays at once. The numbers are those of
the model version that the point belongs to.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray

from ml.twin.features import ATTRIBUTE_NAMES
from ml.twin.items import Items
from ml.twin.towers import DIMENSIONS

ROW = "row2"
"""The payload field. Whoever changes what is in it renames it: what an earlier build wrote is thus
found to be outdated, and every tenant reindexed."""

_ID = 4
_COUNT = len(ATTRIBUTE_NAMES)
_POSITION = _ID + _COUNT
_EMBEDDING = _POSITION + 7
_WIDTH = _EMBEDDING + DIMENSIONS
"""Numbers of four bytes: the property's id, its attributes (NaN where unknown), position, spacing,
type, whether it is taken, prior and embedding. Three divides their bytes, so that strings can be
decoded as one, end to end."""

_LENGTH = 4 * (4 * _WIDTH // 3)
"""Characters of a string."""


class PropertyIds(Sequence[UUID]):
    """Ids as bytes in an array: hundreds of candidates are told apart, only a page is named."""

    def __init__(self, content: NDArray[np.bytes_]) -> None:
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    @overload
    def __getitem__(self, row: int) -> UUID: ...
    @overload
    def __getitem__(self, row: slice) -> "PropertyIds": ...
    def __getitem__(self, row: int | slice) -> "UUID | PropertyIds":
        """The id of a row."""
        if isinstance(row, slice):
            return PropertyIds(self._content[row])
        # NumPy takes zero bytes at the end for padding.
        return UUID(bytes=self._content[row].ljust(16, b"\0"))

    def __iter__(self) -> Iterator[UUID]:
        return (self[row] for row in range(len(self)))


class Unpacked(NamedTuple):
    """What strings say.

    Attributes:
        ids: the n properties that they are of, each once, ascending.
        items: what the second stage reads of those.
        first: (n,), the first string of each.
        row: for each string which of the properties it is of.
    """

    ids: PropertyIds
    items: Items
    first: NDArray[np.intp]
    row: NDArray[np.intp]


def pack(ids: Iterable[UUID], items: Items) -> list[str]:
    """One string for each of n properties."""
    rows = np.empty((len(items.prior), _WIDTH), dtype="<f4")
    # Bytes, not numbers: they pass through unchanged.
    subjects = b"".join([one.bytes for one in ids])
    rows[:, :_ID].view("u1")[:] = np.frombuffer(subjects, dtype="u1").reshape(-1, 4 * _ID)
    known = items.known.cpu().numpy()
    rows[:, _ID:_POSITION] = np.where(known, items.attributes.cpu().numpy(), np.nan)
    rows[:, _POSITION : _POSITION + 3] = items.position.cpu().numpy()
    for place, values in enumerate(
        (items.spacing, items.property_type, items.taken, items.prior), _POSITION + 3
    ):
        rows[:, place] = values.cpu().numpy()
    rows[:, _EMBEDDING:] = items.embedding.cpu().numpy()
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
    subjects = np.ascontiguousarray(rows[:, :_ID]).view("S16")[:, 0]
    ids, first, row = np.unique(subjects, return_index=True, return_inverse=True)
    values = torch.from_numpy(rows[first])
    attributes = values[:, _ID:_POSITION]
    known = ~attributes.isnan()
    return Unpacked(
        PropertyIds(ids),
        Items(
            attributes=attributes.nan_to_num(),
            known=known,
            position=values[:, _POSITION : _POSITION + 3],
            spacing=values[:, _POSITION + 3],
            property_type=values[:, _POSITION + 4].long(),
            taken=values[:, _POSITION + 5],
            prior=values[:, _POSITION + 6],
            embedding=values[:, _EMBEDDING:],
        ),
        first,
        row,
    )
