"""From a source's records to validated rows: which column feeds which field, and what is wrong."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from domain.core import canonical
from domain.core.input_rules import Gate, Note, OutsideInput, explain
from domain.imports import formats
from domain.imports.batches import WholeColumns
from domain.imports.formats import FieldSource, Noun
from domain.imports.options import ImportOptions
from domain.imports.records import ABSENT, Record, Records, Unreadable
from domain.imports.report import ImportRefusedError, ImportReport, Problem, problem
from domain.imports.sources import Source
from domain.imports.texts import Progress

Item = TypeVar("Item", bound=OutsideInput)
Values = dict[str, Any]

BATCH = 256
"""Rows that are validated at a time."""


class Row(NamedTuple):
    """A row of a source.

    Attributes:
        line: where it begins.
        given: the fields that it sets.
        values: the values of all fields of the model, in their order; None if the row is bad.
        raw: what a bad row gave, by field.
    """

    line: int
    given: frozenset[str]
    values: tuple[Any, ...] | None
    raw: Values | None = None


NAMES_SHOWN = 30
NAME_LENGTH = 60


class Plan:
    """Takes the values of fields out of records.

    Args:
        sources: the columns of each field.
        columns: the names of a record's values, in their order.
        constants: values that every row has.
    """

    def __init__(
        self,
        sources: Mapping[str, FieldSource],
        columns: Sequence[str],
        constants: Mapping[str, str],
    ) -> None:
        self._sources = [
            (name, [columns.index(column) for column in one.columns], one.combine)
            for name, one in sources.items()
        ]
        self._constants = constants

    def values(self, record: Record) -> Values:
        """The values of the fields that the record gives."""
        values: Values = {}
        for name, places, combine in self._sources:
            given = [record[place] for place in places]
            if combine is None:
                values[name] = given[0]
            elif any(value is not ABSENT for value in given):
                values[name] = combine([None if value is ABSENT else value for value in given])
            else:
                values[name] = ABSENT
        return {
            **{name: value for name, value in values.items() if value is not ABSENT},
            **self._constants,
        }

    def columns(self, records: Sequence[Record]) -> dict[str, Sequence[Any]] | None:
        """The values of each field; None unless all records give the same fields."""
        turned = list(zip(*records, strict=True))
        columns: dict[str, Sequence[Any]] = {}
        for name, places, combine in self._sources:
            given = [turned[place] for place in places] if turned else []
            if any(ABSENT in column for column in given):
                return None
            if combine is None:
                columns[name] = given[0] if given else ()
            else:
                columns[name] = list(map(combine, zip(*given, strict=True)))
        constants = {name: (value,) * len(records) for name, value in self._constants.items()}
        return columns | constants


@dataclass(slots=True)
class RowReader(Generic[Item]):
    """Reads sources of one kind of rows.

    Args:
        noun: what the rows are.
        model: the rules of a row.
        options: how to read.
        report: receives the mapping and the problems.

    Raises:
        ImportRefusedError: the options name no such field or value, or a constant breaks a rule.
    """

    noun: Noun
    model: type[Item]
    options: ImportOptions
    report: ImportReport
    columns: dict[str, str] = field(init=False, default_factory=dict)
    """The source's column or columns for each field that is not constant."""

    def __post_init__(self) -> None:
        fields, options = self.model.model_fields, self.options
        asked = {f"--map {name}={column}": name for name, column in options.mapping.items()}
        asked |= {f"--set {name}={value}": name for name, value in options.constants.items()}
        asked |= {f"--value {name}": name for name in options.words}
        for option, name in asked.items():
            if name not in fields:
                raise ImportRefusedError(f"{option}: no such field; use one of {', '.join(fields)}")
        for name in options.mapping.keys() & options.constants.keys():
            raise ImportRefusedError(f"{name} is both mapped and set; do one of them")
        for name, value in options.constants.items():
            self._check_value(name, value, f"--set {name}={value}")
        for name, words in options.words.items():
            for word, value in words.items():
                self._check_value(name, value, f"--value {name}:{word}={value}")

    def _check_value(self, name: str, value: str, option: str) -> None:
        try:
            self.model.model_validate({name: value})
        except ValidationError as error:
            for wrong in error.errors():
                if wrong["loc"] == (name,):
                    raise ImportRefusedError(f"{option}: {explain(wrong)}") from None

    def read(self, source: Source, progress: Progress) -> Iterator[Row]:
        """Yield the rows of a source one at a time. Bad ones go into the report as well.

        Raises:
            ImportRefusedError: the source as a whole cannot be used.
        """
        report = self.report
        with source.open(progress, report.notes.append) as records:
            plan, gate = self._recognise(source, records)
            whole = None if gate.words or gate.keep_blank else WholeColumns(self.model)
            while batch := list(islice(records.rows, BATCH)):
                report.read += len(batch)
                yield from self._validate(list(self._readable(batch)), plan, gate, whole)
            report.missing.extend(records.missing)

    def _readable(
        self, batch: list[tuple[int, Record | Unreadable]]
    ) -> Iterator[tuple[int, Record]]:
        for line, record in batch:
            if isinstance(record, Unreadable):
                self.report.skip([problem(line, None, record.value, record.reason)])
                self.report.unidentified += 1
            else:
                yield line, record

    def _validate(
        self, batch: list[tuple[int, Record]], plan: Plan, gate: Gate, whole: WholeColumns | None
    ) -> Iterator[Row]:
        columns = plan.columns([record for _, record in batch]) if whole else None
        found = whole.validate(columns, len(batch)) if whole and columns else None
        for place, (line, record) in enumerate(batch):
            if found and (valid := found.rows[place]):
                self._take(line, found.notes.get(place, ()))
                yield Row(line, found.given, valid)
            else:
                yield self._alone(line, plan.values(record), gate)

    def _alone(self, line: int, values: Values, gate: Gate) -> Row:
        """Validate one row; what the gate did, and what is wrong, goes into the report."""
        item: Item | None
        try:
            item = self.model.model_validate(values, context=gate)
        except ValidationError as error:
            gate.notes.clear()
            item = self._without_bad(line, values, error, gate)
        # As the file has it: one rule may have read the value before another.
        self._take(line, (note._replace(given=values.get(note.field)) for note in gate.notes))
        gate.notes.clear()
        if item is None:
            return Row(line, frozenset(), None, values)
        return Row(line, frozenset(item.model_fields_set), tuple(item.__dict__.values()))

    def _take(self, line: int, notes: Iterable[Note]) -> None:
        for note in notes:
            self.report.take(line, self.columns.get(note.field, note.field), note)

    def _without_bad(
        self, line: int, values: Values, error: ValidationError, gate: Gate
    ) -> Item | None:
        """The row without its bad optional values; None if a required one is bad."""
        wrong = error.errors(include_url=False)
        bad = {str(one["loc"][0]) for one in wrong}
        fields = self.model.model_fields
        if any(fields[name].is_required() for name in bad if name in fields):
            self.report.skip(self._problems(line, values, error))
            return None
        for one in wrong:
            name = str(one["loc"][0])
            self.report.ignore(line, self.columns.get(name, name), values.get(name), explain(one))
            if one["type"] == "enum":
                self.report.unknown_word(name, values.get(name))
        for group in self.model.together:
            if bad & set(group):
                bad |= set(group)
        good = {name: value for name, value in values.items() if name not in bad}
        return self.model.model_validate(good, context=gate)

    def _problems(self, line: int, values: Values, error: ValidationError) -> Iterator[Problem]:
        for wrong in error.errors(include_url=False):
            name = str(wrong["loc"][0])
            column = self.columns.get(name, name)
            yield problem(line, column, values.get(name), explain(wrong))

    def _recognise(self, source: Source, records: Records) -> tuple[Plan, Gate]:
        """Which column feeds which field, for the report as well; and how the source writes."""
        options, report = self.options, self.report
        found = formats.recognise(self.noun, records.columns, format=options.format)
        chosen = dict(found.fields)
        for name, column in options.mapping.items():
            chosen[name] = FieldSource((self._column(source, records, column),))
        chosen = {
            name: chosen[name]
            for name in self.model.model_fields
            if name in chosen and name not in options.constants
        }
        for name, rules in self.model.model_fields.items():
            if rules.is_required() and name not in chosen and name not in options.constants:
                raise ImportRefusedError(
                    f"{source.name}: no column {name!r}; name it with --map {name}=COLUMN; "
                    f"the file has {_listed(records.columns)}"
                )
        used = {column for one in chosen.values() for column in one.columns}
        for column in used:
            if records.columns.count(column) > 1:
                raise ImportRefusedError(f"{source.name}: there are two columns {column!r}")
        self.columns = {name: " + ".join(one.columns) for name, one in chosen.items()}
        report.format, report.dialect = found.format, records.dialect
        report.mapping = {name: one.text for name, one in chosen.items()} | {
            name: f"{value!r} (set)" for name, value in options.constants.items()
        }
        if ignored := [column for column in records.columns if column and column not in used]:
            report.notes.append(f"ignored columns: {_listed(sorted(ignored))}")
        gate = Gate(
            date_order=options.date_order or found.date_order,
            words={
                name: {canonical.word(word): value for word, value in words.items()}
                for name, words in options.words.items()
            },
            keep_blank=options.keep_blank,
        )
        return Plan(chosen, records.columns, options.constants), gate

    def _column(self, source: Source, records: Records, wanted: str) -> str:
        for column in records.columns:
            if column == wanted:
                return column
        for column in records.columns:
            if column.casefold() == wanted.strip().casefold():
                return column
        raise ImportRefusedError(
            f"{source.name}: no column {wanted!r}; the file has {_listed(records.columns)}"
        )


def guess_noun(source: Source, options: ImportOptions) -> Noun:
    """What a source holds: interactions if its columns name a property, a user, a kind and a time.

    Raises:
        ImportRefusedError: the source as a whole cannot be used.
    """
    with source.open(lambda _done, _size: None, lambda _note: None) as records:
        found = formats.recognise("interactions", records.columns, format=options.format).fields
    needed = {"property", "user", "kind", "occurred_at"}
    return (
        "interactions" if needed <= {*found, *options.mapping, *options.constants} else "properties"
    )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(repr(name[:NAME_LENGTH]) for name in list(names)[:NAMES_SHOWN])
    return f"{shown} and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else shown
