"""Any table comes back as it was written, and any bytes are read or refused."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.imports.report import ImportRefusedError
from domain.imports.sources import FileSource
from tests.domain.imports.test_sources import Found

pytestmark = pytest.mark.unit

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")
CHARACTERS = st.characters(codec="cp1252", exclude_characters="\r")
NAMES = st.lists(
    st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=9),
    min_size=2,
    max_size=6,
    unique=True,
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    names = draw(NAMES)
    # The id is no remark and does not begin with a blank; no other cell does.
    cells = st.text(CHARACTERS, max_size=20).map(str.lstrip)
    rows = draw(st.lists(st.lists(cells, min_size=len(names) - 1, max_size=len(names) - 1)))
    return names, [[f"id{number}", *row] for number, row in enumerate(rows)]


@pytest.fixture
def path(tmp_path: Path) -> Callable[[bytes, str], Path]:
    def write(content: bytes, name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@given(
    table=tables(),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(ENCODINGS),
    packed=st.booleans(),
)
def test_any_table_comes_back(
    path: Callable[[bytes, str], Path],
    table: tuple[list[str], list[list[str]]],
    separator: str,
    end: str,
    quoting: Any,
    encoding: str,
    packed: bool,
) -> None:
    names, rows = table
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([names, *rows])
    content = text.getvalue().encode(encoding)
    # Detection may have to guess between the two for text that is valid in both.
    given = encoding if encoding == "cp1252" else None
    source = FileSource(path(gzip.compress(content, 1) if packed else content, "a.csv"), given)
    assert Found(source).rows == [dict(zip(names, row, strict=True)) for row in rows]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values),
    max_leaves=3,
)
# An object around a single list of objects could be either, so each record begins with more.
RECORDS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(("id", "a", "b", "c", "d", "e"), VALUES)),
    min_size=1,
    max_size=3,
)


@given(
    records=RECORDS,
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    shape=st.sampled_from(["array", "odata", "lines"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_records_come_back(
    path: Callable[[bytes, str], Path],
    records: list[dict[str, Any]],
    indent: int | None,
    ascii_only: bool,
    shape: str,
    encoding: str,
) -> None:
    if shape == "lines":
        content = "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    else:
        whole = records if shape == "array" else {"@odata.context": "x", "value": records}
        content = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    assert Found(FileSource(path(content.encode(encoding), "a.jsonl"))).rows == records


PIECES = st.sampled_from(
    [b'"', b",", b";", b"\n", b"\r", b"\0", b" ", b"[", b"]", b"{", b"}", b'"value":', b'"a":',
     b"1", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"\xc3\xa9", b"\xe9", b"\\", b"sep=", b"NaN",
     b"id"]
)  # fmt: skip


@given(
    content=st.lists(PIECES | st.binary(max_size=5), max_size=40).map(b"".join),
    name=st.sampled_from(["a.csv", "a.json", "a.jsonl"]),
    packed=st.booleans(),
    encoding=st.sampled_from([None, "utf-8", "utf-16", "cp1252", "utf-7", "shift_jis", "cp037"]),
)
@example(b"sep=\r\n1", "a.csv", False, None)
def test_any_bytes_are_read_or_refused(
    path: Callable[[bytes, str], Path],
    content: bytes,
    name: str,
    packed: bool,
    encoding: str | None,
) -> None:
    file = path(gzip.compress(content, 1) if packed else content, name)
    refusal = ""
    numbers: list[int] = []
    try:
        numbers = [number for number, _ in Found(FileSource(file, encoding)).numbered]
    except ImportRefusedError as error:
        refusal = str(error)
    assert not refusal or (refusal.startswith(f"{file}: ") and "\n" not in refusal)
    assert numbers == sorted(set(numbers))
