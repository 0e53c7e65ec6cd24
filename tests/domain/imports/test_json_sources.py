"""JSON as exporters and servers write it: which records come out, and what is noted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.imports.records import Unreadable
from domain.imports.report import ImportRefusedError
from domain.imports.sources import FileSource
from tests.domain.imports.test_sources import Found

Write = Callable[..., Path]
Read = Callable[..., Found]

pytestmark = pytest.mark.unit

RECORDS: list[dict[str, Any]] = [
    {"external_id": "J1", "city": "Zürich"},
    {"external_id": 2, "price": 1.5, "media": [{"url": "x"}], "rooms": {"bed": 2}},
    {"external_id": 12345678901234567890123, "city": None, "new": True},
]
FLAT = json.dumps(RECORDS, ensure_ascii=False)
PRETTY = json.dumps(RECORDS, indent=1)
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)


@pytest.fixture
def read(write: Write) -> Read:
    def read(content: str | bytes, name: str = "a.json") -> Found:
        return Found(FileSource(write(content, name)))

    return read


@pytest.mark.parametrize(
    ("content", "dialect"),
    [
        (LINES, "JSON Lines"),
        (LINES.rstrip(), "JSON Lines"),
        (LINES.replace("\n", "\r\n"), "JSON Lines"),
        (LINES.replace("\n", "\r"), "JSON Lines"),
        (FLAT, "JSON array"),
        (PRETTY, "JSON array"),
        ("\n \n" + PRETTY + "\n", "JSON array"),
        (FLAT.replace("}, {", "},\n{"), "JSON array"),
        (json.dumps({"@odata.context": "$metadata#Property", "value": RECORDS}), "OData"),
        (json.dumps({"@odata.count": 3, "value": RECORDS}, indent=2), "OData"),
        (json.dumps({"value": RECORDS, "@odata.count": 3}), "OData"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a", "a.ndjson.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_shape_gives_the_same_records(
    read: Read, content: str, dialect: str, name: str, encoding: str
) -> None:
    found = read(content.encode(encoding), name)
    assert found.rows == RECORDS
    assert found.dialect == dialect
    assert found.columns == ("external_id", "city", "price", "media", "rooms", "new")
    assert isinstance(found.rows[2], dict)
    assert found.rows[2]["external_id"] == 12345678901234567890123
    assert len(found.notes) == (encoding == "utf-16")


@pytest.mark.parametrize("name", ["data", "listings", "results", "bundle", "MyHomes"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_in_an_object_is_taken_with_a_note(
    read: Read, name: str, indent: int | None
) -> None:
    whole = {"total": 3, "tags": ["a"], "page": {"next": None}, name: RECORDS, "ok": True}
    found = read(json.dumps(whole, indent=indent))
    assert found.rows == RECORDS
    assert found.notes == [f"the records are those of the list {name!r}"]


def test_a_single_object_is_a_record(read: Read) -> None:
    for content in ('{"id": 1, "tags": ["a"]}', '{\n "id": 1,\n "tags": ["a"]\n}\n'):
        assert read(content).numbered == [(1, {"id": 1, "tags": ["a"]})]


def test_pretty_printed_objects_may_follow_each_other(read: Read) -> None:
    records = [{"id": n, "a": 1, "b": 2, "c": 3, "d": 4, "media": [{"url": "x"}]} for n in (1, 2)]
    found = read("\n".join(json.dumps(record, indent=1) for record in records))
    assert found.rows == records
    assert found.dialect == "JSON object"
    assert not found.notes


def test_json_lines_with_lists_of_objects_stay_records(read: Read) -> None:
    line = '{"id": 1, "media": [{"url": "x"}]}\n'
    assert read(line, "a.jsonl").rows == [json.loads(line)]
    assert read(line * 2).rows == [json.loads(line)] * 2


def test_bad_records_are_reported_alike(read: Read) -> None:
    bad = [
        ('{"id": NaN}', "not JSON"),
        ('{"id": "\\ud800"}', "not JSON"),
        ('{"id": "a\tb"}', "not JSON"),
        (f'{{"id": {"9" * 5000}}}', "not JSON"),
        ("[" * 300 + "]" * 300, "not JSON"),
        ("[1]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("null", "not a JSON object"),
    ]
    texts = ['{"id": 0}', *(text for text, _ in bad), '{"id": 1}']
    for content in ("\n".join(texts), f"[{','.join(texts)}]", f'{{"value": [{",".join(texts)}]}}'):
        assert read(content).numbered == [
            (1, {"id": 0}),
            *((number, Unreadable(*one)) for number, one in enumerate(bad, 2)),
            (10, {"id": 1}),
        ]


def test_a_broken_line_does_not_end_json_lines(read: Read) -> None:
    content = '{"id": 1, "city": \n\n{"id": 2}\nid,city\n'
    assert read(content, "a.jsonl").numbered == [
        (1, Unreadable('{"id": 1, "city":', "not JSON")),
        (3, {"id": 2}),
        (4, Unreadable("id,city", "not JSON")),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "the file is empty"),
        ('{"value": []}', "the file is empty"),
        ('[{"id": 1},\n{"id": 2}', "line 2: the file is cut off"),
        ('[{"id": 1},\n{"id": 2},\n', "line 3: the file is cut off"),
        ('[{"id": 1},\n{"id": "a', "line 2: not JSON, or cut off: unterminated string"),
        ('{"value": [{"id": 1}]', "line 1: the file is cut off"),
        ('{\n"value": [{"id": 1}],\n "a"', "line 3: the file is cut off"),
        ('[{"id": 1},\n{"id": 2} {"id": 3}]', "line 2: not JSON: expecting ',' or ']'"),
        ('[{"id": 1},\n{id: 2}]', "line 2: not JSON, or cut off: expecting property name"),
        ('[{"id": 1},\n]', "line 2: not JSON, or cut off: expecting value"),
        ("[\n" + "[" * 100_000, "line 2: the record is nested too deeply"),
        ('[\n{"id": "' + "x" * (1 << 20) + '"}]', "line 2: the record is longer than a mebibyte"),
        ('[\n{"id": "' + "x" * (2 << 20) + '"}]', "not JSON, or longer than a mebibyte"),
        ('{\n"a": 1,\n b: 2}', "line 3: not JSON: expecting a name in double quotes"),
        ('{\n"a": [{"id": 1}],\n"b": [{"id": 2}]}', "line 3: the lists 'a' and 'b' both hold"),
        ("{\n" + ",".join(f'"{n}": "{"x" * 1000}"' for n in range(1100)) + "}", "the object is lo"),
        ('[\n{"id": 1}]\nrest', "line 3: not JSON: expecting a list or an object"),
    ],
)
def test_documents_that_are_cut_off_or_broken_are_refused(
    read: Read, content: str, message: str
) -> None:
    with pytest.raises(ImportRefusedError) as caught:
        read(content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_across_the_pieces_that_are_read(read: Read) -> None:
    records = [{"id": n, "text": "äöü" * (n % 700), "n": n / 7} for n in range(700)]
    assert read(json.dumps(records, ensure_ascii=False)).rows == records
    assert read(json.dumps({"value": records}, indent=3)).rows == records
    assert read("[" + "1234567," * 70_000 + "7]").rows[-1] == Unreadable("7", "not a JSON object")


def test_columns_are_those_of_all_records(read: Read) -> None:
    records = [{"id": n, f"c{n // 400}": n} for n in range(1400)]
    for content in (json.dumps(records), "\n".join(map(json.dumps, records))):
        found = read(content)
        assert found.rows == records
        assert found.columns == ("id", "c0", "c1", "c2", "c3")


def page(records: list[dict[str, Any]], link: str | None = None, count: int | None = None) -> str:
    links = {"@odata.nextLink": link} if link else {}
    return json.dumps({"@odata.context": "x", "@odata.count": count, "value": records, **links})


def test_pages_beside_the_file_follow(read: Read, write: Write) -> None:
    write(page(RECORDS[1:2], "page 3.json.gz"), "page2.json")
    write(page(RECORDS[2:]), "page 3.json.gz")
    write(page([], "page2.json"), "empty.json")
    found = read(page(RECORDS[:1], "empty.json", count=3))
    assert [number for number, _ in found.numbered] == [1, 2, 3]
    assert found.rows == RECORDS
    assert not found.notes


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://api.example.com/Property?$skip=1&access_token=secret", None),
        ("Property?$skip=1", "Property"),
        ("../a.json", None),
        ("/etc/passwd", None),
        ("sub/b.json", None),
        ("..", None),
        ("none.json", None),
        ("a.json", None),
        ("a\0b", None),
        ("x" * 5000, "x" * 60),
    ],
)
def test_a_page_elsewhere_is_noted(read: Read, link: str, shown: str | None) -> None:
    found = read(page(RECORDS, link))
    assert found.rows == RECORDS
    (note,) = found.notes
    shown = shown or link.partition("?")[0]
    assert note == (f"further records are at {shown!r}, which is not in this folder")


def test_a_broken_page_is_refused_by_its_name(read: Read, write: Write) -> None:
    write(page(RECORDS)[:-5], "b.json")
    with pytest.raises(ImportRefusedError, match=r"b\.json: line 1: .* cut off"):
        read(page(RECORDS, "b.json"))


def test_fewer_records_than_the_server_counts_are_noted(read: Read) -> None:
    found = read(page(RECORDS, count=1200))
    assert found.notes == ["the answer counts 1,200 records, and 3 are here"]


@pytest.mark.parametrize("content", ["[id],[city]\n1,Kent\n", "{x},city\n1,Kent\n"])
def test_a_header_in_brackets_is_csv(read: Read, content: str) -> None:
    assert read(content, "a.csv").columns[1].strip("[]") == "city"
