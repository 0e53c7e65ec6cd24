"""Two firms alike side by side: no filter and no facet of one sees anything of the other."""

from datetime import UTC, datetime
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, build_schema
from sqlalchemy import update

from domain.core.database import Database
from domain.properties.table import Property
from graph.schema import build_schema as build_own_schema
from tests.conftest import new_tenant
from tests.factories import Town, build_town
from tests.graph.conftest import Session, SignIn, property_id

CORNERS = ((47, -123), (48, -123), (48, -122), (47, -122))
FILTERS: dict[str, Any] = {
    "ids": [],
    "excludeIds": [],
    "externalIds": [],
    "text": "main",
    "propertyTypes": ["SINGLE_FAMILY"],
    "zipcodes": ["98030", "98125"],
    "cities": ["Seattle"],
    "states": ["WA"],
    "listingStatuses": ["ACTIVE"],
    "listedAfter": "1900-01-01T00:00:00Z",
    "listedBefore": "2999-01-01T00:00:00Z",
    "price": {"min": 0},
    "estimatedValue": {"min": 0},
    "pricePerSquareFoot": {"min": 0},
    "capRate": {"min": 0},
    "cashOnCashReturn": {"min": 0},
    "bedrooms": {"min": 0},
    "bathrooms": {"min": 0},
    "squareFeet": {"min": 0},
    "lotSquareFeet": {"min": 0},
    "yearBuilt": {"min": 0},
    "daysOnMarket": {"min": 0},
    "conditionScore": {"min": 0},
    "renovationNeeded": False,
    "owned": False,
    "geo": {"withinPolygon": [{"latitude": a, "longitude": b} for a, b in CORNERS]},
}
"""As wide as each can be; the lists of ids are filled with those of the other firm."""

NOT_OF_TOWNS = {
    "listedAfter", "listedBefore", "estimatedValue", "capRate", "cashOnCashReturn",
    "lotSquareFeet", "daysOnMarket", "conditionScore", "renovationNeeded",
}  # fmt: skip
"""What the houses of a town lack: with a value only in the other firm, they must find nothing."""

ASK = """
query ($where: PropertyFilter, $own: ID!, $vector: [Float!]!) {
  properties(filter: $where, first: 100) {
    totalCount edges { node { id } }
    facets { cities { values { value count } missing other } } }
  recommendations(filter: $where, first: 100, history: ANY) { edges { node { property { id } } } }
  similarProperties(propertyId: $own, filter: $where, first: 100) { edges { node { id } } }
  similarTo(vector: $vector, filter: $where, first: 100) { totalCount edges { node { id } } }
  propertyFacets(filter: $where) {
    zipcodes { values { value count } missing other }
    propertyTypes { values { value count } missing }
    listingStatuses { values { value count } missing }
    states { values { value count } missing }
    bedrooms { values { value count } missing }
    price { bands { count } missing } } }"""


@pytest.fixture(scope="module")
async def other(database: Database) -> Town:
    """Another firm, whose houses have all the values that a town's lack."""
    built = await build_town(database, await new_tenant(database))
    async with database.work(built.tenant.id) as work:
        await work.session.execute(
            update(Property).values(
                listed_at=datetime(2024, 1, 1, tzinfo=UTC), renovation_needed=False,
                estimated_value=1, cap_rate=1, cash_on_cash_return=1, lot_square_feet=1,
                days_on_market=1, condition_score=1,
            )
        )  # fmt: skip
    return built


@pytest.fixture
def session(town: Town, sign_in: SignIn) -> Session:
    """An investor of the firm that asks."""
    return sign_in(town.tenant, town.southerners[0])


def test_every_filter_is_covered() -> None:
    where = build_schema(build_own_schema().as_str()).type_map["PropertyFilter"]
    assert isinstance(where, GraphQLInputObjectType)
    assert set(FILTERS) == set(where.fields)


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_finds_the_own_firm_alone(
    town: Town, other: Town, session: Session, sign_in: SignIn, name: str
) -> None:
    theirs = sign_in(other.tenant, other.southerners[0])
    seen = await theirs.data("{ properties(first: 100) { edges { node { id externalId } } } }")
    nodes = [edge["node"] for edge in seen["properties"]["edges"]]
    value = FILTERS[name]
    if name in ("ids", "excludeIds"):
        value = [node["id"] for node in nodes]
    elif name == "externalIds":
        value = [node["externalId"] for node in nodes]
    answer = await session.data(
        ASK, where={name: value}, own=property_id(town.south[3]), vector=[1.0] * 16
    )
    own = {property_id(one) for one in [*town.south, *town.north]}
    matching = set() if name in {"ids", "externalIds", *NOT_OF_TOWNS} else own
    assert len(matching) in (0, 60)
    found = {edge["node"]["id"] for edge in answer["properties"]["edges"]}
    assert found == matching
    ranked = {edge["node"]["property"]["id"] for edge in answer["recommendations"]["edges"]}
    assert ranked == matching
    like = {edge["node"]["id"] for edge in answer["similarProperties"]["edges"]}
    assert like == matching - {property_id(town.south[3])}
    assert {edge["node"]["id"] for edge in answer["similarTo"]["edges"]} == matching
    assert answer["properties"]["totalCount"] == answer["similarTo"]["totalCount"] == len(matching)
    facets = answer["propertyFacets"] | answer["properties"]["facets"]
    for facet, counts in facets.items():
        bands = counts.get("values", counts.get("bands", []))
        total = sum(one["count"] for one in bands) + counts["missing"] + counts.get("other", 0)
        # A facet leaves out its own part of the filter, which here matched everything.
        assert total == len(matching), facet
