"""Where the rows of an import come from: a file, or records that were fetched."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from domain.imports.csv_rows import read_csv
from domain.imports.json_records import is_json, read_json
from domain.imports.records import Records, in_order
from domain.imports.texts import Progress, Remark, open_text


class Source(Protocol):
    """Yields the rows of an import.

    Attributes:
        name: what messages call it: the path of a file, or the URL of a page.
        sha256: of a file's bytes, in hexadecimal, once it was opened; else None.
    """

    name: str
    sha256: str | None

    def open(self, progress: Progress, note: Remark) -> AbstractContextManager[Records]:
        """Open the source for one reading.

        Args:
            progress: called with how much was read, and of how much.
            note: called with remarks on the source as a whole, here or while the rows are read.

        Raises:
            ImportRefusedError: the source as a whole cannot be used, as found here or while
                the rows are read.
        """
        ...


class FileSource:
    """A file of CSV or JSON, plain or gzipped. Its content decides which, rather than its name.

    Args:
        path: the file.
        encoding: what its text is encoded in; None to detect it. ``open_text`` says how.

    Attributes:
        name: the path.
        sha256: digest of the file's bytes in hexadecimal, once it was opened. Further pages of an
            OData answer are not part of it.
    """

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.name = str(path)
        self.sha256: str | None = None
        self._path = path
        self._encoding = encoding

    @contextmanager
    def open(self, progress: Progress, note: Remark) -> Iterator[Records]:
        """Open the file; ``Source.open`` says more."""
        with open_text(self._path, self._encoding, progress, note) as text:
            self.sha256 = text.sha256
            if is_json(text):
                open_page = partial(
                    open_text, encoding=self._encoding, progress=lambda *_: None, note=note
                )
                yield read_json(text, note, open_page)
            else:
                yield read_csv(text, note)


class RecordSource:
    """Records in memory, such as a page of a RESO Web API.

    Args:
        name: what messages call them.
        records: values by column.
    """

    def __init__(self, name: str, records: Sequence[Mapping[str, Any]]) -> None:
        self.name = name
        self.sha256: str | None = None
        self._records = records

    @contextmanager
    def open(self, progress: Progress, note: Remark) -> Iterator[Records]:  # noqa: ARG002
        """Yield the records, numbered from 1. ``note`` is not called."""
        size = len(self._records)
        columns = tuple(dict.fromkeys(name for record in self._records for name in record))
        rows = (
            (number, in_order(columns, record)) for number, record in enumerate(self._records, 1)
        )
        yield Records(columns, rows, "records")
        progress(size, size)
