"""Files as portals, spreadsheets and exporters write them: their rows, and what is noted."""

import codecs
import gzip
import os
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from domain.imports.records import ABSENT, Record, Unreadable
from domain.imports.report import ImportRefusedError
from domain.imports.sources import FileSource, RecordSource, Source

Write = Callable[..., Path]

pytestmark = pytest.mark.unit


def silent(done: int, size: int) -> None:
    pass


class Found:
    """All that a source hands out, its values by column."""

    def __init__(self, source: Source) -> None:
        self.notes: list[str] = []
        with source.open(silent, self.notes.append) as records:
            self.columns = records.columns
            self.dialect = records.dialect
            self.numbered = [
                (number, row if isinstance(row, Unreadable) else self._by_column(row))
                for number, row in records.rows
            ]
        # Both are remarks on the whole.
        self.notes += records.missing
        self.rows: list[dict[str, Any] | Unreadable] = [row for _, row in self.numbered]

    def _by_column(self, row: Record) -> dict[str, Any]:
        pairs = zip(self.columns, row, strict=True)
        return {column: value for column, value in pairs if value is not ABSENT}


Read = Callable[..., Found]


@pytest.fixture
def read(write: Write) -> Read:
    def read(content: str | bytes, name: str = "a.csv", encoding: str | None = None) -> Found:
        return Found(FileSource(write(content, name), encoding))

    return read


TWO = [{"id": "1", "city": "Kent"}, {"id": "2", "city": "Zürich"}]


@pytest.mark.parametrize(
    ("encoding", "dialect", "note"),
    [
        ("utf-8", "CSV, commas", None),
        ("utf-8-sig", "CSV, commas", None),
        ("utf-16", "CSV, commas, UTF-16", "the file begins with its byte order mark"),
        ("utf-32", "CSV, commas, UTF-32", "the file begins with its byte order mark"),
        ("utf-16-le", "CSV, commas, UTF-16", "every other byte is zero; --encoding names another"),
        ("utf-16-be", "CSV, commas, UTF-16", "every other byte is zero; --encoding names another"),
        (
            "cp1252",
            "CSV, commas, windows-1252",
            "read as windows-1252: line 3 is not UTF-8; --encoding names another",
        ),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_the_encoding_is_detected(
    read: Read, encoding: str, dialect: str, note: str | None, name: str
) -> None:
    found = read("id,city\n1,Kent\n2,Zürich\n".encode(encoding), name)
    assert found.rows == TWO
    assert found.columns == ("id", "city")
    assert found.dialect == dialect
    assert len(found.notes) == (note is not None)
    assert note is None or found.notes[0].endswith(note)


def test_big_endian_utf_16_with_its_mark_is_read(read: Read) -> None:
    content = codecs.BOM_UTF16_BE + "id,city\n1,Kent\n2,Zürich\n".encode("utf-16-be")
    assert read(content).rows == TWO


def test_letters_beyond_latin_are_recognised_as_utf_16(read: Read) -> None:
    content = "номер,город\n1,Москва\n2,Казань\n".encode("utf-16-le")
    assert read(content).rows[1] == {"номер": "2", "город": "Казань"}


@pytest.mark.parametrize(
    ("encoding", "given"),
    [
        ("cp1251", "windows-1251"),
        ("mac-roman", "macintosh"),
        ("latin-1", "latin-1"),
        ("shift_jis", "shift_jis"),
        ("utf-16-le", "utf-16"),
        ("utf-32-le", "utf-32"),
        ("utf-8-sig", "UTF8"),
        ("utf-16", "windows-1252"),  # a byte order mark decides
    ],
)
def test_an_encoding_is_named(read: Read, encoding: str, given: str) -> None:
    word = {"cp1251": "Кент", "shift_jis": "横浜市"}.get(encoding, "Zürich")
    found = read(f"id,city\n1,{word}\n".encode(encoding), encoding=given)
    assert found.rows == [{"id": "1", "city": word}]


@pytest.mark.parametrize("name", ["", "utf-9", "base64", "idna", "undefined", "rot13", "a\0b"])
def test_an_unknown_encoding_is_refused(read: Read, name: str) -> None:
    with pytest.raises(ImportRefusedError, match="no such encoding; use"):
        read("id\n1\n", encoding=name)


LONG = "id,city\n" + f"1,{'Kent' * 250}\n" * 1100  # more than a mebibyte


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_an_odd_line_far_below_is_read_rightly(read: Read, name: str) -> None:
    found = read((LONG + "2,Zürich\n").encode("cp1252"), name)
    assert found.rows[-1] == {"id": "2", "city": "Zürich"}
    assert found.notes[0].startswith("read as windows-1252: line 1,102 is not UTF-8")


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (
            "id\nZürich\n".encode() + b"\nZ\xfcrich\n",
            None,
            "line 4 is not UTF-8, but line 2 is; save the file as UTF-8, or name its encoding with",
        ),
        (b"id\nZ\xfcrich\n" + "Zürich\n".encode(), None, "line 2 is not UTF-8, but line 3 is"),
        (b"id\n\x81\n", None, "line 2 is neither UTF-8 nor windows-1252"),
        (b"id\n\xff\x01\n", None, "line 2 is neither UTF-8 nor windows-1252"),
        (b"id\n\xff\n", "utf-8", "line 2 is not UTF-8; save the file as UTF-8, or name its"),
        (codecs.BOM_UTF8 + b"id\n\xff\n", None, "line 2 is not UTF-8; save the file as UTF-8"),
        ("id\nA\n".encode("utf-16")[:-1], None, "is not UTF-16; save the file"),
        (b"PK\x03\x04\x14\0\x06\0", None, "an Excel or zip file; save the data as CSV or JSON"),
        (b"\n<!DOCTYPE html>", None, "a web page or an XML file; save the data as CSV or JSON"),
    ],
)
def test_text_in_no_single_encoding_is_refused(
    read: Read, content: bytes, encoding: str | None, message: str
) -> None:
    with pytest.raises(ImportRefusedError) as caught:
        read(content, encoding=encoding)
    assert message in str(caught.value)


ROWS = [{"id": "1", "price": "1,5"}, {"id": "2", "price": "a;b|c\td"}]


@pytest.mark.parametrize(
    ("content", "dialect"),
    [
        ('id,price\n1,"1,5"\n2,a;b|c\td\n', "CSV, commas"),
        ('id;price\n1;1,5\n2;"a;b|c\td"\n', "CSV, semicolons"),
        ('id\tprice\r\n1\t1,5\r\n2\t"a;b|c\td"\r\n', "CSV, tabs"),
        ('id|price\n1|1,5\n2|"a;b|c\td"', "CSV, pipes"),
        ('sep=;\nid;price\n1;1,5\n2;"a;b|c\td"\n', "CSV, semicolons"),
        ('"sep=,"\r\nid,price\r\n1,"1,5"\r\n2,a;b|c\td\r\n', "CSV, commas"),
        ('sep=~\nid~price\n1~1,5\n2~"a;b|c\td"\n', "CSV, '~'"),
        ('"id","price"\r1,"1,5"\r2,a;b|c\td\r', "CSV, commas"),
    ],
)
def test_the_separator_is_detected(read: Read, content: str, dialect: str) -> None:
    found = read(content)
    assert found.rows == ROWS
    assert found.dialect == dialect


def test_the_separator_is_the_one_that_most_rows_agree_on(read: Read) -> None:
    found = read('Price, USD;City, State;ZIP\n1;"Kent; WA";98030\n2;Kent;98031\n')
    assert found.columns == ("Price, USD", "City, State", "ZIP")
    assert found.rows[0] == {"Price, USD": "1", "City, State": "Kent; WA", "ZIP": "98030"}


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("List Price;City\nA;Kent, WA\n", ("List Price", "City")),
        ("A\tB\tC\tD\nid0\t\t;\t0;;\n", ("A", "B", "C", "D")),
    ],
)
def test_separators_in_values_do_not_make_a_row_the_header(
    read: Read, content: str, columns: tuple[str, ...]
) -> None:
    assert read(content).columns == columns


@pytest.mark.parametrize("header", ["id", "External ID", "Parcel: no", '"id"'])
def test_one_column_is_a_file(read: Read, header: str) -> None:
    found = read(f"{header}\nA1\n\nB 2\nTotal: 5\nsome words that are an id of a row\n")
    assert [line for line, _ in found.numbered] == [2, 4, 5, 6]
    assert not found.notes
    assert read(f'{header}\n"12 Main St, Kent"\n').rows == [{found.columns[0]: "12 Main St, Kent"}]


def test_commas_in_values_do_not_make_a_single_column_two(read: Read) -> None:
    found = read("Street address\n12 Main St, Kent\n14 Main St, Kent\n")
    assert found.rows[1] == {"Street address": "14 Main St, Kent"}
    assert found.dialect == "CSV, one column"


REDFIN = "In accordance with local MLS rules, some MLS listings are not included in the download"


@pytest.mark.parametrize(
    "remark",
    [
        f'"{REDFIN}"',
        f'"{REDFIN}",,',
        REDFIN,
        "Total: 312",
        '"Total: 1,312",,',
        "Grand Total",
        "Total,,312",
        "312 listings",
        '"1,312 records found",,',
        "Generated on 2024-05-01 12:00",
        ",,© 2024 An MLS. All rights reserved.",
        "DATA DEEMED RELIABLE BUT NOT GUARANTEED,,",
        "Some listings of this office are shown to members alone,,",
        "Für die Richtigkeit dieser Angaben wird keine Haftung übernommen",
        "End of file",
    ],
)
def test_a_remark_is_no_row(read: Read, remark: str) -> None:
    found = read(f"id,city,price\n1,Kent,5\n{remark}\n2,Kent,\n{remark}\n")
    assert [row["id"] for row in found.rows if isinstance(row, dict)] == ["1", "2"]
    assert len(found.rows) == 2
    (note,) = found.notes
    assert note.startswith("left out 2 rows that are remarks, line 3: ")


@pytest.mark.parametrize(
    "row",
    ["A1,,", "Lot 12,,", "12 Main St Apt 5 in north Kent with garden,,",
     "1234 N Martin L King Way,,", "Oak Hill Estate North Lot 5,,", "Total,1,2", "#12,,", ",,7"],
)  # fmt: skip
def test_a_row_with_a_single_value_is_a_row(read: Read, row: str) -> None:
    found = read(f"id,city,price\n{row}\n")
    assert found.rows == [dict(zip(("id", "city", "price"), row.split(","), strict=True))]
    assert not found.notes


@pytest.mark.parametrize("row", ["A1", "Lot 12", "12 Main St Apt 5 Kent", "A1,Kent", "A1,Kent,5,6"])
def test_a_row_of_another_width_is_unreadable(read: Read, row: str) -> None:
    found = read(f"id,city,price\n{row}\n1,Kent,5\n")
    amount = "many" if row.count(",") > 2 else "few"
    assert found.numbered[0] == (
        2,
        Unreadable(f"{row.count(',') + 1} of 3", f"too {amount} fields"),
    )
    assert len(found.rows) == 2
    assert not found.notes


def test_blank_rows_are_counted(read: Read) -> None:
    found = read("id,city\n,\n1,Kent\n\n , \n\t,\n")
    assert found.numbered == [(3, {"id": "1", "city": "Kent"})]
    assert found.notes == ["left out 3 rows without a value"]


@pytest.mark.parametrize(
    ("above", "lines"),
    [("Property export", 1), ("Property export, made May 1", 1), ("Listings: all\n\n# May 1", 3)],
)
def test_titles_may_stand_above_the_header(read: Read, above: str, lines: int) -> None:
    found = read(f"{above}\nid,city,List Price,Beds\n1,Kent,5,2\n")
    assert found.columns == ("id", "city", "List Price", "Beds")
    assert [line for line, _ in found.numbered] == [lines + 2]


@pytest.mark.parametrize("header", ["First Name,Last Name", "First Name,City"])
def test_no_row_becomes_the_header(read: Read, header: str) -> None:
    for rows in ("Bob,Lee,\nAmy,Poe,\n", "Bob\nAmy,Poe\nEve,Fox\n"):
        assert read(f"{header}\n{rows}").columns == tuple(header.split(","))


def test_remarks_may_stand_above_the_header(read: Read) -> None:
    found = read("Export of May 1, all listings\nSource: MLS\n\nid;city\n1;Kent\n2;Zürich\n")
    assert found.columns == ("id", "city")
    assert found.numbered == [(5, TWO[0]), (6, TWO[1])]
    assert found.notes == [
        "left out 2 rows that are remarks, line 1: Export of May 1, all listings"
    ]


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('id, city\n1, "Kent"\n', "Kent"),
        ('id, city\n1,   "Kent, WA"\n', "Kent, WA"),
        ('id ,"city" \n1 ,"Kent" \n', "Kent"),
        ('id,city\n"1" , "Kent"   \r\n', "Kent"),
        ('id,city\n"1" ,"say ""hi"" , twice"\n', 'say "hi" , twice'),
        ('id,city\n1,12" pipe\n', '12" pipe'),
        ('id,city\n1,="02139"\n', '="02139"'),
        ('id,city\n1,"a\n\nb"\n', "a\n\nb"),
        ('id,city\r\n1,"a\r\nb"', "a\r\nb"),
        ('id,city\r1,"a\nb"\r2,c\r', "a\nb"),
        ("id,city\n1,a\fb\0c\x85d\u2028e\n", "a\fb\0c\x85d\u2028e"),
        ("id,city,\n1,Kent\n", "Kent"),
        ("id,city\n1,Kent,\n", "Kent"),
        ("\n\nid,city\n1,Kent", "Kent"),
    ],
)
def test_odd_csv_is_read(read: Read, content: str, value: str) -> None:
    (first, *_) = read(content).rows
    assert isinstance(first, dict)
    assert (first["id"].strip(), first["city"]) == ("1", value)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('1,"Kent"x', "a quote is not closed or not doubled"),
        ('1,"Kent', "a quote is not closed or not doubled"),
        ('1,"a" "b"', "a quote is not closed or not doubled"),
        ("1,Ke\rnt", "a carriage return outside quotes"),
        ("1," + "x" * 200_000, "a field is too long; a quote may not be closed"),
    ],
)
def test_rows_that_are_not_csv_are_reported(read: Read, row: str, reason: str) -> None:
    found = read(f"id,city\n1,Kent\n{row}")
    assert found.numbered[1:] == [(3, Unreadable("ends in line 3", reason))]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.csv", "the file is empty"),
        (b"", "a.csv.gz", "the file is empty"),
        (b"\n \n,,\n", "a.csv", "the file is empty"),
        (codecs.BOM_UTF8, "a.csv", "the file is empty"),
        (b"\n\n", "a.jsonl", "the file is empty"),
        (b'"id"x\n1\n', "a.csv", "the header is not CSV: a quote is not closed"),
        (b"id\n" + b"x" * (2 << 20), "a.csv", "line 2 is longer than a mebibyte"),
        (
            b'id,city\n"' + b'x","\n' * 300_000,
            "a.csv",
            "the row that ends in line 209,717 is longer than",
        ),
        (b"id\n1\n" + b",,\n" * 1001, "a.csv", "more than 1,000 blank rows before line 1,003"),
        (b"\n" * 1001 + b"id\n", "a.csv", "the file is empty"),
        (b"{}\n{}\n" + b"\n" * 1001, "a.jsonl", "more than 1,000 blank lines before line 1,003"),
        (b"id\n" + b"\n" * (3 << 20), "a.csv.gz", "nothing but blanks for 2 MiB"),
        (b" " * (3 << 20) + b"[]", "a.json", "nothing but blanks for 2 MiB"),
    ],
)
def test_unusable_files_are_refused(
    read: Read, monkeypatch: pytest.MonkeyPatch, content: bytes, name: str, message: str
) -> None:
    monkeypatch.setattr("domain.imports.csv_rows.BLANK_LINES", 1000)
    monkeypatch.setattr("domain.imports.json_records.BLANK_LINES", 1000)
    monkeypatch.setattr("domain.imports.texts.BLANK_BYTES", 2 << 20)
    with pytest.raises(ImportRefusedError, match=message):
        read(content, name)


def test_what_unpacks_without_measure_is_refused(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.imports.texts.UNPACKED_FREELY", 1 << 20)
    with pytest.raises(ImportRefusedError, match="unpacks to more than 200 times its size; unpack"):
        read(LONG, "a.csv.gz")
    assert len(read(LONG).rows) == 1100


def test_a_damaged_gzip_file_is_refused(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(LONG.encode() + os.urandom(9999))[:-2000])
    with pytest.raises(ImportRefusedError, match="damaged gzip file, after line 1,0"):
        Found(FileSource(path))
    path = tmp_path / "b.csv.gz"
    path.write_text("id\n1\n")
    with pytest.raises(ImportRefusedError, match="not a gzip file, although its name ends in"):
        Found(FileSource(path))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none.csv", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ImportRefusedError, match=message):
            Found(FileSource(path))


def test_a_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = b"id,city\n1,Z\xfcrich\n"
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    source = FileSource(path)
    assert Found(source).rows == [{"id": "1", "city": "Zürich"}]
    writer.join()
    assert source.sha256 == sha256(content).hexdigest()


def test_the_digest_is_of_the_bytes_of_the_file(write: Write) -> None:
    path = write("id\n1\n", "a.csv.gz")
    source = FileSource(path)
    assert source.sha256 is None
    Found(source)
    assert source.sha256 == sha256(path.read_bytes()).hexdigest()


def test_progress_tells_bytes_of_the_file(write: Write) -> None:
    path = write(LONG, "a.csv")
    told: list[tuple[int, int]] = []
    with FileSource(path).open(lambda *one: told.append(one), print) as records:
        assert sum(1 for _ in records.rows) == 1100
    assert told == sorted(told)
    assert len(told) > 10
    assert told[-1] == (len(LONG), len(LONG))


def test_records_at_hand_are_a_source() -> None:
    records: list[dict[str, Any]] = [{"ListingKey": 1}, {"ListingKey": 2, "City": "Kent"}]
    found = Found(RecordSource("https://api.example.com/Property", records))
    assert found.columns == ("ListingKey", "City")
    assert found.numbered == [(1, records[0]), (2, records[1])]
    assert Found(RecordSource("https://api.example.com/Property", [])).rows == []
