"""What a source of an import hands out: rows by column, not yet validated."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that could not be read.

    Attributes:
        value: what was found, for the report.
        reason: what is wrong with it; the same words for the same mistake.
    """

    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Records:
    """The rows of a source, read while they are iterated.

    Attributes:
        columns: for CSV the header, without blanks around its names, where a name may occur twice
            and then gives the last of its values; for JSON the names that occur in the first
            ``json_records.AHEAD_RECORDS`` records, in order of appearance. A later record may
            have others.
        rows: the line where a row begins, or the number of a record, from 1; and its values by
            column. Values of CSV are text; those of JSON are what JSON has.
        dialect: what was found, for the report, e.g. "CSV, semicolons, windows-1252".
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, dict[str, Any] | Unreadable]]
    dialect: str
