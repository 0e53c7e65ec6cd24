import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import Database
from domain.core.work import Job
from domain.imports.missing import DeletionLimit
from domain.imports.report import ImportRefusedError, ImportReport, StrictImportError
from domain.jobs.index_outbox import Marked
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from tests.factories import take_marks

Load = Callable[..., Awaitable[ImportReport]]
Stored = Callable[..., Awaitable[dict[str, Property]]]

FULL = """\
external_id,address,city,state,zipcode,latitude,longitude,property_type,listing_status,\
listing_price,estimated_value,cap_rate,cash_on_cash_return,bedrooms,bathrooms,square_feet,\
lot_square_feet,year_built,days_on_market,condition_score,renovation_needed,listed_at,\
source_system,confidence
A1,"12 Main St, Apt 3",Seattle,WA,98103,47.66,-122.34,single family,active,500000,510000.5,0.055,\
0.08,3,2.25,1800,5000,1960,12,0.5,no,2024-05-01,mls,0.9
"""


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    return (report.read, report.inserted, report.updated, report.unchanged, report.skipped)


async def test_every_column_arrives(
    database: Database, tenant: Tenant, load: Load, stored: Stored
) -> None:
    report = await load(FULL)
    assert counts(report) == (1, 1, 0, 0, 0)
    found = (await stored())["A1"]
    assert found.address == "12 Main St, Apt 3"
    assert found.property_type is PropertyType.SINGLE_FAMILY
    assert found.listing_status is ListingStatus.ACTIVE
    assert (found.latitude, found.longitude) == (47.66, -122.34)
    assert (found.listing_price, found.estimated_value) == (500_000, 510_000.5)
    assert (found.bedrooms, found.bathrooms, found.year_built) == (3, 2.25, 1960)
    assert found.renovation_needed is False
    assert found.listed_at == datetime(2024, 5, 1, tzinfo=UTC)
    assert (found.source_system, found.confidence, found.engagement) == ("mls", 0.9, 0)
    stamp = found.provenance["listing_price"]
    assert stamp["source"] == "mls"
    assert stamp["confidence"] == 0.9
    assert datetime.fromisoformat(stamp["observed_at"]) <= datetime.now(UTC)
    assert "source_system" not in found.provenance
    assert "external_id" not in found.provenance
    assert len(found.provenance) == 21
    assert await take_marks(database, tenant) == {(Marked.PROPERTY, found.id)}


async def test_a_repeated_import_writes_nothing(
    load: Load, stored: Stored, enqueued: list[Job]
) -> None:
    await load(FULL)
    before = (await stored())["A1"]
    enqueued.clear()
    report = await load(FULL)
    after = (await stored())["A1"]
    assert counts(report) == (1, 0, 0, 1, 0)
    assert (after.updated_at, after.provenance) == (before.updated_at, before.provenance)
    assert enqueued == []


async def test_a_change_touches_only_what_changed(load: Load, stored: Stored) -> None:
    await load("external_id,city,listing_price,bedrooms\nA,Seattle,100,3\nB,Seattle,200,2\n")
    before = await stored()
    report = await load(
        "external_id,city,listing_price,bedrooms\nA,Seattle,150,\nB,Seattle,200,2\n",
        constants={"source_system": "feed", "confidence": "0.5"},
    )
    after = await stored()
    assert counts(report) == (2, 0, 2, 0, 0)  # B's source system changed
    assert (after["A"].city, after["A"].listing_price, after["A"].bedrooms) == (
        "Seattle",
        150,
        None,
    )
    assert after["A"].updated_at > before["A"].updated_at
    assert after["A"].provenance.keys() == {"city", "listing_price"}
    assert after["A"].provenance["city"] == before["A"].provenance["city"]
    assert after["A"].provenance["city"]["source"] == "import"
    assert after["A"].provenance["city"]["confidence"] is None
    assert after["A"].provenance["listing_price"]["source"] == "feed"
    assert after["A"].provenance["listing_price"]["confidence"] == 0.5
    assert after["B"].provenance == before["B"].provenance


async def test_more_provenances_than_are_numbered(
    load: Load, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.imports.properties.STAMPS_LIMIT", 2)
    rows = "".join(f"{number},{number},{number % 5 / 10}\n" for number in range(10))
    await load(f"external_id,bedrooms,confidence\n{rows}")
    stamps = {name: one.provenance["bedrooms"] for name, one in (await stored()).items()}
    assert {name: stamp["confidence"] for name, stamp in stamps.items()} == {
        str(number): number % 5 / 10 for number in range(10)
    }


async def test_columns_that_the_file_lacks_stay(load: Load, stored: Stored) -> None:
    await load(FULL)
    before = (await stored())["A1"]
    report = await load("external_id,listing_price\nA1,450000\n")
    after = (await stored())["A1"]
    assert report.updated == 1
    for column in Property.__table__.columns:
        # The last is made of others, by the database.
        if column.name not in ("listing_price", "provenance", "updated_at", "search"):
            assert getattr(after, column.name) == getattr(before, column.name)
    assert after.listing_price == 450_000
    kept = {name: stamp for name, stamp in after.provenance.items() if name != "listing_price"}
    assert kept.items() <= before.provenance.items()


async def test_json_lines_may_give_other_fields_in_each_line(load: Load, stored: Stored) -> None:
    await load('{"external_id": "A", "city": "Kent", "bedrooms": 2}\n', "a.jsonl")
    report = await load(
        '{"external_id": "A", "bedrooms": null}\n\n'
        '{"external_id": 7, "zipcode": 98101, "renovation_needed": true, "more": [1]}\n',
        "b.jsonl.gz",
    )
    found = await stored()
    assert counts(report) == (2, 1, 1, 0, 0)
    assert (found["A"].city, found["A"].bedrooms) == ("Kent", None)
    assert found["A"].provenance.keys() == {"city"}
    assert (found["7"].zipcode, found["7"].renovation_needed) == ("98101", True)
    assert report.notes == ["ignored columns: 'more'"]


async def test_map_and_set(load: Load, stored: Stored) -> None:
    report = await load(
        "\ufeffParcel, Price ,city,state,Colour\n1,5,Renton,OR,red\n",
        "file.csv.gz",
        mapping={"external_id": "Parcel", "listing_price": "Price"},
        constants={"state": "WA", "property_type": "condo"},
    )
    found = (await stored())["1"]
    assert (found.listing_price, found.city, found.state) == (5, "Renton", "WA")
    assert found.property_type is PropertyType.CONDO
    assert report.notes == ["ignored columns: 'Colour', 'state'"]


TYPES = "use one of SINGLE_FAMILY, CONDO, TOWNHOUSE, MULTI_FAMILY, LAND"
NUMBER = "not a number; write it plainly, e.g. 350000 or 2.5"
DATE = "not an ISO 8601 time; write e.g. 2024-05-01 or 2024-05-01T09:30:00Z"
ORDER = "the day or the month may come first; say --dates MDY or --dates DMY"
EPOCH = "a number is not a time; write e.g. 2024-05-01T09:30:00Z"
MISSING = "is missing, and every row needs it"
QUOTE = "a quote is not closed or not doubled"
REPEATED = "repeated further down; the last row counts"
LONG = "x" * 201

# Lines of a file, and the column, value and reason of each problem that is to be reported.
SKIPPED: list[tuple[str, list[tuple[str | None, str, str]]]] = [
    ("A,condo,1", [(None, "3 of 6", "too few fields")]),
    ("B,1,,,,,,", [(None, "8 of 6", "too many fields")]),
    (" ,condo,,,,", [("external_id", "", MISSING)]),
    ("N/A,condo,,,,", [("external_id", "N/A", MISSING)]),
    (f"{LONG},,,,,", [("external_id", "x" * 79 + "…", "longer than 200 characters")]),
    ("a\0b,,,,,", [("external_id", "a\0b", "holds a zero byte")]),
    ('"Q"uote,,,,,', [(None, "ends in line 8", QUOTE)]),
    ("S,condo,1,1,1,2024-05-01", [("external_id", "S", REPEATED)]),
]
HEADER = "external_id,property_type,latitude,Price,bedrooms,listed_at\n"
SKIPPED_FILE = HEADER + "".join(f"{line}\n" for line, _ in SKIPPED) + "\nS,land,2,2,2,2024-05-02\n"


async def test_rows_without_a_good_id_are_skipped_and_reported(load: Load, stored: Stored) -> None:
    report = await load(SKIPPED_FILE, mapping={"listing_price": "Price"})
    assert counts(report) == (len(SKIPPED) + 1, 1, 0, 0, len(SKIPPED))
    assert [(one.line, one.column, one.value, one.reason) for one in report.problems] == [
        (number, *problem)
        for number, (_, problems) in enumerate(SKIPPED, 2)
        for problem in problems
    ]
    assert report.by_reason[f"external_id: {MISSING}"] == 2
    assert report.by_reason["too few fields"] == 1
    found = await stored()
    assert found.keys() == {"S"}
    assert found["S"].listing_price == 2
    text = "\n".join(report.lines())
    assert "9 rows read: 1 new, 0 changed, 0 unchanged, 8 skipped" in text
    assert "line 2: too few fields: 3 of 6" in text
    assert text.replace("\n", "").isprintable()


IGNORED = [
    ("property_type", "castle", TYPES),
    ("latitude", "91", "must be at most 90"),
    ("latitude", "-90.5", "must be at least -90"),
    ("Price", "-1", "must be at least 0"),
    ("Price", "(300)", "must be at least 0"),
    ("Price", "dear", NUMBER),
    ("Price", "1e13", "must be at most 1000000000000"),
    ("bedrooms", "2.5", "not a whole number"),
    ("bedrooms", "many", "not a whole number"),
    ("bedrooms", "10001", "must be at most 10000"),
    ("listed_at", "05/01/2024", ORDER),
    ("listed_at", "1714550400", EPOCH),
    ("listed_at", "soon", DATE),
    ("listed_at", "1730-01-01", "must be at least 1900-01-01T00:00:00Z"),
]


@pytest.mark.parametrize("blank", [False, True], ids=["erase", "keep"])
@pytest.mark.parametrize(("column", "value", "reason"), IGNORED)
async def test_a_bad_optional_value_is_left_out_and_overwrites_nothing(
    load: Load, stored: Stored, column: str, value: str, reason: str, blank: bool
) -> None:
    await load(HEADER + "A,condo,1,1,1,2024-05-01\n", mapping={"listing_price": "Price"})
    content = f"external_id,{column},city\nA,{value},Kent\n"
    mapping = {"listing_price": "Price"} if column == "Price" else {}
    report = await load(content, mapping=mapping, keep_blank=blank)
    assert counts(report) == (1, 0, 1, 0, 0)
    ((kind, tally),) = report.ignored.items()
    assert (kind, tally.count) == (f"{column}: {reason}", 1)
    assert [(one.line, one.given) for one in tally.examples] == [(2, value)]
    found = (await stored())["A"]
    assert (found.city, found.property_type, found.latitude) == ("Kent", "CONDO", 1)
    assert (found.listing_price, found.bedrooms) == (1, 1)
    assert found.listed_at == datetime(2024, 5, 1, tzinfo=UTC)
    assert f"  1 x {column}: {reason}: line 2 {value!r}" in report.lines()


async def test_bad_json_lines(load: Load, stored: Stored) -> None:
    content = (
        '{"external_id": "A", "listing_price": NaN}\n[1]\n"text"\n{"external_id": \n'
        '{"listing_price": 5}\n{"external_id": "B", "bathrooms": true, "city": {"a": 1}}\n'
        '{"external_id": "C", "listed_at": 20240501}\n{"external_id": "D"}'
    )
    report = await load(content, "a.ndjson")
    assert counts(report) == (8, 3, 0, 0, 5)
    assert [(one.line, one.column, one.reason) for one in report.problems] == [
        (1, None, "not JSON"),
        (2, None, "not a JSON object"),
        (3, None, "not a JSON object"),
        (4, None, "not JSON"),
        (5, "external_id", MISSING),
    ]
    assert report.ignored.keys() == {
        "city: not text", f"bathrooms: {NUMBER}", f"listed_at: {EPOCH}",
    }  # fmt: skip
    assert (await stored()).keys() == {"B", "C", "D"}


async def test_more_problems_than_are_shown(load: Load) -> None:
    rows = "".join(f",{number}\n" for number in range(70))
    report = await load(f"external_id,latitude\nA,1\n{rows}A,2\n")
    assert report.skipped == 71
    assert len(report.problems) == 50
    assert report.problems[0].line == 2  # found last, by its repetition in line 73
    assert report.by_reason.total() == 71
    assert report.lines()[-1] == "  and 61 more"


async def test_strict_loads_nothing(load: Load, stored: Stored, enqueued: list[Job]) -> None:
    with pytest.raises(
        StrictImportError, match="2 of 5 rows and 1 values of others are bad"
    ) as caught:
        await load("external_id,bedrooms\nA,1\nA,2\nB,-1\nC,3\n ,4\n", strict=True)
    report = caught.value.report
    assert counts(report) == (5, 0, 0, 0, 2)
    assert [one.line for one in report.problems] == [2, 6]
    assert report.ignored["bedrooms: must be at least 0"].count == 1
    assert await stored() == {}
    assert enqueued == []
    assert (await load("external_id\nA\n", strict=True)).inserted == 1


async def test_delete_missing(
    database: Database, tenant: Tenant, load: Load, stored: Stored
) -> None:
    await load("external_id,bedrooms\nA,1\nB,1\nC,1\nD,1\n")
    before = await stored()
    await take_marks(database, tenant)
    report = await load(
        "external_id,bedrooms\nA,1\nB,-1\nA,2\n",
        delete_missing=True,
        delete_at_most=DeletionLimit.parse("50%"),
    )
    assert counts(report) == (3, 0, 1, 1, 1)
    assert report.deleted == 2
    after = await stored()
    assert after.keys() == {"A", "B"}  # a bad value does not lose its property
    assert (after["A"].bedrooms, after["B"].bedrooms) == (2, 1)
    assert await take_marks(database, tenant) == {
        (Marked.PROPERTY, before[name].id) for name in "ACD"
    }
    assert "2 properties deleted" in report.lines()


@pytest.mark.parametrize("bad", ["C", "C,1,1", ",1", '"C"1,2', "x" * 300 + ",1"])
async def test_nothing_is_deleted_while_a_row_may_belong_to_any_property(
    load: Load, stored: Stored, bad: str
) -> None:
    await load("external_id,bedrooms\nA,1\nB,1\n")
    report = await load(f"external_id,bedrooms\nA,2\n{bad}\n", delete_missing=True)
    assert (report.updated, report.skipped, report.deleted) == (1, 1, 0)
    assert (await stored()).keys() == {"A", "B"}
    assert report.notes == ["nothing was deleted: 1 skipped rows have no readable id"]


async def test_an_empty_full_file_does_not_delete_everything(load: Load, stored: Stored) -> None:
    await load("external_id\nA\n")
    with pytest.raises(ImportRefusedError, match="no valid row"):
        await load("external_id\n", delete_missing=True)
    assert (await stored()).keys() == {"A"}
    assert counts(await load("external_id\n")) == (0, 0, 0, 0, 0)


async def test_tenants_do_not_touch_each_other(
    load: Load, stored: Stored, tenant: Tenant, other_tenant: Tenant
) -> None:
    await load("external_id,bedrooms\nA,1\nB,1\n")
    report = await load("external_id,bedrooms\nA,2\n", into=other_tenant, delete_missing=True)
    assert (report.inserted, report.deleted) == (1, 0)
    mine, theirs = await stored(), await stored(other_tenant)
    assert {name: one.bedrooms for name, one in mine.items()} == {"A": 1, "B": 1}
    assert {name: one.bedrooms for name, one in theirs.items()} == {"A": 2}
    assert (mine["A"].tenant_id, theirs["A"].tenant_id) == (tenant.id, other_tenant.id)


async def test_many_changes_mark_everything(
    database: Database, tenant: Tenant, load: Load, enqueued: list[Job]
) -> None:
    def file(count: int) -> str:
        return "external_id\n" + "".join(f"{number}\n" for number in range(count))

    await load(file(1100))
    assert len(await take_marks(database, tenant)) == 1100
    report = await load(file(6101))
    assert report.inserted == 5001
    assert await take_marks(database, tenant) == {(Marked.EVERYTHING, tenant.id)}
    assert [job.function for job in enqueued] == ["index_marked"] * 2


async def test_progress_in_bytes_of_the_file(load: Load) -> None:
    told: list[tuple[int, int]] = []
    content = "external_id\n" + "".join(f"{number}\n" for number in range(12_000))

    def progress(done: int, size: int) -> None:
        told.append((done, size))

    await load(content, "file.csv.gz", progress=progress)
    size = told[0][1]
    assert len(told) >= 3
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (size, size)
    assert size < len(content) / 2


async def test_quoted_fields_may_hold_lines(load: Load, stored: Stored) -> None:
    report = await load('external_id,address,bedrooms\r\nA,"1 ""Big""\r\nSt",2\r\nB,2 St,-2\r\n')
    assert (await stored())["A"].address == '1 "Big" St'
    assert report.ignored["bedrooms: must be at least 0"].examples[0].line == 4


async def test_concurrent_imports_take_turns(
    load: Load, stored: Stored, database: Database, tenant: Tenant
) -> None:
    def file(bedrooms: int, *, backwards: bool) -> str:
        numbers = sorted(range(300), reverse=backwards)
        return "external_id,bedrooms\n" + "".join(f"{one},{bedrooms}\n" for one in numbers)

    reports = await asyncio.gather(
        *(load(file(number, backwards=number % 2 == 0), f"{number}.csv") for number in range(4))
    )
    assert sum(report.inserted for report in reports) == 300
    assert sum(report.updated for report in reports) == 900
    assert len({one.bedrooms for one in (await stored()).values()}) == 1
    async with database.work(tenant.id) as work:
        assert await work.session.scalar(select(func.count()).select_from(Property)) == 300
