"""What filters read of properties, as arrays: one array for each column, in the order of the rows.

Text is kept as it is, and names of few values (ZIP codes, cities, states) as numbers that stand for
them. Numbers are float64, as in the database: a bound decides alike in both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.dtypes import StringDType
from numpy.typing import NDArray

from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from ml.catalogue.growing import Growing

UNKNOWN = -1
"""Stands for a name or a flag that is missing."""

_TEXT = StringDType()
_TEXT_BYTES = 16
"""Bytes of an array's element that refers to a text; short texts lie within it."""


@dataclass(frozen=True, slots=True, eq=False)
class FilterView:
    """Columns of n rows that are never written to again.

    Attributes:
        numeric: float64 (15, n), the columns of ``NUMERIC_COLUMNS``, NaN where missing.
        property_type: int8 (n,), position in ``PropertyType``, -1 where missing.
        listing_status: int8 (n,), position in ``ListingStatus``, -1 where missing.
        listed_at: float64 (n,), seconds since 1970 UTC, NaN where missing.
        owned: bool (n,), whether an investor of the tenant made a deal on it.
        zipcode: int32 (n,), the number of the ZIP code in ``names``, -1 where missing.
        city: the same of the city.
        state: the same of the state.
        external_id: text (n,).
        words: text (n,), the words that a search looks at, each behind a space.
        names: the number of each ZIP code, city and state.
    """

    numeric: NDArray[np.float64]
    property_type: NDArray[np.int8]
    listing_status: NDArray[np.int8]
    listed_at: NDArray[np.float64]
    owned: NDArray[np.bool_]
    zipcode: NDArray[np.int32]
    city: NDArray[np.int32]
    state: NDArray[np.int32]
    external_id: NDArray[Any]
    words: NDArray[Any]
    names: dict[str, int]

    def __len__(self) -> int:
        return len(self.owned)

    def column(self, name: str) -> NDArray[np.float64]:
        """The numeric column of that name, or ``price_per_square_foot``, float64 (n,)."""
        if name == "price_per_square_foot":
            price, area = self.column("listing_price"), self.column("square_feet")
            return np.where((price >= 1) & (area >= 1), price, np.nan) / np.fmax(area, 1)
        values: NDArray[np.float64] = self.numeric[NUMERIC_COLUMNS.index(name)]
        return values

    def take(self, rows: NDArray[np.intp]) -> "FilterView":
        """The given rows, in the given order."""
        taken = {
            field.name: getattr(self, field.name)[..., rows]
            for field in fields(self)
            if field.name != "names"
        }
        return FilterView(**taken, names=self.names)


class FilterColumns:
    """The columns of all rows of a catalogue."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._arrays: dict[str, Growing[Any]] = {
            "numeric": Growing(np.float64, (len(NUMERIC_COLUMNS),), axis=1),
            "property_type": Growing(np.int8),
            "listing_status": Growing(np.int8),
            "listed_at": Growing(np.float64),
            "owned": Growing(np.bool_),
            "zipcode": Growing(np.int32),
            "city": Growing(np.int32),
            "state": Growing(np.int32),
            "external_id": Growing(_TEXT),
            "words": Growing(_TEXT),
        }
        self._text_bytes = 0

    def __len__(self) -> int:
        return len(self._arrays["owned"])

    @property
    def nbytes(self) -> int:
        """What they take of memory, up to what a dictionary of names does."""
        return sum(one.nbytes for one in self._arrays.values()) + self._text_bytes

    def append(self, properties: PropertyColumns) -> None:
        """Add rows; without labels, no filter about what those say matches them."""
        labels = properties.labels or [("", None, ())] * len(properties)
        external_ids, states, words = zip(*labels, strict=True) if labels else ((), (), ())
        texts = [" ".join(("", *some)) for some in words]
        self._extend(
            numeric=properties.numeric,
            property_type=properties.property_type,
            listing_status=properties.listing_status,
            listed_at=properties.listed_at,
            owned=properties.owners > 0,
            zipcode=self._numbers(properties.zipcode),
            city=self._numbers(properties.city),
            state=self._numbers(states),
            external_id=np.array(external_ids, dtype=_TEXT),
            words=np.array(texts, dtype=_TEXT),
        )

    def _extend(self, **rows: NDArray[Any]) -> None:
        for name, values in rows.items():
            self._arrays[name].append(values)
            if values.dtype == _TEXT:
                lengths = np.strings.str_len(values)
                self._text_bytes += int(lengths[lengths >= _TEXT_BYTES].sum())

    def _numbers(self, names: Iterable[str | None]) -> NDArray[np.int32]:
        known = self._names
        return np.array(
            [UNKNOWN if one is None else known.setdefault(one, len(known)) for one in names],
            dtype=np.int32,
        )

    def view(self, count: int) -> FilterView:
        """The first ``count`` rows; what is added later does not change them."""
        arrays = {name: values.upto(count) for name, values in self._arrays.items()}
        return FilterView(**arrays, names=self._names)

    def take(self, rows: NDArray[np.intp]) -> "FilterColumns":
        """Columns of the given rows alone, in the given order."""
        taken, view = FilterColumns(), self.view(len(self)).take(rows)
        taken._names = self._names
        taken._extend(
            **{
                name: view.numeric.T if name == "numeric" else getattr(view, name)
                for name in self._arrays
            }
        )
        return taken

    def hold(self, rows: NDArray[np.intp], properties: PropertyColumns) -> bool:
        """Whether all that a model reads of the properties is as in the rows."""
        view = self.view(len(self))
        return (
            np.array_equal(view.numeric[:, rows].T, properties.numeric, equal_nan=True)
            and np.array_equal(view.property_type[rows], properties.property_type)
            and np.array_equal(view.listing_status[rows], properties.listing_status)
            and np.array_equal(view.owned[rows], properties.owners > 0)
        )


def numbers_of(names: Sequence[str], known: dict[str, int]) -> list[int]:
    """The numbers of those of the names that any row has."""
    return [known[one] for one in names if one in known]
