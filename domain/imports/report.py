"""What an import did, and why it left rows out."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from domain.core.input_rules import Note

PROBLEM_LIMIT = 50
PROBLEMS_SHOWN = 10
"""Problems that the text lists; JSON has ``PROBLEM_LIMIT``."""
VALUE_LIMIT = 80
EXAMPLE_LIMIT = 3
"""Examples of each kind of change."""
WORD_LIMIT = 1000
"""Distinct unknown words that are counted for a field."""
WORDS_SHOWN = 20


class ImportRefusedError(Exception):
    """The file as a whole cannot be imported; the message is one line that says why."""


class StrictImportError(Exception):
    """A strict import found bad rows or values, so nothing is to be loaded.

    Attributes:
        report: what was found; its counts of written rows are 0.
    """

    def __init__(self, report: "ImportReport") -> None:
        values = sum(tally.count for tally in report.ignored.values())
        bad = f"{report.skipped} of {report.read} rows" + (
            f" and {values} values of others" if values else ""
        )
        super().__init__(f"{bad} are bad; nothing was imported")
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
    return Problem(line, column, shortened("" if value is None else str(value)), reason)


def shortened(value: str) -> str:
    """The text, cut to ``VALUE_LIMIT`` characters."""
    return value if len(value) <= VALUE_LIMIT else value[: VALUE_LIMIT - 1] + "…"


def _printable(name: str) -> str:
    # A file's text must not reach a terminal as control characters.
    return name if name.isprintable() else repr(name)


@dataclass(frozen=True, slots=True)
class Example:
    """A value that was read in another form or left out.

    Attributes:
        line: where its row begins.
        given: the value as the file has it, shortened.
        value: what it was read as; None if that is a missing value, or if it was left out.
    """

    line: int
    given: str
    value: str | None


@dataclass(slots=True)
class Tally:
    """How many values of a column were changed or left out for one reason, with examples."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, line: int, given: Any, value: Any) -> None:
        """Count one; the examples are of different values."""
        self.count += 1
        if len(self.examples) < EXAMPLE_LIMIT:
            shown = None if value is None else shortened(str(value))
            written = "" if given is None else shortened(str(given))
            self._show(Example(line, written, shown))

    def merge(self, other: "Tally", lines: int) -> None:
        """Add what was counted in rows that follow after so many lines."""
        self.count += other.count
        for one in other.examples:
            self._show(replace(one, line=lines + one.line))

    def _show(self, example: Example) -> None:
        known = any(one.given == example.given for one in self.examples)
        if len(self.examples) < EXAMPLE_LIMIT and not known:
            self.examples.append(example)

    def shown(self, kind: str, *, changed: bool) -> str:
        """One line of text."""
        examples = ", ".join(
            f"line {one.line} {one.given!r}"
            + (f" -> {'missing' if one.value is None else repr(one.value)}" if changed else "")
            for one in self.examples
        )
        return f"  {self.count:,} x {kind}: {examples}"


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
        deleted_interactions: interactions that went with them.
        users_created: users that interactions named and did not exist.
        by_reason: problems by column and reason. A row may have several.
        problems: the first ``PROBLEM_LIMIT`` of them, by line.
        changed: values that were read in another form, by column and kind.
        ignored: optional values that were left out, by column and reason.
        unknown_words: for a field of a vocabulary, words that mean none of its values.
        format: whose names the columns have.
        dialect: how the file is written.
        mapping: the file's column or columns for each field.
        notes: remarks on the file as a whole.
        missing: parts that the file itself says are elsewhere.
        unidentified: skipped rows whose external id is unknown.
        import_id: the import as it is on record, to undo it by.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    deleted: int = 0
    deleted_interactions: int = 0
    users_created: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    changed: dict[str, Tally] = field(default_factory=dict)
    ignored: dict[str, Tally] = field(default_factory=dict)
    unknown_words: dict[str, Counter[str]] = field(default_factory=dict)
    format: str = ""
    dialect: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unidentified: int = 0
    import_id: UUID | None = None

    def take(self, line: int, column: str, note: Note) -> None:
        """Count what the gate did with a value."""
        if note.ignored:
            self.ignore(line, column, note.given, note.kind)
        else:
            self._tally(self.changed, column, note.kind).add(line, note.given, note.value)

    def ignore(self, line: int, column: str, value: Any, reason: str) -> None:
        """Count an optional value that is left out."""
        self._tally(self.ignored, column, reason).add(line, value, None)

    @staticmethod
    def _tally(tallies: dict[str, Tally], column: str, kind: str) -> Tally:
        return tallies.setdefault(f"{_printable(column)}: {kind}", Tally())

    def unknown_word(self, name: str, word: Any) -> None:
        """Count a word that means no value of the field's vocabulary."""
        counts = self.unknown_words.setdefault(name, Counter())
        shown = shortened(str(word).strip())
        if shown in counts or len(counts) < WORD_LIMIT:
            counts[shown] += 1

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

    def add(self, other: "ImportReport") -> None:
        """Add the outcome of the next rows of the same source; their lines follow on these."""
        for one in other.problems[: PROBLEM_LIMIT - len(self.problems)]:
            self.problems.append(replace(one, line=self.read + one.line))
        for mine, others in ((self.changed, other.changed), (self.ignored, other.ignored)):
            for kind, tally in others.items():
                mine.setdefault(kind, Tally()).merge(tally, self.read)
        for name, counts in other.unknown_words.items():
            known = self.unknown_words.setdefault(name, Counter())
            for word, count in counts.items():
                if word in known or len(known) < WORD_LIMIT:
                    known[word] += count
        self.by_reason.update(other.by_reason)
        self.import_id = other.import_id or self.import_id
        self.mapping |= other.mapping
        self.notes += [note for note in other.notes if note not in self.notes]
        self.missing += other.missing
        self.format, self.dialect = other.format or self.format, other.dialect or self.dialect
        self.read += other.read
        self.inserted += other.inserted
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.skipped += other.skipped
        self.deleted += other.deleted
        self.deleted_interactions += other.deleted_interactions
        self.users_created += other.users_created
        self.unidentified += other.unidentified

    @property
    def valid(self) -> int:
        """Rows that were not skipped."""
        return self.read - self.skipped

    @property
    def bad(self) -> bool:
        """Whether a row was skipped or a value left out."""
        return bool(self.skipped or self.ignored)

    def lines(self) -> list[str]:
        """The report as plain lines of text, without control characters."""
        counts = [
            f"{self.read:,} rows read: {self.inserted:,} new, {self.updated:,} changed, "
            f"{self.unchanged:,} unchanged, {self.skipped:,} skipped"
        ]
        if self.deleted:
            with_them = f", {self.deleted_interactions:,} interactions with them"
            counts.append(
                f"{self.deleted:,} properties deleted"
                f"{with_them if self.deleted_interactions else ''}"
            )
        if self.users_created:
            counts.append(f"{self.users_created:,} users created")
        reasons = [f"  {count:,} x {reason}" for reason, count in self.by_reason.most_common()]
        examples = [f"  {one}" for one in self.problems[:PROBLEMS_SHOWN]]
        total = self.by_reason.total()
        if total > len(examples):
            examples.append(f"  and {total - len(examples):,} more")
        words = [
            f"  {name}: " + ", ".join(
                f"{word!r} ({count:,})" for word, count in counts.most_common(WORDS_SHOWN)
            ) + (f" and {len(counts) - WORDS_SHOWN:,} more" if len(counts) > WORDS_SHOWN else "")
            for name, counts in self.unknown_words.items()
        ]  # fmt: skip
        return [
            *counts,
            *([f"read as {self.format}: {self.dialect}"] if self.format else []),
            *(f"  {name} <- {_printable(column)}" for name, column in self.mapping.items()),
            *(f"note: {note}" for note in (*self.notes, *self.missing)),
            *_section("read in another form:", _tallied(self.changed, changed=True)),
            *_section("values left out:", _tallied(self.ignored)),
            *_section("unknown words (--value FIELD:WORD=VALUE says what they mean):", words),
            *(["skipped, by reason:", *reasons, "where:", *examples] if self.skipped else []),
        ]


def _tallied(tallies: dict[str, Tally], *, changed: bool = False) -> list[str]:
    ordered = sorted(tallies.items(), key=lambda one: -one[1].count)
    return [tally.shown(kind, changed=changed) for kind, tally in ordered]


def _section(title: str, lines: list[str]) -> list[str]:
    return [title, *lines] if lines else []
