"""What filters read of a tenant's properties, as one array for each column.

With ``confidence`` it covers all that a model reads, so a row shows whether a property changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.filters import RANGES
from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from ml.catalogue.words import Words, WordsView

NUMBERS: tuple[str, ...] = (*RANGES.values(), "latitude", "longitude", "listed_at", "confidence")
"""The columns of numbers, NaN where missing: float64, as PostgreSQL compares them."""

CODED: tuple[str, ...] = ("zipcode", "city", "state")
"""The columns of text that many properties share: each text is kept once."""

UNKNOWN = -1
"""The code of a missing value."""

_TYPES: dict[str, type[np.generic]] = {
    **dict.fromkeys(NUMBERS, np.float64),
    **dict.fromkeys(CODED, np.int32),
    "external_id": np.int64,
    "property_type": np.int8,
    "listing_status": np.int8,
    "renovation_needed": np.int8,
    "owned": np.bool_,
    "owners": np.int32,
    "fingerprint": np.uint64,
}
_FINGERPRINTED = len(NUMERIC_COLUMNS) + 4
"""Number of values that a fingerprint is made of: all that a model reads."""

_FACTORS = np.random.default_rng(0).integers(0, 2**64, _FINGERPRINTED, dtype=np.uint64) | np.uint64(
    1
)
_GROWTH = 1.25
"""A full array is replaced by one larger by this factor, so appending a row takes constant time."""


@dataclass(frozen=True, slots=True, eq=False)
class FilterView:
    """The filter columns of n properties at one moment. Nothing written later changes them.

    Attributes:
        columns: arrays (n,) by name: float64 for ``NUMBERS``, NaN where missing; int32 codes for
            ``CODED``; int8 ``property_type`` and ``listing_status``, positions in the vocabulary,
            and ``renovation_needed``; bool ``owned``, int32 ``owners``; int64 ``external_id``, the
            hash of the external id in this process; uint64 ``fingerprint``, a hash of all that a
            model reads. A missing value has the code ``UNKNOWN``.
        codes: for each of ``CODED`` the code of each text; may hold texts that no row has.
        texts: for each of ``CODED`` the text of each code.
        words: which rows have which words.
    """

    columns: Mapping[str, NDArray[Any]]
    codes: Mapping[str, Mapping[str, int]]
    texts: Mapping[str, Sequence[str]]
    words: WordsView

    def __len__(self) -> int:
        return len(self.columns["owners"])

    def at(self, rows: NDArray[np.intp]) -> "FilterView":
        """The given rows in the given order, without their words."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return FilterView(columns, self.codes, self.texts, Words().view())

    def hold(self, rows: NDArray[np.intp], properties: PropertyColumns) -> bool:
        """Whether the rows have the values of n properties, as far as a model reads them."""
        return np.array_equal(self.columns["fingerprint"][rows], _fingerprint(properties))

    def properties(self, rows: NDArray[np.intp], ids: Sequence[UUID]) -> PropertyColumns:
        """The properties of the rows, without labels; ``ids`` are those of the rows."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        needed = columns["renovation_needed"]
        columns["renovation_needed"] = np.where(needed == UNKNOWN, np.nan, needed)
        # The code of a missing value is -1, which indexes the last element.
        texts = {name: (*self.texts[name], None) for name in ("zipcode", "city")}
        return PropertyColumns(
            ids=tuple(ids),
            numeric=np.stack([columns[name] for name in NUMERIC_COLUMNS], axis=1),
            property_type=columns["property_type"],
            listing_status=columns["listing_status"],
            zipcode=tuple([texts["zipcode"][code] for code in columns["zipcode"].tolist()]),
            city=tuple([texts["city"][code] for code in columns["city"].tolist()]),
            listed_at=columns["listed_at"],
            owners=columns["owners"],
        )


class FilterColumns:
    """The filter columns of a tenant's properties: rows are appended and never change.

    One thread at a time may append, while any thread reads views.
    """

    def __init__(self, capacity: int = 0) -> None:
        """Makes room for ``capacity`` rows; with more rows the arrays grow."""
        self._count = 0
        self._columns = {name: np.empty(capacity, dtype=kind) for name, kind in _TYPES.items()}
        self._codes: dict[str, dict[str, int]] = {name: {} for name in CODED}
        self._texts: dict[str, list[str]] = {name: [] for name in CODED}
        self._words = Words()

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, spare room included, without ``codes`` and ``texts``."""
        return self._words.nbytes + sum(array.nbytes for array in self._columns.values())

    def append(self, properties: PropertyColumns) -> None:
        """Adds rows at the end.

        Raises:
            ValueError: the properties have no labels.
        """
        if len(properties.labels) != len(properties):
            raise ValueError(
                f"{len(properties)} properties with {len(properties.labels)} labels: filters need "
                "the labels; read the properties with them"
            )
        first, last = self._count, self._count + len(properties)
        if first == last:
            return
        for name, values in self._values(properties):
            column = self._columns[name] = _with_room(self._columns[name], first, last)
            column[first:last] = values
        self._words.append([one.words for one in properties.labels])
        self._count = last

    def take(self, rows: NDArray[np.intp]) -> "FilterColumns":
        """New columns of the given rows in the given order, without room for more."""
        taken = FilterColumns(len(rows))
        taken._count = len(rows)
        for name, column in self._columns.items():
            taken._columns[name] = column[rows]
        for name in CODED:
            # Texts that no row uses any more are left out.
            used, codes = np.unique(taken._columns[name], return_inverse=True)
            known = used != UNKNOWN
            taken._texts[name] = [self._texts[name][code] for code in used[known]]
            taken._codes[name] = {text: code for code, text in enumerate(taken._texts[name])}
            taken._columns[name][:] = codes - np.count_nonzero(~known)
        taken._words = self._words.take(rows)
        return taken

    def settle(self) -> None:
        """Prepares for searches after many rows were appended."""
        self._words = self._words.take(np.arange(self._count))

    def view(self) -> FilterView:
        """All rows, as they are now."""
        return FilterView(
            {name: column[: self._count] for name, column in self._columns.items()},
            self._codes,
            self._texts,
            self._words.view(),
        )

    def _values(self, properties: PropertyColumns) -> Iterable[tuple[str, Any]]:
        yield from _plain_values(properties)
        labels, count = properties.labels, len(properties)
        # Eight bytes instead of a string: one in 2 ** 64 pairs of ids shares a hash.
        yield "external_id", np.fromiter((hash(one.external_id) for one in labels), np.int64, count)
        yield "zipcode", self._coded("zipcode", properties.zipcode)
        yield "city", self._coded("city", properties.city)
        yield "state", self._coded("state", [one.state for one in labels])

    def _coded(self, name: str, texts: Iterable[str | None]) -> list[int]:
        codes, known = self._codes[name], self._texts[name]
        found = [UNKNOWN if text is None else codes.setdefault(text, len(codes)) for text in texts]
        known += list(codes)[len(known) :]
        return found


def _plain_values(properties: PropertyColumns) -> Iterable[tuple[str, NDArray[Any]]]:
    """The columns that are not coded."""
    for name in NUMBERS:
        yield name, properties.listed_at if name == "listed_at" else properties.column(name)
    yield "property_type", properties.property_type
    yield "listing_status", properties.listing_status
    needed = properties.column("renovation_needed")
    yield "renovation_needed", np.where(np.isnan(needed), UNKNOWN, needed != 0).astype(np.int8)
    yield "owned", properties.owners > 0
    yield "owners", properties.owners
    yield "fingerprint", _fingerprint(properties)


def _fingerprint(properties: PropertyColumns) -> NDArray[np.uint64]:
    """A hash for each property: equal, but for collisions, if a model reads the same values."""
    values = np.concatenate(
        (
            properties.numeric,
            np.stack(
                (
                    properties.property_type,
                    properties.listing_status,
                    properties.listed_at,
                    properties.owners > 0,
                ),
                axis=1,
            ),
        ),
        axis=1,
    )
    # Both zeros get the same bits, and so do all NaN.
    values = np.where(np.isnan(values), np.nan, values + 0.0)
    bits = values.view(np.uint64)
    # The low bits of most numbers are 0: the high bits are folded into them, so that all count.
    found: NDArray[np.uint64] = ((bits ^ (bits >> np.uint64(29))) * _FACTORS).sum(axis=1)
    return found


def _with_room(array: NDArray[Any], used: int, wanted: int) -> NDArray[Any]:
    """The array, or a larger copy if it has no room for the wanted length."""
    if wanted <= len(array):
        return array
    larger = np.empty(max(wanted, int(len(array) * _GROWTH)), dtype=array.dtype)
    larger[:used] = array[:used]
    return larger
