"""Properties over HTTP: one, a list with filters and orders, and paging both ways."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import Database
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn, property_id

LIST = """
query ($filter: PropertyFilter, $orderBy: PropertyOrder,
       $first: Int, $after: String, $last: Int, $before: String) {
  properties(filter: $filter, orderBy: $orderBy,
             first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { id externalId listingPrice } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""

CIRCLE: dict[str, float] = {"latitude": 1, "longitude": 1, "radiusKm": 1}
BOX: dict[str, float] = {"south": 1, "west": 1, "north": 2, "east": 2}


async def names(session: Session, **variables: Any) -> list[str]:
    answer = await session.data(LIST, **variables)
    return [edge["node"]["externalId"] for edge in answer["properties"]["edges"]]


@pytest.fixture
async def analyst(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    return sign_in(tenant, user.id)


Add = Callable[..., Any]


@pytest.fixture
def add(tenant: Tenant, database: Database) -> Add:
    async def one(**fields: Any) -> Property:
        async with database.work(tenant.id) as work:
            return await add_property(work, **fields)

    return one


async def test_a_property_has_all_its_fields(analyst: Session, add: Add) -> None:
    noted = {"source": "mls", "confidence": 0.9, "observed_at": "2024-05-01T00:00:00+00:00"}
    house = await add(
        external_id="H1",
        listing_price=500_000.0,
        square_feet=1000.0,
        listed_at=datetime(2024, 5, 1, tzinfo=UTC),
        listing_status=ListingStatus.PENDING,
        provenance={"listing_price": noted},
    )
    query = """query ($id: ID!) { property(id: $id) {
        __typename id externalId address propertyType listingStatus listingPrice squareFeet
        yearBuilt listedAt renovationNeeded pricePerSquareFoot engagement
        provenance { field sourceSystem confidence observedAt } } }"""
    found = (await analyst.data(query, id=property_id(house.id)))["property"]
    assert found == {
        "__typename": "Property",
        "id": property_id(house.id),
        "externalId": "H1",
        "address": house.address,
        "propertyType": "SINGLE_FAMILY",
        "listingStatus": "PENDING",
        "listingPrice": 500_000.0,
        "squareFeet": 1000.0,
        "yearBuilt": 1960,
        "listedAt": "2024-05-01T00:00:00+00:00",
        "renovationNeeded": None,
        "pricePerSquareFoot": 500.0,
        "engagement": 0.0,
        "provenance": [
            {
                "field": "listingPrice",
                "sourceSystem": "mls",
                "confidence": 0.9,
                "observedAt": "2024-05-01T00:00:00+00:00",
            }
        ],
    }
    node = "query ($id: ID!) { node(id: $id) { __typename id ... on Property { externalId } } }"
    answer = await analyst.data(node, id=property_id(house.id))
    assert answer["node"]["externalId"] == "H1"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, {"house", "condo", "bare"}),
        ({"propertyTypes": ["CONDO", "LAND"]}, {"condo"}),
        ({"propertyTypes": []}, {"house", "condo", "bare"}),
        ({"zipcodes": ["98001"]}, {"condo"}),
        ({"cities": ["Seattle"]}, {"house"}),
        ({"listingStatuses": ["SOLD"]}, {"condo"}),
        ({"listedAfter": "2024-01-01T00:00:00Z"}, {"condo"}),
        ({"listedAfter": "2024-01-01T00:00:00"}, {"condo"}),
        ({"price": {"min": 500_000, "max": 500_000}}, {"house"}),
        ({"price": {"max": 400_000}}, {"condo"}),
        ({"bedrooms": {"min": 3}}, {"house"}),
        ({"bathrooms": {"max": 1.5}}, {"condo"}),
        ({"squareFeet": {"min": 1000}}, {"house"}),
        ({"yearBuilt": {"min": 2000, "max": 2020}}, {"condo"}),
        ({"price": {}}, {"house", "condo", "bare"}),
        (
            {"geo": {"withinRadius": {"latitude": 47.6, "longitude": -122.3, "radiusKm": 2}}},
            {"house"},
        ),
        (
            {"geo": {"withinBox": {"south": 47, "west": -123, "north": 47.5, "east": -122}}},
            {"condo"},
        ),
        ({"cities": ["Seattle"], "propertyTypes": ["CONDO"]}, set()),
    ],
)
async def test_filters(
    analyst: Session, add: Add, where: dict[str, Any], expected: set[str]
) -> None:
    await add(
        external_id="house",
        latitude=47.61,
        longitude=-122.3,
        listed_at=datetime(2023, 1, 1, tzinfo=UTC),
    )
    await add(
        external_id="condo",
        property_type=PropertyType.CONDO,
        listing_status=ListingStatus.SOLD,
        zipcode="98001",
        city="Auburn",
        latitude=47.3,
        longitude=-122.2,
        listing_price=300_000.0,
        bedrooms=1,
        bathrooms=1.0,
        square_feet=700.0,
        year_built=2010,
        listed_at=datetime(2024, 6, 1, tzinfo=UTC),
    )
    empty = (
        "property_type", "listing_status", "zipcode", "city", "latitude", "longitude",
        "listing_price", "bedrooms", "bathrooms", "square_feet", "year_built",
    )  # fmt: skip
    await add(external_id="bare", **dict.fromkeys(empty))
    assert set(await names(analyst, filter=where)) == expected


@pytest.mark.parametrize("field", ["LISTING_PRICE", "YEAR_BUILT", "LISTED_AT", None])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_pages_forward_and_backward_with_ties_and_gaps(
    analyst: Session, add: Add, field: str | None, direction: str
) -> None:
    for n in range(11):
        value = None if n % 4 == 3 else n % 3
        await add(
            listing_price=None if value is None else 100_000.5 + value,
            year_built=None if value is None else 2000 + value,
            listed_at=None if value is None else datetime(2024, 1, 1 + value, 3, tzinfo=UTC),
        )
    order = {"field": field, "direction": direction} if field else None
    whole = await names(analyst, orderBy=order, first=100)
    assert len(set(whole)) == 11
    forward, after = [], None
    while True:
        page = (await analyst.data(LIST, orderBy=order, first=3, after=after))["properties"]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        forward += [edge["node"]["externalId"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert forward == whole
    backward: list[str] = []
    before = None
    while True:
        page = (await analyst.data(LIST, orderBy=order, last=4, before=before))["properties"]
        assert page["pageInfo"]["hasNextPage"] == (before is not None)
        backward = [edge["node"]["externalId"] for edge in page["edges"]] + backward
        before = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert backward == whole


async def test_the_total_is_counted_only_if_asked_for(
    analyst: Session, add: Add, statements: list[str]
) -> None:
    for price in (100.0, 200.0, 300.0):
        await add(listing_price=price)
    statements.clear()
    await analyst.data("{ properties(first: 1) { edges { node { id } } } }")
    assert not any("count(" in one for one in statements)
    query = "{ properties(first: 1, filter: {price: {min: 150}}) { totalCount } }"
    assert (await analyst.data(query))["properties"]["totalCount"] == 2


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"first": -1}, ["first"]),
        ({"first": 101}, ["first"]),
        ({"last": -1}, ["last"]),
        ({"first": 1, "last": 1}, ["last"]),
        ({"after": "nonsense"}, ["after"]),
        ({"after": ""}, ["after"]),
        ({"after": "ä"}, ["after"]),
        ({"before": "W10="}, ["before"]),
        ({"filter": {"price": {"min": 2, "max": 1}}}, ["filter", "price", "min"]),
        ({"filter": {"yearBuilt": {"min": 2, "max": 1}}}, ["filter", "yearBuilt", "min"]),
        ({"filter": {"zipcodes": ["1"] * 101}}, ["filter", "zipcodes"]),
        ({"filter": {"propertyTypes": ["LAND"] * 101}}, ["filter", "propertyTypes"]),
        ({"filter": {"cities": ["a", "b\x00"]}}, ["filter", "cities", "1"]),
        ({"filter": {"cities": ["x" * 201]}}, ["filter", "cities", "0"]),
        ({"filter": {"listedAfter": "0001-01-01T00:00:00+14:00"}}, ["filter", "listedAfter"]),
        *(
            ({"filter": {"geo": {part: good | {name: value}}}}, ["filter", "geo", part, name])
            for part, good, name, value in (
                ("withinRadius", CIRCLE, "latitude", 91),
                ("withinRadius", CIRCLE, "longitude", -181),
                ("withinRadius", CIRCLE, "radiusKm", 0),
                ("withinRadius", CIRCLE, "radiusKm", -1),
                ("withinRadius", CIRCLE, "radiusKm", 500.1),
                ("withinBox", BOX, "south", 3),
                ("withinBox", BOX, "west", 2),
                ("withinBox", BOX, "north", 91),
                ("withinBox", BOX, "east", 181),
            )
        ),
    ],
)
async def test_arguments_that_break_a_rule_are_named(
    analyst: Session, variables: dict[str, Any], field: list[str]
) -> None:
    error = await analyst.error(LIST, **variables)
    assert (error["code"], error["field"]) == ("INVALID_INPUT", field)


async def test_a_cursor_belongs_to_its_list_and_order(analyst: Session, add: Add) -> None:
    await add()
    page = (await analyst.data(LIST, orderBy={"field": "LISTING_PRICE"}))["properties"]
    cursor = page["pageInfo"]["endCursor"]
    assert (await analyst.error(LIST, after=cursor))["code"] == "INVALID_INPUT"
    query = "query ($after: String) { recommendations(after: $after) { edges { cursor } } }"
    assert (await analyst.error(query, after=cursor))["field"] == ["after"]
