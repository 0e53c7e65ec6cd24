"""Sources of fields: a column, or several columns whose values make one.

A source is the name of a column or one of the classes below. ``resolve`` finds it in the columns of
a file. What it makes of the values are raw values again, for the gate and the rules of the field.
Names are compared by their letters and digits alone: "Zip Code", "zip_code" and "ZIPCODE" are one.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, TypeAlias
from unicodedata import normalize

from domain.core.canonical import AREA, is_null, number, value_of

Combine: TypeAlias = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where a field's value comes from.

    Attributes:
        columns: names as the file has them.
        combine: makes one raw value of theirs, which are text or JSON values, None where absent;
            None for the value of the only column.
        how: the combination in words, for the printed mapping; it names the columns.
    """

    columns: tuple[str, ...]
    combine: Combine | None = None
    how: str = ""

    def value(self, values: Sequence[Any]) -> Any:
        """The field's raw value, of the values of ``columns``."""
        return values[0] if self.combine is None else self.combine(values)

    @property
    def text(self) -> str:
        """The source in words."""
        return self.how or self.columns[0]


class Columns:
    """The columns of a file, found by any spelling of their names."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.exact = frozenset(columns)
        self._by_key: dict[str, str] = {}
        # Sorted, so that the order of the columns decides nothing.
        for column in sorted(self.exact):
            self._by_key.setdefault(key(column), column)

    def find(self, name: str) -> str | None:
        """The column of that name, in the same spelling if there is one."""
        return name if name in self.exact else self._by_key.get(key(name))

    def any(self, names: Sequence[str]) -> bool:
        """Whether there is a column of one of the names."""
        return any(self.find(name) is not None for name in names)


_SIGNS = {"#": " number ", "$": " usd ", "%": " percent ", "\u20ac": " eur ", "\u00a3": " gbp "}
_REMARK = re.compile(r"\(\s*see\b.*", re.IGNORECASE | re.DOTALL)
_CUSTOM = re.compile(r"__c$", re.IGNORECASE)
_BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf"
_LONGEST_NAME = 1000


def key(name: str) -> str:
    """What a column's name is compared by: letters and digits, lower-case.

    "MLS#" is "mlsnumber" and "$/SQUARE FEET" is "usdsquarefeet". Left out are a byte order mark
    that was read as windows-1252, remarks such as Redfin's "URL (SEE ...)", and the "__c" of
    Salesforce's custom fields.
    """
    plain = name[:_LONGEST_NAME].strip().removeprefix(_BYTE_ORDER_MARK)
    plain = _CUSTOM.sub("", _REMARK.sub("", plain))
    for sign, meaning in _SIGNS.items():
        plain = plain.replace(sign, meaning)
    return "".join(one for one in normalize("NFKC", plain).casefold() if one.isalnum())


class Combination(ABC):
    """A source that is more than the value of one column; as text, it says what it is.

    Args:
        sources: all that it is made of.
    """

    def __init__(self, *sources: "Source") -> None:
        self.sources = sources

    @abstractmethod
    def resolve(self, columns: Columns) -> FieldSource | None:
        """The source in a file with those columns; None if it lacks what is needed."""


Source: TypeAlias = str | Combination


def names(source: Source) -> Iterator[str]:
    """The names of all columns that a source may use."""
    if isinstance(source, str):
        yield source
    else:
        for part in source.sources:
            yield from names(part)


def resolve(source: Source, columns: Columns) -> FieldSource | None:
    """Find a source in the columns of a file; None if they lack what it needs."""
    if not isinstance(source, str):
        return source.resolve(columns)
    column = columns.find(source)
    return None if column is None else FieldSource((column,))


def _placed(parts: Sequence[FieldSource]) -> tuple[tuple[int, int, Combine | None], ...]:
    """Where the values of each part begin and end among those of all, and its combination."""
    ends = tuple(accumulate(len(part.columns) for part in parts))
    starts = (0, *ends)
    return tuple((starts[n], ends[n], part.combine) for n, part in enumerate(parts))


def _combined(parts: Sequence[FieldSource | None], combine: Combine, how: str) -> FieldSource:
    """One source of several; ``combine`` gets a value for each part, None for those not there."""
    present = [part for part in parts if part is not None]
    columns = tuple(column for part in present for column in part.columns)
    if len(present) == len(parts) and all(part.combine is None for part in present):
        return FieldSource(columns, combine, how)
    placed = iter(_placed(present))
    places = [None if part is None else next(placed) for part in parts]

    def of_columns(values: Sequence[Any]) -> Any:
        found: list[Any] = []
        for place in places:
            if place is None:
                found.append(None)
                continue
            start, end, make = place
            found.append(values[start] if make is None else make(values[start:end]))
        return combine(found)

    return FieldSource(columns, of_columns, how)


class Either(Combination):
    """The first of the sources that the file has; the more specific stand first."""

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        for source in self.sources:
            if found := resolve(source, columns):
                return found
        return None

    def __str__(self) -> str:
        return ", ".join(map(str, self.sources))


class First(Combination):
    """In each row, the first value that is given and not zero, which stands for unknown."""

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        found = [resolve(source, columns) for source in self.sources]
        parts = [part for part in found if part is not None]
        if len(parts) < 2:
            return parts[0] if parts else None
        used = tuple(column for part in parts for column in part.columns)
        how = ", else ".join(part.text for part in parts)
        return FieldSource(used, partial(_first, parts=_placed(parts)), how)

    def __str__(self) -> str:
        return "; else ".join(map(str, self.sources))


def _first(values: Sequence[Any], parts: Sequence[tuple[int, int, Combine | None]]) -> Any:
    zero = None
    # Most rows give the first part, and what the others make takes time.
    for start, end, combine in parts:
        value = values[start] if combine is None else combine(values[start:end])
        if _is_given(value):
            if not _is_zero(value):
                return value
            zero = value if zero is None else zero
    return zero


def _is_zero(value: Any) -> bool:
    return not value.strip(" 0.") if isinstance(value, str) else value == 0 and value is not False


class Total(Combination):
    """The sum of counts, each worth a share; the first two are needed, others may be absent."""

    def __init__(self, *shares: tuple[Source, float]) -> None:
        super().__init__(*(source for source, _ in shares))
        self.worth = [share for _, share in shares]

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        parts = [resolve(source, columns) for source in self.sources]
        if None in parts[:2]:
            return None
        how = " + ".join(
            _weighted(part.text, share)
            for part, share in zip(parts, self.worth, strict=True)
            if part is not None
        )
        return _combined(parts, partial(_total, worth=self.worth), how)

    def __str__(self) -> str:
        return " + ".join(map(_weighted, map(_bracketed, self.sources), self.worth))


def _weighted(text: str, share: float) -> str:
    return text if share == 1 else f"{share:g} x {text}"


def _bracketed(source: Source) -> str:
    return f"({source})" if isinstance(source, Either) else str(source)


def _total(values: Sequence[Any], worth: Sequence[float]) -> Any:
    if not _is_given(values[0]):
        return None
    total = 0.0
    for value, share in zip(values, worth, strict=True):
        if _is_given(value):
            number = _number(value)
            if number is None:
                return value  # which the rules of the field refuse, so that it is reported
            total += number * share
    return total


class Joined(Combination):
    """Text of several parts with blanks between.

    Args:
        parts: the parts.
        needs: the place of the part without which the others are nothing.
        unit: the number of a flat in the building, which comes last.
    """

    def __init__(self, *parts: Source, needs: int = 0, unit: Source | None = None) -> None:
        super().__init__(*parts, *([] if unit is None else [unit]))
        self.parts, self.needs, self.unit = parts, needs, unit

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        parts = [resolve(source, columns) for source in self.parts]
        unit = None if self.unit is None else resolve(self.unit, columns)
        needed = parts[self.needs]
        if needed is None:
            return None
        texts = [part.text for part in parts if part is not None]
        if unit is not None:
            texts.append(unit.text)
        if len(texts) == 1:
            return needed
        return _combined([*parts, unit], partial(_joined, needs=self.needs), " + ".join(texts))

    def __str__(self) -> str:
        return " + ".join(map(_bracketed, self.sources))


def _joined(values: Sequence[Any], needs: int) -> Any:
    *parts, unit = map(_text, values)
    if not parts[needs]:
        return None
    joined = " ".join(part for part in parts if part)
    if not unit or _last_word(joined) == _last_word(unit):
        return joined
    return f"{joined} {unit}" if " " in unit or "#" in unit else f"{joined} #{unit}"


def _last_word(text: str) -> str:
    return text.rsplit(maxsplit=1)[-1].lstrip("#").casefold()


class PlusFour(Combination):
    """A ZIP code and its four-digit extension."""

    def __init__(self, zipcode: Source, plus4: Source) -> None:
        super().__init__(zipcode, plus4)

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        code, plus4 = (resolve(source, columns) for source in self.sources)
        if code is None or plus4 is None:
            return code
        return _combined([code, plus4], _plus_four, f"{code.text}-{plus4.text}")

    def __str__(self) -> str:
        return "-".join(map(_bracketed, self.sources))


def _plus_four(values: Sequence[Any]) -> Any:
    code, plus4 = map(_text, values)
    if not (code.isdecimal() and plus4.isdecimal() and len(code) <= 5 and 0 < len(plus4) <= 4):
        return values[0]
    return f"{code:0>5}-{plus4:0>4}"


class Parcel(Combination):
    """New York City's parcel number, of ten digits: borough, block and lot."""

    def __init__(self, borough: Source, block: Source, lot: Source) -> None:
        super().__init__(borough, block, lot)

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        parts = [resolve(source, columns) for source in self.sources]
        texts = [part.text for part in parts if part is not None]
        return _combined(parts, _parcel, " + ".join(texts)) if len(texts) == 3 else None

    def __str__(self) -> str:
        return " + ".join(map(str, self.sources))


def _parcel(values: Sequence[Any]) -> Any:
    numbers = [_number(value) for value in values]
    if not all(number is not None and number >= 0 and number.is_integer() for number in numbers):
        return None
    borough, block, lot = (int(number or 0) for number in numbers)
    return f"{borough}{block:05}{lot:04}"


_UNITS = {key(unit): worth for unit, worth in AREA.items() if unit}
"""Square feet in a unit of area, by ``key``."""


class Area(Combination):
    """An area in square feet.

    Args:
        area: the area.
        unit: the source of its unit.
        default: the unit where none is given. Without a default such an area is missing.
    """

    def __init__(self, area: Source, unit: Source | None = None, default: str = "") -> None:
        super().__init__(area, *([] if unit is None else [unit]))
        self.area, self.unit, self.default = area, unit, default

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        area = resolve(self.area, columns)
        unit = None if self.unit is None else resolve(self.unit, columns)
        if area is None or not (unit or self.default):
            return None
        if unit is None and _UNITS[key(self.default)] == 1:
            return area
        how = f"{area.text} in {unit.text if unit else self.default}"
        return _combined([area, unit], partial(_area, default=self.default), how)

    def __str__(self) -> str:
        units = [str(self.unit)] if self.unit else []
        units += [self.default] if self.default else []
        return f"{_bracketed(self.area)} in {', else '.join(units)}"


def _area(values: Sequence[Any], default: str) -> Any:
    area, unit = values
    named = _text(unit) if _is_given(unit) else default
    if not _is_given(area) or not named:
        return None
    number, worth = _number(area), _UNITS.get(key(named))
    if number is not None and worth is not None:
        return area if worth == 1 else round(number * worth, 2)
    # Text may name its unit itself; the rules of the field read or refuse the rest.
    written = _text(area)
    return written if any(one.isalpha() for one in written) else f"{written} {named}"


class Percent(Combination):
    """A rate in per cent, as a fraction.

    Args:
        rate: the rate.
        above: rates up to this are fractions already.
    """

    def __init__(self, rate: Source, above: float = 0.0) -> None:
        super().__init__(rate)
        self.rate, self.above = rate, above

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        rate = resolve(self.rate, columns)
        if rate is None:
            return None
        return _combined([rate], partial(_percent, above=self.above), self._how(rate.text))

    def __str__(self) -> str:
        return self._how(_bracketed(self.rate))

    def _how(self, rate: str) -> str:
        return f"{rate} / 100" + (f" where above {self.above:g}" if self.above else "")


def _percent(values: Sequence[Any], above: float) -> Any:
    number = _number(values[0])
    if number is None or abs(number) <= above:
        return values[0]
    return round(number / 100, 12)


class Unless(Combination):
    """A source whose name means something else in a file that has one of certain columns.

    Args:
        source: the source.
        others: those columns.
    """

    def __init__(self, source: Source, *others: str) -> None:
        super().__init__(source)
        self.source, self.others = source, others

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        return None if columns.any(self.others) else resolve(self.source, columns)

    def __str__(self) -> str:
        return f"{self.source} (not beside {', '.join(self.others)})"


class Beside(Combination):
    """A source whose name says what it is only in a file that has one of certain columns.

    Args:
        source: the source.
        others: those columns.
    """

    def __init__(self, source: Source, *others: str) -> None:
        super().__init__(source)
        self.source, self.others = source, others

    def resolve(self, columns: Columns) -> FieldSource | None:
        """See ``Combination``."""
        return resolve(self.source, columns) if columns.any(self.others) else None

    def __str__(self) -> str:
        return f"{self.source} (beside {', '.join(self.others)})"


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and is_null(value))


def _text(value: Any) -> str:
    """A value as text; empty for a missing one, and 12 for 12.0."""
    if not _is_given(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(str(value).split())


_LARGEST = 1e15


def _number(value: Any) -> float | None:
    """A number, or text that is one; else None."""
    found = None if isinstance(value, bool) else value_of(number(value))
    return float(found) if isinstance(found, int | float) and abs(found) < _LARGEST else None
