"""The filter over HTTP: the same on every list, and refused where it breaks a rule."""

from typing import Any

import pytest

from domain.core.database import Database
from domain.tenants.tenants import Tenant
from tests.factories import Town, add_property, add_user
from tests.graph.conftest import Session, SignIn, property_id, user_id

EVERY_LIST = """
query ($where: PropertyFilter, $anchor: ID!, $user: ID!) {
  properties(filter: $where, first: 100) { totalCount edges { node { id } } }
  recommendations(filter: $where, first: 100, history: ANY) { edges { node { property { id } } } }
  similarProperties(propertyId: $anchor, filter: $where, first: 100) { edges { node { id } } }
  user(id: $user) {
    recommendations(filter: $where, first: 100, history: ANY) {
      edges { node { property { id } } } } }
  property(id: $anchor) {
    similarProperties(filter: $where, first: 100) { edges { node { id } } } }
}"""

# Kent, where the cheap half of the town lies, drawn by hand.
SOUTH = [(47.29, -122.31), (47.29, -122.29), (47.31, -122.28), (47.32, -122.31)]


@pytest.fixture
def investor(town: Town, sign_in: SignIn) -> Session:
    """An investor of the south, who excluded nothing."""
    return sign_in(town.tenant, town.southerners[0])


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ({}, 60),
        ({"text": "MAIN str, 98030"}, 30),
        ({"text": "wa sea"}, 60),
        ({"text": "98030 98125"}, 0),
        ({"text": " ,'"}, 60),
        ({"pricePerSquareFoot": {"max": 302}}, 28),
        ({"states": ["WA"], "zipcodes": ["98125"]}, 30),
        ({"states": ["wa"]}, 0),
        ({"owned": False}, 60),
        ({"owned": True}, 0),
        ({"capRate": {"min": -1}}, 0),
        ({"listedBefore": "2999-01-01T00:00:00Z"}, 0),
        ({"geo": {"withinPolygon": [{"latitude": a, "longitude": b} for a, b in SOUTH]}}, 30),
        ({"geo": {"withinPolygon": [{"latitude": a, "longitude": b} for a, b in SOUTH[::-1]]}}, 30),
        ({"geo": {"withinBox": {"south": -90, "west": -180, "north": 90, "east": 180}}}, 60),
        ({"geo": {"withinBox": {"south": 47, "west": -180, "north": 90, "east": 180}}}, 60),
        ({"geo": {"withinBox": {"south": 47, "west": -123, "north": 48, "east": 180}}}, 60),
        ({"price": {"max": 310_000}, "bedrooms": {"min": 3}, "text": "main"}, 11),
    ],
)
async def test_every_list_takes_it_and_is_full(
    town: Town, investor: Session, where: dict[str, Any], count: int
) -> None:
    anchor = property_id(town.north[0])
    answer = await investor.data(
        EVERY_LIST, where=where, anchor=anchor, user=user_id(town.southerners[2])
    )
    found = {edge["node"]["id"] for edge in answer["properties"]["edges"]}
    assert len(found) == answer["properties"]["totalCount"] == count
    for one in (answer, answer["user"]):
        edges = one["recommendations"]["edges"]
        assert {edge["node"]["property"]["id"] for edge in edges} == found
    for one in (answer, answer["property"]):
        edges = one["similarProperties"]["edges"]
        assert {edge["node"]["id"] for edge in edges} == found - {anchor}


async def test_a_shortlist_is_ranked_without_what_is_excluded(
    town: Town, investor: Session
) -> None:
    shortlist = [property_id(one) for one in [*town.north[:3], *town.south[:3]]]
    where = {"ids": shortlist, "excludeIds": shortlist[:1]}
    anchor = property_id(town.north[5])
    answer = await investor.data(
        EVERY_LIST, where=where, anchor=anchor, user=user_id(town.southerners[2])
    )
    edges = answer["recommendations"]["edges"]
    ranked = [edge["node"]["property"]["id"] for edge in edges]
    assert set(ranked) == set(shortlist[1:])
    assert set(ranked[:3]) == set(shortlist[3:])
    assert {edge["node"]["id"] for edge in answer["similarProperties"]["edges"]} == set(ranked)


async def test_words_begin_words_of_any_column(
    tenant: Tenant, database: Database, sign_in: SignIn
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        house = await add_property(
            work,
            external_id="MLS-4711",
            address="12-14 O'Brien\u2019s Étage, Apt #3",
            city="Saint-Denis",
            state="OR",
            zipcode="98102-1234",
        )
        await add_property(work, external_id="4711MLS", address=None)
    session = sign_in(tenant, user.id)
    query = """query ($text: String) { properties(filter: {text: $text}) {
        edges { node { id } } } }"""
    for found in (
        "12 14", "12-14 obriens", "O'BRIEN\u2019S", "étage", "E\u0301TAGE saint", "etage",
        "den 98102", "98102-1234", "mls-4711", "4711 MLS apt 3", "or 3", "(Saint) [Denis]!",
    ):  # fmt: skip
        edges = (await session.data(query, text=found))["properties"]["edges"]
        assert property_id(house.id) in {edge["node"]["id"] for edge in edges}, found
    for lost in ("2-14", "brien", "tage", "enis", "98102 9999", "%", "_", "\\", "12%99", "12_7"):
        edges = (await session.data(query, text=lost))["properties"]["edges"]
        words = any(letter.isalnum() for letter in lost)
        assert len(edges) == (0 if words else 2), lost


@pytest.mark.parametrize(
    ("where", "field", "says"),
    [
        ({"text": "x" * 10_000}, ["filter", "text"], "10000 characters; use at most 200"),
        ({"text": "a\0b"}, ["filter", "text"], "without zero bytes"),
        ({"ids": ["nonsense"]}, ["filter", "ids", "0"], "ids"),
        ({"excludeIds": ["x"] * 101}, ["filter", "excludeIds"], "101 values; use at most 100"),
        ({"externalIds": ["a", "\0"]}, ["filter", "externalIds", "1"], "zero bytes"),
        ({"capRate": {"min": 2, "max": 1}}, ["filter", "capRate", "min"], "min 2.0 is above max"),
        (
            {"geo": {"withinPolygon": [{"latitude": 1, "longitude": 1}] * 2}},
            ["filter", "geo", "withinPolygon"],
            "2 corners; use 3 to 100",
        ),
        (
            {"geo": {"withinPolygon": [{"latitude": 1, "longitude": 1}] * 101}},
            ["filter", "geo", "withinPolygon"],
            "101 corners; use 3 to 100",
        ),
        (
            {"geo": {"withinPolygon": [{"latitude": 91, "longitude": 1}] * 3}},
            ["filter", "geo", "withinPolygon", "0", "latitude"],
            "use -90 to 90",
        ),
    ],
)
async def test_broken_rules_name_the_field(
    investor: Session, where: dict[str, Any], field: list[str], says: str
) -> None:
    query = "query ($where: PropertyFilter) { properties(filter: $where) { edges { cursor } } }"
    error = await investor.error(query, where=where)
    assert error["code"] == "INVALID_INPUT"
    assert error["field"] == field
    assert says in error["message"]
