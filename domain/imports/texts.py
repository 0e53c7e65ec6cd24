"""Text files in the encodings that exports have, plain or gzipped."""

import codecs
import gzip
import hashlib
import io
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from domain.imports.report import ImportRefusedError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Progress = Callable[[int, int], None]
"""Called with the bytes of the file read so far and its size in bytes."""

Remark = Callable[[str], None]
"""Called with each remark on the file as a whole."""

GZIP = b"\x1f\x8b"
LINE_LIMIT = 1 << 20
HEAD = 1 << 20
CHUNK = 1 << 15
BLANK_BYTES = 64 << 20
BLANK_LINES = 2_000_000
"""More blank lines in a row than any spreadsheet has rows."""

UNPACKED_FREELY = 32 << 20
UNPACKED_TIMES = 200
"""Far more than real rows compress."""

UTF_8 = "utf-8-sig"
WINDOWS_1252 = "cp1252"
# UTF-32's mark begins with one of UTF-16's.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LABELS = {
    UTF_8: "UTF-8",
    WINDOWS_1252: "windows-1252",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "utf-32-le": "UTF-32",
}
# Codecs of Python's own that no file is written in.
NO_FILE_IS_IN = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
NOT_TEXT = (
    (b"PK\x03\x04", "an Excel or zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file"),
    (b"%PDF", "a PDF file"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\0", "an SQLite file"),
    (b"<", "a web page or an XML file"),
)
_BLANKS = b" \t\r\n\f\0,;|"
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_ADVICE = "save the file as UTF-8, or name its encoding with --encoding"


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that was checked to be text.

    Attributes:
        path: where it is.
        sha256: digest of the file's bytes, packed if it is packed, in hexadecimal.
        encoding: what its text is encoded in, as people call it.
        newline: what ends a line: a line feed, or a carriage return in old files of Macs.
        head: the beginning of the text, up to ``HEAD`` characters.
        reopen: opens the text at its beginning. Only the stream opened last is of use.
    """

    path: Path
    sha256: str
    encoding: str
    newline: str
    head: str
    reopen: Callable[[], io.TextIOWrapper]

    def lines(self) -> Iterator[str]:
        """Yield the lines with their ends.

        Raises:
            ImportRefusedError: a line has more than ``LINE_LIMIT`` characters.
        """
        readline = self.reopen().readline
        number = 0
        while line := readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                raise ImportRefusedError(f"{self.path}: line {number:,} is longer than a mebibyte")
            yield line


@contextmanager
def open_text(
    path: Path, encoding: str | None, progress: Progress, note: Remark
) -> Iterator[TextFile]:
    """Open a text file in the encoding given, or else in the one it is found to have.

    A byte order mark decides, whatever was given. Without one, a file is UTF-16 if its beginning
    has zeros in every other byte, UTF-8 if all of it is valid UTF-8, and windows-1252 otherwise.
    The whole file is read once to check that before a line is yielded, so that no text is partly
    garbled.

    A pipe is copied to a temporary file first.

    Args:
        path: the file, plain or gzipped.
        encoding: a name that Python knows, e.g. "windows-1252"; None to detect it.
        progress: called with how much of the file was read.
        note: called with the reason if the file is not read as UTF-8.

    Raises:
        ImportRefusedError: here or while reading: there is no such file or encoding; the file is
            empty, a damaged gzip file, not text, or not in its encoding; it unpacks to more than
            ``UNPACKED_TIMES`` its size and to more than ``UNPACKED_FREELY`` bytes; it holds more
            than ``BLANK_BYTES`` of blanks at a stretch.
    """
    given = None if encoding is None else _codec(encoding)
    with _open_bytes(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if not size:
            raise ImportRefusedError(f"{path}: the file is empty")
        digest = hashlib.file_digest(file, "sha256").hexdigest()

        def unpacked(progress: Progress) -> io.BufferedReader:
            file.seek(0)
            return io.BufferedReader(_Unpacked(path, file, size, progress), CHUNK)

        head = unpacked(_silent).read(HEAD)
        _check_is_text(path, head)
        marked = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), None)
        codec = marked or _without_mark(given, head)
        place = _undecodable(unpacked(_silent), codec)
        if place is not None:
            line = _line_at(unpacked(_silent), place)
            label = _label(codec)
            if marked or given or codec != UTF_8:
                raise ImportRefusedError(f"{path}: line {line:,} is not {label}; {_ADVICE}")
            _check_is_windows_1252(path, unpacked, line)
            codec = WINDOWS_1252
            note(f"read as windows-1252: line {line:,} is not UTF-8; --encoding names another")
        elif marked and codec != (given or UTF_8):
            note(f"read as {_label(codec)}: the file begins with its byte order mark")
        elif codec != UTF_8 and not given:
            note(f"read as {_label(codec)}: every other byte is zero; --encoding names another")

        newline = _newline(head)

        def reopen(progress: Progress = progress) -> io.TextIOWrapper:
            return io.TextIOWrapper(unpacked(progress), codec, newline=newline)

        text = reopen(_silent).read(HEAD)
        yield TextFile(path, digest, _label(codec), newline, text, reopen)
        progress(size, size)


class _Unpacked(io.RawIOBase):
    """The bytes of a file, unpacked if it is a gzip file, within the limits."""

    def __init__(self, path: Path, file: BinaryIO, size: int, progress: Progress) -> None:
        self._path = path
        self._file = file
        self._size = size
        self._progress = progress
        self._packed = file.read(2) == GZIP
        file.seek(0)
        if not self._packed and path.suffix == ".gz":
            raise ImportRefusedError(f"{path}: not a gzip file, although its name ends in .gz")
        self._source: IO[bytes] = (
            cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb")) if self._packed else file
        )
        self._lines = self._bytes = self._blanks = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        target = memoryview(buffer).cast("B")
        try:
            found = self._source.read(len(target))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ImportRefusedError(
                f"{self._path}: damaged gzip file, after line {self._lines:,}: {error}"
            ) from None
        except OSError as error:
            raise ImportRefusedError(f"{self._path}: {error.strerror or error}") from None
        if found:
            self._measure(found)
            self._progress(min(self._file.tell(), self._size), self._size)
        target[: len(found)] = found
        return len(found)

    def _measure(self, found: bytes) -> None:
        self._bytes += len(found)
        if self._packed and self._bytes > max(UNPACKED_FREELY, UNPACKED_TIMES * self._size):
            raise ImportRefusedError(
                f"{self._path}: unpacks to more than {UNPACKED_TIMES} times its size; "
                "unpack the file first if that is right"
            )
        self._blanks = 0 if found.strip(_BLANKS) else self._blanks + len(found)
        if self._blanks > BLANK_BYTES:
            raise ImportRefusedError(
                f"{self._path}: nothing but blanks for {BLANK_BYTES >> 20} MiB; "
                "delete the empty rows"
            )
        if self._packed:
            self._lines += found.count(b"\n")


@contextmanager
def _open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImportRefusedError(f"{path}: {error.strerror or error}") from None
    with file:
        if file.seekable():
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            yield cast(io.BufferedReader, copy)


def _codec(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        with suppress(UnicodeError):
            b" ".decode(encoding)  # raises LookupError for codecs that make no text
    except (LookupError, ValueError):
        name = "undefined"
    if name in NO_FILE_IS_IN:
        raise ImportRefusedError(
            f"--encoding {encoding}: no such encoding; use e.g. utf-8, utf-16 or windows-1252"
        )
    return UTF_8 if name == "utf-8" else name


def _label(codec: str) -> str:
    return LABELS.get(codec, codec)


def _check_is_text(path: Path, head: bytes) -> None:
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, kind in NOT_TEXT:
        if begin.startswith(magic):
            raise ImportRefusedError(f"{path}: {kind}; save the data as CSV or JSON")


def _without_mark(given: str | None, head: bytes) -> str:
    if given == "utf-16":
        return _utf_16(head) or "utf-16-le"
    if given == "utf-32":
        return "utf-32-le"
    return given or _utf_16(head) or UTF_8


def _utf_16(head: bytes) -> str | None:
    """The UTF-16 of text that is mostly ASCII and has no byte order mark."""
    first, second = head[::2].count(0), head[1::2].count(0)
    # Letters beyond Latin have no zero byte; separators, digits and line ends do.
    if max(first, second) * 10 < len(head) or min(first, second) * 10 > max(first, second):
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def _newline(head: bytes) -> str:
    plain = head.replace(b"\0", b"")
    alone = plain.count(b"\r") - plain.count(b"\r\n")
    return "\r" if alone > plain.count(b"\n") else "\n"


def _undecodable(stream: io.BufferedReader, codec: str) -> int | None:
    """The place of the first byte that cannot be decoded; None if all can."""
    decoder = codecs.getincrementaldecoder(codec)()
    place = 0
    while True:
        chunk = stream.read(CHUNK)
        place += len(chunk)
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return place - len(error.object) + error.start
        if not chunk:
            return None


def _line_at(stream: io.BufferedReader, place: int) -> int:
    line = 1
    while place > 0:
        chunk = stream.read(min(CHUNK, place))
        line += chunk.count(b"\n")
        place -= CHUNK
    return line


def _check_is_windows_1252(
    path: Path, unpacked: Callable[[Progress], io.BufferedReader], bad: int
) -> None:
    """Refuse what is not UTF-8, but hardly windows-1252 either.

    Lines that are UTF-8 and not ASCII would be garbled: hardly a word in windows-1252 is both.
    """
    stream = unpacked(_silent)
    number = 0
    while line := stream.readline(LINE_LIMIT):
        number += 1
        if line.isascii():
            continue
        try:
            line.decode()
        except UnicodeDecodeError:
            try:
                line.decode(WINDOWS_1252)
            except UnicodeDecodeError:
                raise _neither(path, number) from None
            if _CONTROL.search(line):
                raise _neither(path, number) from None
        else:
            raise ImportRefusedError(
                f"{path}: line {bad:,} is not UTF-8, but line {number:,} is; {_ADVICE}"
            )


def _neither(path: Path, line: int) -> ImportRefusedError:
    return ImportRefusedError(f"{path}: line {line:,} is neither UTF-8 nor windows-1252; {_ADVICE}")


def _silent(_done: int, _size: int) -> None:
    pass
