"""Arrays that rows are appended to, while slices that were read before stay as they are."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

_LEAST = 64


class Growing(Generic[Scalar]):
    """An array with spare capacity along its first axis or its last.

    A slice that ``upto`` returned is never written to again: rows are added behind it, or, if the
    capacity is used up, to a larger copy of the array.
    """

    def __init__(
        self, dtype: Any, shape: tuple[int, ...] = (), *, axis: int = 0, capacity: int = 0
    ) -> None:
        """Empty.

        Args:
            dtype: of the numbers.
            shape: of a row.
            capacity: number of rows that it has room for at first.
            axis: 0 to keep rows along the first axis; 1 to keep rows, of one dimension, as columns.
        """
        self._axis = axis
        self._row = shape
        self._values: NDArray[Scalar] = np.empty(self._shape(capacity), dtype=dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the array, spare capacity included."""
        return self._values.nbytes

    def upto(self, count: int) -> NDArray[Scalar]:
        """The first ``count`` rows."""
        return self._values[:count] if self._axis == 0 else self._values[:, :count]

    def append(self, rows: NDArray[Scalar]) -> None:
        """Add rows (n, ...)."""
        until = self._count + len(rows)
        capacity = self._values.shape[self._axis]
        if until > capacity:
            values = np.empty(
                self._shape(max(until, _LEAST, capacity + capacity // 4)), self._values.dtype
            )
            kept = self.upto(self._count)
            self._values = values
            self.upto(self._count)[...] = kept
        added = slice(self._count, until)
        if self._axis == 0:
            self._values[added] = rows
        else:
            self._values[:, added] = rows.T
        self._count = until

    def _shape(self, count: int) -> tuple[int, ...]:
        return (count, *self._row) if self._axis == 0 else (*self._row, count)
