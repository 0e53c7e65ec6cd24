"""What an import did, and why it left rows out."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

PROBLEM_LIMIT = 50
VALUE_LIMIT = 80


class ImportRefusedError(Exception):
    """The file as a whole cannot be imported; the message is one line that says why."""


class StrictImportError(Exception):
    """A strict import found rows to skip, so nothing is to be loaded.

    Attributes:
        report: what was found; its counts of written rows are 0.
    """

    def __init__(self, report: "ImportReport") -> None:
        super().__init__(f"{report.skipped} of {report.read} rows are bad; nothing was imported")
        self.report = report


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row was skipped.

    Attributes:
        line: where the row begins in the file, from 1.
        column: the file's name of the column; None if the whole row is to blame.
        value: the offending value, shortened.
        reason: what is wrong, and what is right; the same words for the same mistake.
    """

    line: int
    column: str | None
    value: str
    reason: str

    @property
    def kind(self) -> str:
        """What problems are counted by."""
        return f"{_printable(self.column)}: {self.reason}" if self.column else self.reason

    def __str__(self) -> str:
        if self.column is None:
            return f"line {self.line}: {self.reason}: {_printable(self.value)}"
        column, value = _printable(self.column), repr(self.value)
        return f"line {self.line}: {column} {value}: {self.reason}"


def problem(line: int, column: str | None, value: Any, reason: str) -> Problem:
    """Make a problem of a value of any type and length."""
    shown = "" if value is None else str(value)
    if len(shown) > VALUE_LIMIT:
        shown = shown[: VALUE_LIMIT - 1] + "…"
    return Problem(line, column, shown, reason)


def _printable(name: str) -> str:
    # A file's text must not reach a terminal as control characters.
    return name if name.isprintable() else repr(name)


@dataclass(slots=True)
class ImportReport:
    """The outcome of an import.

    Attributes:
        read: rows in the file, blank lines and the header aside.
        inserted: rows that were new.
        updated: rows that changed what was there.
        unchanged: valid rows that say what was known already.
        skipped: bad rows; ``read`` is the sum of these four.
        deleted: properties that a full file no longer held.
        users_created: users that interactions named and did not exist.
        by_reason: problems by column and reason. A row may have several.
        problems: the first ``PROBLEM_LIMIT`` of them, by line.
        notes: remarks on the file as a whole.
        unidentified: skipped rows of which not even the external id is known.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    deleted: int = 0
    users_created: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unidentified: int = 0

    def skip(self, found: Iterable[Problem]) -> None:
        """Count one row as skipped, for these problems."""
        self.skipped += 1
        for one in found:
            self.by_reason[one.kind] += 1
            if len(self.problems) < PROBLEM_LIMIT:
                self.problems.append(one)

    def blame(self, examples: Iterable[Problem], count: int) -> None:
        """Add a reason that was found later, for rows all over the file.

        Args:
            examples: the first ``PROBLEM_LIMIT`` of its problems.
            count: how many there are.
        """
        found = list(examples)
        if found:
            self.by_reason[found[0].kind] += count
        self.problems = sorted(self.problems + found, key=lambda one: one.line)[:PROBLEM_LIMIT]

    @property
    def valid(self) -> int:
        """Rows that were not skipped."""
        return self.read - self.skipped

    def lines(self) -> list[str]:
        """The report as plain lines of text, without control characters."""
        counts = [
            f"{self.read:,} rows read: {self.inserted:,} new, {self.updated:,} changed, "
            f"{self.unchanged:,} unchanged, {self.skipped:,} skipped"
        ]
        if self.deleted:
            counts.append(f"{self.deleted:,} properties deleted")
        if self.users_created:
            counts.append(f"{self.users_created:,} users created")
        reasons = [f"  {count:,} x {reason}" for reason, count in self.by_reason.most_common()]
        examples = [f"  {one}" for one in self.problems]
        total = self.by_reason.total()
        if total > len(examples):
            examples.append(f"  and {total - len(examples):,} more")
        return [
            *counts,
            *(f"note: {note}" for note in self.notes),
            *(["skipped, by reason:", *reasons, "where:", *examples] if self.skipped else []),
        ]
