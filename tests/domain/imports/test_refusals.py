"""Files, mappings and constants that are refused as a whole, with one line that says why."""

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from domain.core.database import Database
from domain.imports.interactions import import_interactions
from domain.imports.options import ImportOptions
from domain.imports.properties import import_properties
from domain.imports.report import ImportRefusedError, ImportReport
from domain.imports.sources import FileSource
from domain.tenants.tenants import Tenant

Load = Callable[..., Awaitable[ImportReport]]

PACKED = gzip.compress(b"external_id\n" + b"".join(b"%d\n" % number for number in range(99_999)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\n \n", "the file is empty"),
        ("a.csv.gz", b"", "the file is empty"),
        ("a.jsonl", b"\n\n", "the file is empty"),
        ("a.csv.gz", b"external_id\nA\n", "not a gzip file, although its name ends in .gz"),
        ("a.csv", PACKED[:5000], "damaged gzip file"),
        ("a.csv", PACKED[:5000] + b"!" + PACKED[5001:], "damaged gzip file"),
        ("a.csv", b"external_id\n" + b"x" * (2 << 20), "line 2 is longer than a mebibyte"),
        ("a.csv", b"x;city\n1;Kent\n", "no column 'external_id'; name it with --map external_id="),
        ("a.csv", b"x,city\n1,Kent\n", "COLUMN; the file has 'x', 'city'"),
        ("a.jsonl", b'{"x": 1}\n{"x": 2}\n', "no column 'external_id'"),
        ("a.csv", b"external_id,city,city\n1,a,b\n", "there are two columns 'city'"),
        ("a.csv", b'"external_id"x\n1\n', "the header is not CSV: a quote is not closed"),
    ],
)
async def test_files(
    tmp_path: Path, database: Database, tenant: Tenant, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImportRefusedError) as caught:
        async with database.work(tenant.id) as work:
            await import_properties(work, FileSource(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_no_such_file(tmp_path: Path, database: Database, tenant: Tenant) -> None:
    for path, message in (
        (tmp_path / "none.csv", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ImportRefusedError, match=message):
            async with database.work(tenant.id) as work:
                await import_properties(work, FileSource(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapping": {"price": "p"}}, "--map price=p: no such field; use one of external_id,"),
        ({"constants": {"price": "1"}}, "--set price=1: no such field; use one of external_id,"),
        ({"mapping": {"city": "Town"}}, "no column 'Town'; the file has 'external_id', 'city'"),
        ({"mapping": {"city": "x"}, "constants": {"city": "y"}}, "city is both mapped and set"),
        ({"constants": {"latitude": "91"}}, "--set latitude=91: must be at most 90"),
        ({"constants": {"property_type": "hut"}}, "--set property_type=hut: use one of"),
        ({"constants": {"external_id": "A"}}, "every row needs an external id of its own"),
        ({"words": {"colour": {"red": "1"}}}, "--value colour: no such field; use one of"),
        ({"words": {"property_type": {"loft": "hut"}}}, "--value property_type:loft=hut: use one"),
        ({"format": "excel"}, "--format excel: use one of auto, plain, reso"),
    ],
)
async def test_options(load: Load, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImportRefusedError) as caught:
        await load("external_id,city\nA,Kent\n", **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_mapped_name_must_occur_in_json_lines(load: Load) -> None:
    with pytest.raises(ImportRefusedError, match="no column 'Town'; the file has"):
        await load('{"external_id": 1}\n', "a.jsonl", mapping={"city": "Town"})


async def test_interactions_name_their_fields(
    tmp_path: Path, database: Database, tenant: Tenant
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("property,user,occurred_at\n1,2,2024-05-01\n")
    with pytest.raises(ImportRefusedError, match="no column 'kind'; name it with --map kind="):
        async with database.work(tenant.id) as work:
            await import_interactions(work, FileSource(path))
    with pytest.raises(ImportRefusedError, match="--set kind=LOOK: use one of VIEW, SAVE"):
        async with database.work(tenant.id) as work:
            await import_interactions(
                work, FileSource(path), ImportOptions(constants={"kind": "LOOK"})
            )


async def test_a_refused_file_leaves_nothing_behind(load: Load, database: Database) -> None:
    with pytest.raises(ImportRefusedError, match="longer than a mebibyte"):
        await load(b"external_id\nA\n" + b"x" * (2 << 20))
    # The connection that COPY was broken off on is of use again.
    assert (await load("external_id\nA\n")).inserted == 1
