"""What a source of an import yields: rows by column, not yet validated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

ABSENT = object()
"""Stands for a value that a record does not have, not even as a blank one."""

Record: TypeAlias = Sequence[Any]
"""The values of a row, in the order of the columns."""


def in_order(columns: Sequence[str], values: Mapping[str, Any]) -> Record:
    """The values of those columns, or ``ABSENT``."""
    return [values.get(column, ABSENT) for column in columns]


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
        columns: for CSV the header, without blanks around its names, where a name may occur twice;
            for JSON the names that occur in its records, in order of appearance.
        rows: the line where a row begins, or the number of a record, from 1; and its values in
            the order of the columns. Values of CSV are text; those of JSON are what JSON has.
        dialect: what was found, for the report, e.g. "CSV, semicolons, windows-1252".
        missing: parts that the source says exist elsewhere; complete once all rows were read.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Record | Unreadable]]
    dialect: str
    missing: list[str] = field(default_factory=list)
