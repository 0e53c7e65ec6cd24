"""From a file's lines to validated rows: which column feeds which field, and what is wrong."""

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from domain.core.input_rules import OutsideInput, explain
from domain.imports.lines import Progress, open_lines
from domain.imports.report import ImportRefusedError, ImportReport, Problem, problem

Item = TypeVar("Item", bound=OutsideInput)
Values = dict[str, Any]

Row = tuple[int, Values, Item | None]
"""The line where it begins, what it gives by field, and the same validated; None if it is bad."""

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
NAMES_SHOWN = 30
NAME_LENGTH = 60
NAMES_KEPT = 1000


@dataclass(slots=True)
class RowReader(Generic[Item]):
    """Reads files of one kind of rows.

    Args:
        model: the rules of a row.
        mapping: the file's column for a field, where it has another name.
        constants: values for fields, as text, that hold for every row.
        report: receives the problems.

    Raises:
        ImportRefusedError: there is no such field, or a constant breaks a rule.
    """

    model: type[Item]
    mapping: Mapping[str, str]
    constants: Mapping[str, str]
    report: ImportReport
    columns: dict[str, str] = field(init=False)
    """The file's column of each field that is not constant."""

    def __post_init__(self) -> None:
        fields = self.model.model_fields
        for option, given in (("--map", self.mapping), ("--set", self.constants)):
            for name in given:
                if name not in fields:
                    raise ImportRefusedError(
                        f"{option} {name}={given[name]}: no such field; use one of "
                        f"{', '.join(fields)}"
                    )
        for name in self.mapping.keys() & self.constants.keys():
            raise ImportRefusedError(f"{name} is both mapped and set; do one of them")
        try:
            self.model.model_validate(dict(self.constants))
        except ValidationError as error:
            for wrong in error.errors():
                if wrong["type"] != "missing":
                    name = str(wrong["loc"][0])
                    raise ImportRefusedError(
                        f"--set {name}={self.constants[name]}: {explain(wrong)}"
                    ) from None
        self.columns = {
            name: self.mapping.get(name, name) for name in fields if name not in self.constants
        }

    def read(self, path: Path, progress: Progress) -> Iterator[Row[Item]]:
        """Yield the rows of a file one at a time. Bad ones go into the report as well.

        A name that ends in .jsonl, .ndjson or .json (before .gz) is JSON Lines, all else is CSV.

        Raises:
            ImportRefusedError: the file as a whole cannot be used.
        """
        name = path.name.lower().removesuffix(".gz")
        parse = self._json if name.endswith(JSON_SUFFIXES) else self._csv
        # The model's own validator, without the frame around it: this runs once a row.
        validate = self.model.__pydantic_validator__.validate_python
        with open_lines(path, progress) as lines:
            for line, values in parse(path, lines):
                values.update(self.constants)
                item: Item | None = None
                try:
                    item = validate(values)
                except ValidationError as error:
                    self.report.skip(self._problems(line, values, error))
                yield line, values, item

    def _problems(self, line: int, values: Values, error: ValidationError) -> Iterator[Problem]:
        for wrong in error.errors(include_url=False):
            name = str(wrong["loc"][0])
            column = self.columns.get(name, name)
            yield problem(line, column, values.get(name), explain(wrong))

    def _unreadable(self, line: int, value: object, reason: str) -> None:
        self.report.skip([problem(line, None, value, reason)])
        self.report.unidentified += 1

    def _required(self) -> list[str]:
        fields = self.model.model_fields
        return [name for name in self.columns if fields[name].is_required() or name in self.mapping]

    def _check_columns(self, path: Path, present: Collection[str]) -> None:
        for name in self._required():
            column = self.columns[name]
            if column not in present:
                hint = "" if name in self.mapping else f"; name it with --map {name}=COLUMN"
                raise ImportRefusedError(
                    f"{path}: no column {column!r}{hint}; the file has {_listed(present)}"
                )
        ignored = set(present) - set(self.columns.values())
        if ignored:
            self.report.notes.append(f"ignored columns: {_listed(sorted(ignored))}")

    def _csv(self, path: Path, lines: Iterator[str]) -> Iterator[tuple[int, Values]]:
        reader = csv.reader(lines, strict=True)
        try:
            header = [name.strip() for name in next((row for row in reader if row), [])]
        except csv.Error as error:
            raise ImportRefusedError(
                f"{path}: the header is not CSV: {_csv_reason(error)}"
            ) from None
        if not any(header):
            raise ImportRefusedError(f"{path}: the file is empty")
        self._check_columns(path, header)
        for column in self.columns.values():
            if header.count(column) > 1:
                raise ImportRefusedError(f"{path}: there are two columns {column!r}")
        names = [name for name, column in self.columns.items() if column in header]
        places = [header.index(self.columns[name]) for name in names]
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.report.read += 1
                self._unreadable(line, f"ends in line {reader.line_num}", _csv_reason(error))
                continue
            if not row:
                continue
            self.report.read += 1
            if len(row) == len(header):
                yield line, dict(zip(names, map(row.__getitem__, places), strict=True))
            else:
                amount = "few" if len(row) < len(header) else "many"
                self._unreadable(line, f"{len(row)} of {len(header)}", f"too {amount} fields")

    def _json(self, path: Path, lines: Iterator[str]) -> Iterator[tuple[int, Values]]:
        present: set[str] = set()
        used = set(self.columns.values())
        for line, content in enumerate(lines, 1):
            if content.isspace():
                continue
            self.report.read += 1
            try:
                found = from_json(content, allow_inf_nan=False)
            except ValueError:
                self._unreadable(line, content.strip(), "not JSON")
                continue
            if not isinstance(found, dict):
                self._unreadable(line, content.strip(), "not a JSON object")
                continue
            # Not all names of a file that has new ones in every line.
            present.update(found if len(present) < NAMES_KEPT else used & found.keys())
            yield (
                line,
                {name: found[column] for name, column in self.columns.items() if column in found},
            )
        if not self.report.read:
            raise ImportRefusedError(f"{path}: the file is empty")
        if present:
            self._check_columns(path, present)


def _csv_reason(error: csv.Error) -> str:
    message = str(error)
    if message.startswith("new-line"):
        return "a carriage return outside quotes"
    if "field limit" in message:
        return "a field is too long; a quote may not be closed"
    return "a quote is not closed or not doubled"


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(repr(name[:NAME_LENGTH]) for name in list(names)[:NAMES_SHOWN])
    return f"{shown} and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else shown
