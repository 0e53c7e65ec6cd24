"""An inverted index of the words of rows: which rows have a word that begins with some letters.

Words are kept once, however many rows have them. Rows are appended and never change. What is
appended is a list of pairs of word and row, which are compared one by one, until ``take`` sorts
them by word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.growing import Growing

_ROW_BITS = np.int64(32)
_ROW = np.int64(2**32 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class WordsView:
    """The words of n rows at one moment. Nothing written later changes them.

    Attributes:
        text: uint8, the words in UTF-8, one after the other.
        bounds: int64 (w + 1,), where in ``text`` each of w words begins, and where the last ends.
            A word may be there more than once.
        rows: int32, the rows of the first words, word after word.
        firsts: int32 (v + 1,), where in ``rows`` the rows of each of the first v words begin.
        pairs: int64, of further rows: the place of a word, times 2 ** 32, plus the row.
    """

    text: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    rows: NDArray[np.int32]
    firsts: NDArray[np.int32]
    pairs: NDArray[np.int64]

    def with_prefix(self, prefix: str, count: int) -> NDArray[np.bool_]:
        """Which of the first ``count`` rows have a word that begins with ``prefix``."""
        found = np.zeros(count, dtype=np.bool_)
        words = self._words(prefix.encode())
        found[self.rows[places(self.firsts, words[words < len(self.firsts) - 1])]] = True
        if len(self.pairs):
            wanted = np.zeros(len(self.bounds) - 1, dtype=np.bool_)
            wanted[words] = True
            found[self.pairs[wanted[self.pairs >> _ROW_BITS]] & _ROW] = True
        return found

    def _words(self, prefix: bytes) -> NDArray[np.intp]:
        """The places of the words that begin so, ascending."""
        starts = self.bounds[:-1]
        words = np.flatnonzero(self.bounds[1:] - starts >= len(prefix))
        for ahead, letter in enumerate(prefix):
            words = words[self.text[starts[words] + ahead] == letter]
        return words


class Words:
    """The words of rows. One thread at a time may append, while any thread reads views."""

    def __init__(self) -> None:
        self._text: Growing[np.uint8] = Growing(np.uint8)
        self._ends: Growing[np.int64] = Growing(np.int64)
        self._ends.append(np.zeros(1, dtype=np.int64))
        # Eight bytes tell words apart: one in 2 ** 64 pairs of words shares a hash.
        self._hashes: Growing[np.int64] = Growing(np.int64)
        self._pairs: Growing[np.int64] = Growing(np.int64)
        self._rows: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._firsts: NDArray[np.int32] = np.zeros(1, dtype=np.int32)
        self._count = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, spare room included."""
        growing = (self._text, self._ends, self._hashes, self._pairs)
        return sum(one.nbytes for one in (*growing, self._rows, self._firsts))

    def append(self, words: Sequence[Sequence[str]]) -> None:
        """Adds rows at the end, each with its words."""
        known = len(self._hashes)
        place_of: dict[str, int] = {}
        found = [
            place_of.setdefault(word, known + len(place_of)) for some in words for word in some
        ]
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        rows = np.repeat(np.arange(self._count, self._count + len(words)), lengths)
        encoded = [word.encode() for word in place_of]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        hashes = np.fromiter(map(hash, place_of), np.int64, len(place_of))
        self._pairs.append((np.array(found, dtype=np.int64) << _ROW_BITS) + rows)
        self._ends.append(self._ends.upto(known + 1)[-1] + ends)
        self._text.append(np.frombuffer(b"".join(encoded), dtype=np.uint8))
        self._hashes.append(hashes)
        self._count += len(words)

    def take(self, rows: NDArray[np.intp]) -> "Words":
        """New words of the given rows in the given order, sorted for searches."""
        view = self.view()
        row_of = np.full(self._count, -1, dtype=np.int64)
        row_of[rows] = np.arange(len(rows))
        # Of words that are kept several times, the first is kept on.
        _, first, same = np.unique(
            self._hashes.upto(len(self._hashes)), return_index=True, return_inverse=True
        )
        words = np.repeat(np.arange(len(view.firsts) - 1), np.diff(view.firsts))
        pairs = np.concatenate(((words << _ROW_BITS) + view.rows, view.pairs))
        now = row_of[pairs & _ROW]
        pairs = ((same[pairs >> _ROW_BITS] << _ROW_BITS) + now)[now >= 0]
        pairs.sort()
        used, counts = np.unique(pairs >> _ROW_BITS, return_counts=True)
        taken = Words()
        taken._count = len(rows)
        taken._rows = (pairs & _ROW).astype(np.int32)
        taken._firsts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        kept = first[used]
        taken._hashes.append(self._hashes.upto(len(self._hashes))[kept])
        taken._ends.append(np.cumsum(view.bounds[kept + 1] - view.bounds[kept]))
        taken._text.append(view.text[places(view.bounds, kept)])
        return taken

    def view(self) -> WordsView:
        """All rows, as they are now."""
        bounds = self._ends.upto(len(self._ends))
        return WordsView(
            self._text.upto(int(bounds[-1])),
            bounds,
            self._rows,
            self._firsts,
            self._pairs.upto(len(self._pairs)),
        )


def places(bounds: NDArray[np.signedinteger], chosen: NDArray[np.intp]) -> NDArray[np.int64]:
    """The places between the bounds of each chosen one and of the next, one after the other."""
    starts = bounds[chosen].astype(np.int64)
    lengths = bounds[chosen + 1] - starts
    ends = np.cumsum(lengths)
    found: NDArray[np.int64] = np.arange(lengths.sum()) - np.repeat(
        ends - lengths - starts, lengths
    )
    return found
