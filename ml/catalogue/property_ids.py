"""Ids of properties as bytes in an array: a UUID is made only of those that are read."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import overload
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

SIZE = 16
"""Bytes of an id."""


class PropertyIds(Sequence[UUID]):
    """Property ids; a UUID is made when one is read."""

    def __init__(self, content: NDArray[np.bytes_]) -> None:
        """``content``: S16 (n,)."""
        self.content = content

    def __len__(self) -> int:
        return len(self.content)

    @overload
    def __getitem__(self, row: int) -> UUID: ...
    @overload
    def __getitem__(self, row: slice) -> "PropertyIds": ...
    def __getitem__(self, row: int | slice) -> "UUID | PropertyIds":
        """The id of a row."""
        if isinstance(row, slice):
            return PropertyIds(self.content[row])
        # NumPy takes zero bytes at the end for padding and drops them.
        return UUID(bytes=self.content[row].ljust(SIZE, b"\0"))

    def __iter__(self) -> Iterator[UUID]:
        return (self[row] for row in range(len(self)))


def as_bytes(ids: Iterable[UUID]) -> NDArray[np.bytes_]:
    """The ids as S16 (n,), which sort like the ids."""
    return np.frombuffer(b"".join([one.bytes for one in ids]), dtype=f"S{SIZE}")


class RowsById:
    """Finds rows by id among sorted ids: by the first eight bytes, then by the rest."""

    def __init__(self, ids: NDArray[np.bytes_]) -> None:
        """``ids``: S16 (n,), ascending and distinct."""
        self._ids = ids
        self._heads = heads(ids)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes besides the ids."""
        return self._heads.nbytes

    def find(self, ids: Collection[UUID]) -> NDArray[np.intp]:
        """The row of each id, -1 where it is absent."""
        wanted = as_bytes(ids)
        if not len(self._ids) or not len(wanted):
            return np.full(len(wanted), -1, dtype=np.intp)
        wanted_heads = heads(wanted)
        rows = np.minimum(np.searchsorted(self._heads, wanted_heads), len(self._ids) - 1)
        same = self._ids[rows] == wanted
        if not same.all():
            for place in np.flatnonzero(~same & (self._heads[rows] == wanted_heads)).tolist():
                # Several ids begin with these eight bytes: it is one of those that follow, if any.
                end = np.searchsorted(self._heads, wanted_heads[place], side="right")
                (found,) = np.nonzero(self._ids[rows[place] : end] == wanted[place])
                if len(found):
                    rows[place] += found[0]
                    same[place] = True
            rows[~same] = -1
        return rows


def heads(ids: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """The first eight bytes of each id, as a number."""
    return ids.view(">u8")[::2].astype(np.uint64)
