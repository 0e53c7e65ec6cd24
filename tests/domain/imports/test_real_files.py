"""Files as portals, listing services, cities and CRMs write them, and what they must not do."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import Database
from domain.imports.report import ImportRefusedError, ImportReport
from domain.interactions.interactions import Interaction
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from tests import portals

Load = Callable[..., Awaitable[ImportReport]]
Stored = Callable[..., Awaitable[dict[str, Property]]]


def ignored(report: ImportReport) -> dict[str, int]:
    return {kind: tally.count for kind, tally in report.ignored.items()}


def changed(report: ImportReport) -> dict[str, int]:
    return {kind: tally.count for kind, tally in report.changed.items()}


async def test_one_city_in_two_unicode_forms_is_one(load: Load, stored: Stored) -> None:
    await load("external_id,city\nU1,San Jos\u00e9\nU2,San Jose\u0301\n")
    assert {one.city for one in (await stored()).values()} == {"San Jos\u00e9"}


async def test_ids_in_two_unicode_forms_are_one_property(load: Load, stored: Stored) -> None:
    report = await load("external_id\nCaf\u00e9-1\nCafe\u0301-1\n")
    assert (report.inserted, report.skipped) == (1, 1)
    assert (await stored()).keys() == {"Caf\u00e9-1"}


async def test_a_compact_time_is_read_to_the_second(
    load: Load, load_acts: Load, stored: Stored, database: Database, tenant: Tenant
) -> None:
    await load("external_id,listed_at\nC1,20260203123015000\n")
    moment = datetime(2026, 2, 3, 12, 30, 15, tzinfo=UTC)
    assert (await stored())["C1"].listed_at == moment
    acts = "property,user,kind,occurred_at\nC1,u1,VIEW,20260203123015000\n"
    assert (await load_acts(acts, create_users=True)).inserted == 1
    async with database.work(tenant.id) as work:
        assert await work.session.scalar(select(Interaction.occurred_at)) == moment


PORTAL = """\
PROPERTY TYPE,ADDRESS,CITY,STATE OR PROVINCE,ZIP OR POSTAL CODE,PRICE,BEDS,BATHS,\
SQUARE FEET,STATUS,MLS#
Single Family Residential,1 A St,Kent,WA,98030,500000,3,2.5,1500,Active,1001
Condo/Co-op,2 A St,Kent,WA,98030,400000,2,2,900,Active,1002
Multi-Family (2-4 Unit),3 A St,Kent,WA,98030,800000,6,4,3000,Contingent,1003
Vacant Land,4 A St,Kent,WA,98030,100000,,,,Active,1004
Castle,5 A St,Kent,WA,98030,100000,,,,Active,1005
castle,6 A St,Kent,WA,98030,100000,,,,Active,1006
"""


async def test_words_of_a_portal_load_by_themselves(load: Load, stored: Stored) -> None:
    report = await load(PORTAL)
    assert (report.inserted, report.skipped, report.format) == (6, 0, "redfin")
    assert report.mapping["listing_price"] == "PRICE"
    found = await stored()
    assert [found[f"100{n}"].property_type for n in range(1, 6)] == [
        PropertyType.SINGLE_FAMILY, PropertyType.CONDO, PropertyType.MULTI_FAMILY,
        PropertyType.LAND, None,
    ]  # fmt: skip
    assert found["1003"].listing_status is ListingStatus.PENDING
    assert found["1001"].bathrooms == 2.5
    assert dict(report.unknown_words["property_type"]) == {"Castle": 1, "castle": 1}
    assert "  property_type: 'Castle' (1), 'castle' (1)" in report.lines()


async def test_a_map_of_values_overrides_the_words(load: Load, stored: Stored) -> None:
    words = {"property_type": {"Castle": "SINGLE_FAMILY", "Vacant Land": "CONDO"}}
    report = await load(PORTAL, words=words)
    found = await stored()
    assert found["1006"].property_type is PropertyType.SINGLE_FAMILY
    assert found["1004"].property_type is PropertyType.CONDO
    assert report.unknown_words == {}


async def test_an_unknown_word_does_not_overwrite(load: Load, stored: Stored) -> None:
    await load("external_id,property_type\nA,CONDO\n")
    report = await load("external_id,property_type\nA,Castle\n")
    assert (report.unchanged, report.updated) == (1, 0)
    assert (await stored())["A"].property_type is PropertyType.CONDO


@pytest.mark.parametrize(
    "subtype", ["Single Family Residence", "SingleFamilyResidence", ["Single Family Residence"]]
)
async def test_words_of_reso_load_by_themselves(load: Load, stored: Stored, subtype: Any) -> None:
    record = {
        "ListingKey": "1",
        "ListPrice": 1,
        "PropertySubType": subtype,
        "StandardStatus": "Active Under Contract",
    }
    report = await load(json.dumps(record), "reso.jsonl")
    assert report.format == "reso"
    found = (await stored())["1"]
    assert found.property_type is PropertyType.SINGLE_FAMILY
    assert found.listing_status is ListingStatus.PENDING
    assert found.listing_price == 1


async def test_null_words_are_missing_and_noted(load: Load, stored: Stored) -> None:
    report = await load(
        "external_id,city,zipcode,listing_price\nW1,NULL,N/A,1\nW2,\\N,nan,2\nN/A,Kent,1,1\n"
    )
    found = await stored()
    assert found.keys() == {"W1", "W2"}
    assert {(one.city, one.zipcode) for one in found.values()} == {(None, None)}
    assert changed(report) == {"city: null word": 2, "zipcode: null word": 2}
    assert "  2 x city: null word: line 2 'NULL' -> missing, line 3 '\\\\N' -> missing" in (
        report.lines()
    )
    assert "city" not in found["W1"].provenance


async def test_a_quoted_value_after_a_blank(load: Load, stored: Stored) -> None:
    await load('external_id, city\nQ1, "Kent, WA"\n')
    assert (await stored())["Q1"].city == "Kent, WA"


async def test_a_null_word_makes_no_user(load: Load, load_acts: Load) -> None:
    await load("external_id\nA\n")
    acts = "property,user,kind,occurred_at\nA,NULL,VIEW,2024-05-01\nN/A,u,VIEW,2024-05-01\n"
    report = await load_acts(acts, create_users=True)
    assert (report.skipped, report.users_created) == (2, 0)


async def test_an_id_that_was_a_number_once_is_one_property(load: Load, stored: Stored) -> None:
    lines = '{"external_id": 2023662, "city": "Kent"}\n{"external_id": 2023662.0, "city": "Kent"}\n'
    report = await load(lines, "ids.jsonl")
    assert (report.inserted, report.skipped) == (1, 1)
    assert (await stored()).keys() == {"2023662"}
    assert (await load("external_id,city\n2023662.0,Kent\n")).unchanged == 1


async def test_acts_name_properties_and_users_by_canonical_ids(load: Load, load_acts: Load) -> None:
    await load("external_id\n2023662\n")
    acts = "property,user,kind,occurred_at\n2023662.0,7.0,VIEW,2024-05-01\n"
    assert (await load_acts(acts, create_users=True)).inserted == 1
    acts = "property,user,kind,occurred_at\n2023662,7,SAVE,2024-05-02\n"
    assert (await load_acts(acts)).inserted == 1


async def test_the_given_zip_code_is_kept(load: Load, stored: Stored) -> None:
    await load('external_id,zipcode\nZ1,02139\nZ2,2139\nZ4,02139-1234\nZ5,"=""02139"""\nZ6,0\n')
    codes = {name: one.zipcode for name, one in (await stored()).items()}
    assert codes == {"Z1": "02139", "Z2": "2139", "Z4": "02139-1234", "Z5": "02139", "Z6": None}


PLACES = {
    "0,0": None,
    "0.000000,-0.0": None,
    "0.0001,0.0001": None,
    "-1,-1": None,
    "999,999": None,
    "91.8,22.3": (22.3, 91.8),
    "47.6,181": None,
    "90,180": None,
    "51.4779,0": (51.4779, 0),
    "0,-78.4558": (0, -78.4558),
    "5.6037,-0.1870": (5.6037, -0.187),
    "-122.33,47.61": (47.61, -122.33),
    "-73.98,40.75": (40.75, -73.98),
    "-33.87,151.21": (-33.87, 151.21),
    "151.21,-33.87": (-33.87, 151.21),
    "40.4168,-3.7038": (40.4168, -3.7038),
    "47612345,-122331234": None,
}


@pytest.mark.parametrize("place", PLACES)
async def test_coordinates_that_stand_for_no_place(load: Load, stored: Stored, place: str) -> None:
    wanted = PLACES[place]
    header = "external_id,latitude,longitude,city\n"
    await load(f"{header}A,47.5,-122.5,Kent\n")
    report = await load(f"{header}A,{place},Kent\nB,{place},Kent\n")
    found = await stored()
    assert (found["B"].latitude, found["B"].longitude) == (wanted or (None, None))
    # What stands for no place does not overwrite one.
    assert (found["A"].latitude, found["A"].longitude) == (wanted or (47.5, -122.5))
    assert bool(report.ignored) is (wanted is None)
    assert report.skipped == 0


async def test_places_of_json_numbers(load: Load, stored: Stored) -> None:
    await load('[{"external_id": "A", "latitude": 0, "longitude": 0}]', "a.json")
    assert (await stored())["A"].latitude is None


async def test_year_0_is_no_year(load: Load, stored: Stored) -> None:
    await load("external_id,year_built\nA,1985\n")
    report = await load("external_id,year_built\nA,0\nB,0000\n")
    assert ignored(report) == {"year_built: 0 is not a year": 2}
    assert {name: one.year_built for name, one in (await stored()).items()} == {
        "A": 1985,
        "B": None,
    }


BLANKS = ["", " ", '""', "N/A", " - ", "NULL"]


@pytest.mark.parametrize("blank", BLANKS)
async def test_a_blank_erases_or_keeps(load: Load, stored: Stored, blank: str) -> None:
    for keep in (True, False):
        await load("external_id,listing_price,bedrooms\nB1,500000,3\n")
        before = (await stored())["B1"]
        report = await load(
            f"external_id,listing_price,bedrooms\nB1,{blank},4\nB2,{blank},2\n", keep_blank=keep
        )
        found = await stored()
        assert found["B1"].listing_price == (500_000 if keep else None)
        assert (found["B1"].bedrooms, found["B2"].listing_price) == (4, None)
        assert report.updated == 1
        assert ("listing_price" in found["B1"].provenance) is keep
        assert before.id == found["B1"].id


async def test_only_a_blank_that_keeps_changes_nothing(load: Load, stored: Stored) -> None:
    await load("external_id,listing_price,city\nB1,500000,Kent\n")
    before = (await stored())["B1"].updated_at
    report = await load("external_id,listing_price,city\nB1,,Kent\n", keep_blank=True)
    assert (report.updated, report.unchanged) == (0, 1)
    assert (await stored())["B1"].updated_at == before


ARRAY = '[\n {\n  "external_id": "J1",\n  "city": "Kent"\n },\n {\n  "external_id": "J2"\n }\n]\n'
ODATA = '{"@odata.count": 1, "value": [{"external_id": "J3", "city": "Kent"}]}\n'


async def test_a_json_array_and_an_odata_answer_load(load: Load, stored: Stored) -> None:
    assert (await load(ARRAY, "listings.json")).inserted == 2
    assert (await load(ODATA, "odata.json")).inserted == 1
    assert (await stored()).keys() == {"J1", "J2", "J3"}


@pytest.mark.parametrize(
    "content",
    [
        '{"@odata.count": 100, "value": [{"external_id": "J3"}]}',
        '{"value": [{"external_id": "J3"}], "@odata.nextLink": "page2.json"}',
        '{"value": [{"external_id": "J3"}], "@odata.nextLink": "https://x.example/y?skip=1"}',
    ],
)
async def test_a_feed_that_says_it_goes_on_deletes_nothing(
    load: Load, stored: Stored, content: str
) -> None:
    await load("external_id\nJ1\nJ3\n")
    with pytest.raises(ImportRefusedError, match="so --delete-missing would delete too much"):
        await load(content, "odata.json", delete_missing=True)
    assert (await stored()).keys() == {"J1", "J3"}
    assert (await load(content, "odata.json")).unchanged == 1


def same(one: Any, other: Any) -> bool:
    return bool(one == pytest.approx(other) if isinstance(other, float) else one == other)


@pytest.mark.parametrize(
    ("export", "name"),
    [
        (portals.redfin_csv(2000, 1), "redfin.csv"),
        (portals.reso_answer(1000, 1), "reso.json"),
    ],
    ids=["redfin", "reso"],
)
async def test_an_export_loads_whole_with_no_option(
    load: Load, stored: Stored, export: portals.Export, name: str
) -> None:
    assert export.options == ()
    report = await load(export.content, name)
    assert (report.read, report.inserted, report.skipped) == (
        len(export.truth), len(export.truth), 0,
    )  # fmt: skip
    assert report.format == name.partition(".")[0]
    found = await stored()
    for truth in export.truth:
        row = found[truth["external_id"]]
        for field, value in truth.items():
            assert same(getattr(row, field), value), (truth["external_id"], field)
