"""Rows of CSV as spreadsheets and portals write it.

Which rows are remarks, and not data, is decided so that no data is left out:

- A row without a value is blank.
- Above the header, rows with a single value of several words are remarks, and so are rows of such
  values if the header has at least twice as many.
- Below it, in a file of several columns, a row with a single value is a remark if the value reads
  as a sentence ("Some listings are not included in the download") or a count ("Total: 312"). A row
  of the header's full width must read so beyond doubt, for an id may have several words. A shorter
  row may be such a sentence with separators in it.
- A row whose first value is "Total" is a remark if at least a third of its fields are empty.

Any other row of the wrong width is unreadable, not a remark, so the report shows it.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from domain.imports.records import Record, Records, Unreadable
from domain.imports.report import ImportRefusedError
from domain.imports.texts import BLANK_LINES, Remark, TextFile

if TYPE_CHECKING:
    from _csv import Reader

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
SAMPLE = 50
"""Rows that the separator is detected by."""

ROW_LIMIT = 1 << 20
SHOWN = 60

# What Excel itself writes and reads: sep=;
_DECLARATION = re.compile(r'"?sep=([,;|:^~\t])"?\s*', re.IGNORECASE)
_TOTAL = re.compile(r"(grand |sub)?totals?:?", re.IGNORECASE)
_COUNT = re.compile(
    r"(grand |sub)?totals?\b[^a-z]*"
    r"|(total )?[\d,.]+ (rows|records|listings|results|properties|homes)( found| total)?\.?"
    r"|(records|rows|listings|results|count)\s*[:=]\s*[\d,.]+"
    r"|end of (file|report|data|list)\.?"
    r"|(generated|exported|downloaded|created) (on|at|by|from) .+"
    r"|(source|disclaimer|note|copyright)\s*: .+|(copyright|©|\(c\)) .+"
    r"|.*\b(all rights reserved|not guaranteed|mls rules)\b.*",
    re.IGNORECASE | re.DOTALL,
)


def read_csv(text: TextFile, note: Remark) -> Records:
    """Find the separator and the header of a CSV file. Rows are read as they are taken.

    Blanks around a quoted field do not belong to it, nor do blanks before any other field.

    Args:
        text: the file.
        note: called after the rows, with how many were blank and which were remarks.

    Raises:
        ImportRefusedError: here or while reading: the file is empty, its header is not CSV, a
            row is longer than ``ROW_LIMIT``, or more than ``BLANK_LINES`` blank rows follow each
            other.
    """
    declared = _DECLARATION.fullmatch(text.head.partition(text.newline)[0])
    separator = declared[1] if declared else _separator(text)
    rows = _Rows(text, separator)
    if declared:
        rows.first()
    for _ in range(_rows_above_header(_sample(text, separator)[bool(declared) :])):
        rows.remark(*rows.first())
    _, header = rows.first()
    columns = tuple(name.strip() for name in header)
    shape = SEPARATORS.get(separator, repr(separator)) if len(columns) > 1 else "one column"
    named = "" if text.encoding == "UTF-8" else f", {text.encoding}"
    return Records(
        columns,
        rows.below(columns, note),
        f"CSV, {shape}{named}",
    )


class _Rows:
    """The rows of a file, each with the line where it begins."""

    def __init__(self, text: TextFile, separator: str) -> None:
        self._path = text.path
        self._separator = separator
        self._line = ""
        self._room = ROW_LIMIT
        self._reader = self._parse(self._lines(text.reopen().readline))
        self._remarks = 0
        self._remark = ""
        self._blank = 0

    def _parse(self, lines: Iterator[str]) -> "Reader":
        return csv.reader(lines, delimiter=self._separator, skipinitialspace=True, strict=True)

    def _lines(self, readline: Callable[[int], str]) -> Iterator[str]:
        while line := readline(ROW_LIMIT + 1):
            self._line = line
            self._room -= len(line)
            if self._room < 0:
                number = self._reader.line_num + 1
                raise ImportRefusedError(
                    f"{self._path}: line {number:,} is longer than a mebibyte"
                    if len(line) > ROW_LIMIT
                    else f"{self._path}: the row that ends in line {number:,} is longer than a "
                    "mebibyte; a quote may not be closed"
                )
            yield line

    def first(self) -> tuple[int, list[str]]:
        """The next row that holds a value."""
        for _ in range(BLANK_LINES):
            line = self._reader.line_num + 1
            self._room = ROW_LIMIT
            try:
                row = next(self._reader)
            except StopIteration:
                break
            except csv.Error as error:
                again = self._without_blanks(line)
                if again is None:
                    raise ImportRefusedError(
                        f"{self._path}: the header is not CSV: {_reason(error)}"
                    ) from None
                row = again
            if _filled(row):
                return line, row
        raise ImportRefusedError(f"{self._path}: the file is empty")

    def below(
        self, columns: Sequence[str], note: Remark
    ) -> Iterator[tuple[int, Record | Unreadable]]:
        """Yield the rows below the header."""
        reader = self._reader
        width = len(columns)
        blank_lines = 0
        while True:
            line = reader.line_num + 1
            self._room = ROW_LIMIT
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                again = self._without_blanks(line)
                if again is None:
                    yield line, Unreadable(f"ends in line {reader.line_num}", _reason(error))
                    continue
                row = again
            # Most rows: two thirds of a remark's fields are full at most.
            if len(row) == width and row.count("") * 3 < width:
                blank_lines = 0
                yield line, row
                continue
            filled = _filled(row)
            if not filled:
                blank_lines += 1
                if blank_lines > BLANK_LINES:
                    raise ImportRefusedError(
                        f"{self._path}: more than {BLANK_LINES:,} blank rows before line {line:,}; "
                        "delete them"
                    )
                self._blank += bool(row)
                continue
            blank_lines = 0
            if _is_remark(row, filled, width):
                self.remark(line, row)
            elif _fits(row, columns):
                yield line, (*row, "")[:width]
            else:
                amount = "few" if len(row) < width else "many"
                yield line, Unreadable(f"{len(row)} of {width}", f"too {amount} fields")
        self._tell(note)

    def remark(self, line: int, row: Sequence[str]) -> None:
        """Count a row as a remark."""
        self._remarks += 1
        if not self._remark:
            text = " ".join(_filled(row))
            self._remark = f"line {line:,}: {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}"

    def _tell(self, note: Remark) -> None:
        if self._remarks:
            rows = (
                "1 row that is a remark"
                if self._remarks == 1
                else (f"{self._remarks:,} rows that are remarks")
            )
            note(f"left out {rows}, {self._remark}")
        if self._blank:
            note(f"left out {self._blank:,} rows without a value")

    def _without_blanks(self, line: int) -> list[str] | None:
        """The row of the line read last without blanks behind closing quotes, if it then is CSV."""
        if self._reader.line_num != line:
            return None
        separator = re.escape(self._separator)
        # An odd number of quotes ends a field, and so do two that hold nothing.
        closing = rf'((?<!")(?:"")*"|(?<![^{separator} ])"") +(?=[{separator}\r\n]|$)'
        try:
            rows = list(self._parse(iter([re.sub(closing, r"\1", self._line)])))
        except csv.Error:
            return None
        return rows[0] if len(rows) == 1 else None


def _sample(text: TextFile, separator: str) -> list[list[str]]:
    """The first rows that hold a value, read leniently."""
    lines = (line + text.newline for line in text.head.split(text.newline))
    rows: list[list[str]] = []
    with suppress(csv.Error):
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        rows.extend(islice(filter(_filled, reader), SAMPLE))
    return rows


def _separator(text: TextFile) -> str:
    """The separator that gives the header several fields and most rows as many."""

    def fit(separator: str) -> tuple[bool, float, int]:
        rows = _sample(text, separator)
        widths = [len(row) for row in rows[_rows_above_header(rows) :]] or [1]
        return widths[0] > 1, widths.count(widths[0]) / max(len(rows), 1), widths[0]

    return max(SEPARATORS, key=fit)


def _rows_above_header(rows: Sequence[Sequence[str]]) -> int:
    for number, row in enumerate(rows):
        filled = _filled(row)
        below = len(rows[number + 1]) if number + 1 < len(rows) else len(row)
        phrases = all(re.search(r"[ :#]", cell.strip()) for cell in filled)
        if phrases and (len(filled) == 1 or below >= 2 * len(row)):
            continue
        # Otherwise the first value of a single column, if it has a comma, would become a header.
        names = len(filled) > 1 and not any(cell[0].isdigit() for cell in filled)
        return number if names and len(row) == below else 0
    return 0


def _filled(row: Sequence[str]) -> list[str]:
    return [cell for cell in row if cell and not cell.isspace()]


def _fits(row: Sequence[str], columns: Sequence[str]) -> bool:
    # A separator at the end of the rows alone, or of the header alone, begins no field.
    surplus = len(row) - len(columns)
    return surplus == 0 or (surplus == 1 and not row[-1]) or (surplus == -1 and not columns[-1])


def _is_remark(row: Sequence[str], filled: Sequence[str], width: int) -> bool:
    if width == 1 or len(row) > width + 1:
        return False
    text = " ".join(filled).strip()
    if len(filled) > 1:
        if _TOTAL.fullmatch(filled[0].strip()):
            return len(filled) * 3 <= width * 2
        return (
            len(row) < width and _is_prose(text) and all(len(cell.split()) > 2 for cell in filled)
        )
    if _COUNT.fullmatch(text) or _is_prose(text):
        return True
    return len(row) < width and len(text.split()) > 3 and not text[0].isdigit()


def _is_prose(text: str) -> bool:
    # The words of addresses begin with capitals, or the first is a number.
    return not text[0].isdigit() and sum(word[0].islower() for word in text.split()[1:]) > 3


def _reason(error: csv.Error) -> str:
    message = str(error)
    if message.startswith("new-line"):
        return "a carriage return outside quotes"
    if "field limit" in message:
        return "a field is too long; a quote may not be closed"
    return "a quote is not closed or not doubled"
