"""Records of JSON Lines, of JSON arrays, and of objects around an array, such as an OData answer.

A document is scanned by the standard library's decoder, which says where a value ends and needs no
more memory than one record. The record is then parsed like a line of JSON Lines. So numbers and bad
records mean the same in both, and a record that breaks a rule of JSON does not end the import as
long as its extent is known.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from domain.imports.records import Record, Records, Unreadable, in_order
from domain.imports.report import ImportRefusedError
from domain.imports.texts import BLANK_LINES, Remark, TextFile

LINES_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (*LINES_SUFFIXES, ".json")
NAMES = 5000
"""Names in a file's records that are looked at."""
RECORD_LIMIT = 1 << 20
CHUNK = 1 << 18
NAME_LIMIT = 255
SHOWN = 60

LISTS = ("value", "data", "results", "records", "items", "listings", "properties", "bundle")
"""Names that a list of records usually has."""

FEW_MEMBERS = 5
"""Before a list with another name. An object with more is a record with, say, its pictures."""

Texts = Iterator[tuple[int, str]]
"""Records, each with its line or number and its text."""

OPEN = Callable[[Path], AbstractContextManager[TextFile]]
"""Opens a further page."""

_BEGIN = re.compile(r'\s*(\{\s*["}]|\[\s*[\[\]{])')
_BLANKS = re.compile(r"[ \t\r\n\f\0]*")
# Only tells where a value ends: numbers stay text, and what it lets pass is judged later.
_SCANNER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)


def is_json(text: TextFile) -> bool:
    """Whether a file is JSON, by its beginning or else by its name."""
    return _BEGIN.match(text.head) is not None or _name(text).endswith(SUFFIXES)


def read_json(text: TextFile, note: Remark, open_page: OPEN) -> Records:
    """Read JSON Lines, an array of records, an object around one, or a single record.

    An answer of OData may name its next page, in ``@odata.nextLink``. If that is the name of a file
    in the same folder, the file's records follow.

    Args:
        text: the file.
        note: called with the name of the list that holds the records.
        open_page: opens a further page.

    Raises:
        ImportRefusedError: here or while reading: the file is empty; a document is cut off or is
            not JSON; a record is longer than a mebibyte or nested too deeply; an object has two
            lists of records; more than ``BLANK_LINES`` blank lines follow each other.
    """
    if not _is_document(text):
        names = _names(text, _lines(text))
        return Records(names, _in_order(names, _lines(text)), "JSON Lines")
    first = _Document(text, note)
    names = _names(text, enumerate(_pages(first, note, open_page, []), 1))
    missing: list[str] = []

    def again() -> Texts:
        return enumerate(_pages(_Document(text, _say_nothing), note, open_page, missing), 1)

    return Records(names, _in_order(names, again()), first.dialect, missing)


def _name(text: TextFile) -> str:
    return text.path.name.lower().removesuffix(".gz")


def _is_document(text: TextFile) -> bool:
    """Whether the file is one value over all lines, rather than one on each line."""
    first, _, rest = text.head.strip().partition(text.newline)
    whole = _value_of(first) is not None
    if whole and rest:
        return False
    if first.startswith("["):
        return True
    if not first.startswith("{"):
        return False
    begun = _value_of(first, allow_partial=True)
    if begun is not None and any(isinstance(begun.get(name), list) for name in LISTS):
        return True
    if _name(text).endswith(LINES_SUFFIXES):
        return first == "{"
    return begun is not None or not rest


def _lines(text: TextFile) -> Texts:
    blank = 0
    for number, line in enumerate(text.lines(), 1):
        if not line.isspace():
            blank = 0
            yield number, line
            continue
        blank += 1
        if blank > BLANK_LINES:
            raise ImportRefusedError(
                f"{text.path}: more than {BLANK_LINES:,} blank lines before line {number:,}; "
                "delete them"
            )


def _names(text: TextFile, texts: Texts) -> tuple[str, ...]:
    """The names in all records, in order of appearance: a name may first occur in the last one."""
    names: dict[str, None] = {}
    empty = True
    for _, record in texts:
        empty = False
        values = _parsed(record)
        if isinstance(values, dict) and len(names) < NAMES:
            names.update(dict.fromkeys(values))
    if empty:
        raise ImportRefusedError(f"{text.path}: the file is empty")
    return tuple(names)


def _in_order(names: tuple[str, ...], texts: Texts) -> Iterator[tuple[int, Record | Unreadable]]:
    for number, record in texts:
        values = _parsed(record)
        yield number, in_order(names, values) if isinstance(values, dict) else values


def _say_nothing(_remark: str) -> None:
    """Take a remark that was told before."""


def _parsed(record: str) -> dict[str, Any] | Unreadable:
    try:
        values = from_json(record, allow_inf_nan=False)
    except ValueError:
        return Unreadable(record.strip(), "not JSON")
    return values if isinstance(values, dict) else Unreadable(record.strip(), "not a JSON object")


def _pages(
    document: "_Document", note: Remark, open_page: OPEN, missing: list[str]
) -> Iterator[str]:
    folder = document.path.parent
    read = {document.path.name}
    yield from document.records()
    link, counted, found = document.next_link, document.counted, document.found
    while link:
        if link in read or not _is_beside(folder, link):
            shown = link.partition("?")[0][:SHOWN]
            missing.append(f"further records are at {shown!r}, which is not in this folder")
            return
        read.add(link)
        with open_page(folder / link) as text:
            page = _Document(text, note)
            yield from page.records()
            link, found = page.next_link, found + page.found
    if counted not in (None, found):
        missing.append(f"the answer counts {counted:,} records, and {found:,} are here")


def _is_beside(folder: Path, name: str) -> bool:
    plain = name == Path(name).name and name not in ("", "..") and name.isprintable()
    return plain and len(name.encode()) <= NAME_LIMIT and (folder / name).is_file()


class _Document:
    """One JSON value over all lines of a file; several that follow each other are taken as well.

    Attributes:
        path: the file.
        dialect: what the document is, once its first record was read.
        found: the records so far.
        next_link: the next page, once the document was read to its end.
        counted: how many records the server has, once the document was read to its end.
    """

    def __init__(self, text: TextFile, note: Remark) -> None:
        self.path = text.path
        self.dialect = "JSON object"
        self.found = 0
        self.next_link: str | None = None
        self.counted: int | None = None
        self._note = note
        self._text: IO[str] = text.reopen()
        self._buffer = ""
        self._at = 0
        self._line = 1

    def records(self) -> Iterator[str]:
        """Yield the text of each record."""
        while begin := self._next():
            if begin == "[":
                self.dialect = "JSON array"
                yield from self._list()
            elif begin == "{":
                yield from self._object()
            else:
                raise self._refused("not JSON: expecting a list or an object")

    def _list(self) -> Iterator[str]:
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return
        while True:
            self.found += 1
            yield self._value("the record")
            if self._take(",", "]") == "]":
                return

    def _object(self) -> Iterator[str]:
        members: dict[str, str] = {}
        size = 0
        records: str | None = None
        self._at += 1
        end = self._next() == "}"
        self._at += end
        while not end:
            if self._next() != '"':
                raise self._refused("not JSON: expecting a name in double quotes")
            written = self._value("the name")
            name = str(_value_of(written))
            self._take(":")
            if self._is_list_of_records(name in LISTS, len(members)):
                if records is not None:
                    raise self._refused(
                        f"the lists {records[:SHOWN]!r} and {name[:SHOWN]!r} both hold records; "
                        "save one of them as a file"
                    )
                records = name
                self.dialect = "OData" if name == "value" else "JSON object with a list"
                if name != "value":
                    self._note(f"the records are those of the list {name[:SHOWN]!r}")
                yield from self._list()
            else:
                members[name] = self._value(f"{name[:SHOWN]!r}")
                size += len(name) + len(members[name])
                if size > RECORD_LIMIT:
                    raise self._refused("the object is longer than a mebibyte")
            end = self._take(",", "}") == "}"
        if records is None:
            self.found += 1
            yield (
                "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}"
            )
            return
        link = _value_of(members.get("@odata.nextLink", "null"))
        count = _value_of(members.get("@odata.count", "null"))
        self.next_link = link if isinstance(link, str) else None
        self.counted = count if isinstance(count, int) else None

    def _is_list_of_records(self, usual: bool, members: int) -> bool:
        if self._next() != "[":
            return False
        begin = self._peek(1)
        return (begin == "{" and (usual or members < FEW_MEMBERS)) or (begin == "]" and usual)

    def _next(self) -> str:
        """Go to the next character that is not blank; empty at the end."""
        found = self._peek(0)
        match = _BLANKS.match(self._buffer, self._at)
        self._at = match.end() if match else self._at
        return found

    def _peek(self, after: int) -> str:
        """The next character that is not blank, so many characters from here; empty at the end."""
        while True:
            match = _BLANKS.match(self._buffer, self._at + after)
            end = match.end() if match else len(self._buffer)
            if end < len(self._buffer):
                return self._buffer[end]
            if not after:
                self._at = end
            if len(self._buffer) - self._at > RECORD_LIMIT or not self._read_on():
                return ""

    def _take(self, *expected: str) -> str:
        found = self._next()
        if found not in expected:
            if not found:
                raise self._refused("the file is cut off")
            raise self._refused(f"not JSON: expecting {' or '.join(map(repr, expected))}")
        self._at += 1
        return found

    def _value(self, what: str) -> str:
        """The text of the value that begins here."""
        if not self._next():
            raise self._refused("the file is cut off")
        ended = False
        while True:
            try:
                _, end = _SCANNER.raw_decode(self._buffer, self._at)
            except RecursionError:
                raise self._refused(f"{what} is nested too deeply") from None
            except json.JSONDecodeError as error:
                if ended:
                    raise self._broken(error) from None
                if len(self._buffer) - self._at > RECORD_LIMIT:
                    raise self._refused(f"{what} is not JSON, or longer than a mebibyte") from None
            else:
                if end - self._at > RECORD_LIMIT:
                    raise self._refused(f"{what} is longer than a mebibyte")
                # A number may continue in what was not read yet.
                if end < len(self._buffer) or ended:
                    text = self._buffer[self._at : end]
                    self._at = end
                    return text
            ended = not self._read_on()

    def _read_on(self) -> bool:
        chunk = self._text.read(CHUNK)
        if chunk:
            self._line += self._buffer.count("\n", 0, self._at)
            self._buffer = self._buffer[self._at :] + chunk
            self._at = 0
        return bool(chunk)

    def _refused(self, reason: str) -> ImportRefusedError:
        line = self._line + self._buffer.count("\n", 0, self._at)
        return ImportRefusedError(f"{self.path}: line {line:,}: {reason}")

    def _broken(self, error: json.JSONDecodeError) -> ImportRefusedError:
        line = self._line + error.lineno - 1
        return ImportRefusedError(
            f"{self.path}: line {line:,}: not JSON, or cut off: {error.msg.lower()}"
        )


def _value_of(text: str, *, allow_partial: bool = False) -> Any:
    try:
        return from_json(text, allow_partial=allow_partial)
    except ValueError:
        return None
