"""The lines of a text file, plain or gzipped, one at a time."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from domain.imports.report import ImportRefusedError

Progress = Callable[[int, int], None]
"""Is told the bytes of the file read so far and the bytes it has."""

GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LINE_LIMIT = 1 << 20
BUFFER = 1 << 20
LINES_PER_PROGRESS = 5000


@contextmanager
def open_lines(path: Path, progress: Progress) -> Iterator[Iterator[str]]:
    """Open a UTF-8 file, with or without a byte order mark; lines keep their ends.

    Raises:
        ImportRefusedError: here or while reading: there is no such file, it is empty, it is a
            damaged gzip file or not UTF-8, or a line is longer than ``LINE_LIMIT`` bytes.
    """
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise ImportRefusedError(f"{path}: {error.strerror or error}") from None
    with file:
        stream: BinaryIO = file
        if file.peek(2).startswith(GZIP):
            unpacked = gzip.GzipFile(fileobj=file, mode="rb")
            stream = io.BufferedReader(cast(io.RawIOBase, unpacked), BUFFER)
        elif path.suffix == ".gz" and size:
            raise ImportRefusedError(f"{path}: not a gzip file, although its name ends in .gz")
        yield _decoded(path, stream, lambda: progress(file.tell(), size))
        progress(size, size)


def _decoded(path: Path, stream: BinaryIO, progress: Callable[[], None]) -> Iterator[str]:
    number = 0
    while True:
        try:
            line = stream.readline(LINE_LIMIT + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ImportRefusedError(
                f"{path}: damaged gzip file, after line {number:,}: {error}"
            ) from None
        if not line:
            return
        number += 1
        if len(line) > LINE_LIMIT:
            raise ImportRefusedError(f"{path}: line {number:,} is longer than a mebibyte")
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        elif number % LINES_PER_PROGRESS == 0:
            progress()
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise ImportRefusedError(
                f"{path}: line {number:,} is not UTF-8; save the file as UTF-8"
            ) from None
        yield text
