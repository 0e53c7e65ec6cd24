"""Facets over HTTP: counted only if asked for, in one query."""

import pytest

from domain.contract.vocabulary import PropertyType
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn

FIRST = range(1, 31)


@pytest.fixture
async def analyst(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    """Of a firm with twelve properties."""
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        for n in range(12):
            await add_property(
                work,
                property_type=PropertyType.CONDO if n % 3 else PropertyType.LAND,
                zipcode=["98101", "98102", None][n % 3],
                listing_price=None if n == 0 else 100_000.0 * n,
                bedrooms=n % 2 + 9,
            )
    return sign_in(tenant, user.id)


async def test_facets_count_what_another_choice_would_find(
    analyst: Session, statements: list[str]
) -> None:
    answer = await analyst.data(
        """{ propertyFacets(filter: {propertyTypes: [CONDO], price: {max: 600000}}) {
            propertyTypes { values { value count } missing other }
            zipcodes(first: 1) { values { value count } missing other }
            bedrooms { values { value count } }
            price(boundaries: [200000, 600000]) { bands { min max count } missing } } }"""
    )
    assert answer["propertyFacets"] == {
        "propertyTypes": {
            "values": [{"value": "CONDO", "count": 4}, {"value": "LAND", "count": 2}],
            "missing": 0,
            "other": 0,
        },
        "zipcodes": {"values": [{"value": "98102", "count": 2}], "missing": 2, "other": 0},
        "bedrooms": {"values": [{"value": "10", "count": 2}, {"value": "9", "count": 2}]},
        "price": {
            "bands": [
                {"min": None, "max": 200_000, "count": 1},
                {"min": 200_000, "max": 600_000, "count": 3},
                {"min": 600_000, "max": None, "count": 4},
            ],
            "missing": 0,
        },
    }
    assert len(statements) == 1


async def test_a_list_has_the_facets_of_all_that_match(
    analyst: Session, statements: list[str]
) -> None:
    answer = await analyst.data(
        """{ properties(first: 1, filter: {zipcodes: ["98101"]}) { edges { node { id } } facets {
            zipcodes { values { value count } missing }
            cities { values { value count } } states { values { value count } }
            listingStatuses { values { value count } }
            price { bands { min max count } missing } } } }"""
    )
    facets = answer["properties"]["facets"]
    assert facets["zipcodes"] == {
        "values": [{"value": "98101", "count": 4}, {"value": "98102", "count": 4}],
        "missing": 4,
    }
    assert facets["cities"]["values"] == [{"value": "Seattle", "count": 4}]
    assert facets["states"]["values"] == [{"value": "WA", "count": 4}]
    assert facets["listingStatuses"]["values"] == [{"value": "ACTIVE", "count": 4}]
    assert len(facets["price"]["bands"]) == 11
    assert facets["price"]["bands"][0] == {"min": None, "max": 100_000, "count": 0}
    assert sum(band["count"] for band in facets["price"]["bands"]) == 3
    assert facets["price"]["missing"] == 1
    assert len(statements) == 2


async def test_more_facets_than_one_pass_can_group_by(
    analyst: Session, statements: list[str]
) -> None:
    prices = " ".join(
        f"p{n}: price(boundaries: [{100_000 * n + 50_000}]) {{ bands {{ count }} }}"
        for n in range(30)
    )
    others = "zipcodes { missing } cities { missing } states { missing } bedrooms { missing }"
    answer = await analyst.data(f"{{ propertyFacets {{ {prices} {others} }} }}")
    assert answer["propertyFacets"]["zipcodes"] == {"missing": 4}
    assert answer["propertyFacets"]["bedrooms"] == {"missing": 0}
    for n in range(30):
        below = min(n, 11)
        assert answer["propertyFacets"][f"p{n}"] == {
            "bands": [{"count": below}, {"count": 11 - below}]
        }
    assert len(statements) == 1


async def test_shorter_lists_of_values_are_cut_from_one_count(
    analyst: Session, statements: list[str]
) -> None:
    cities = " ".join(f"c{n}: zipcodes(first: {n}) {{ values {{ count }} other }}" for n in FIRST)
    answer = await analyst.data(f"{{ propertyFacets {{ {cities} }} }}")
    both = [{"count": 4}, {"count": 4}]
    for n in FIRST:
        assert answer["propertyFacets"][f"c{n}"] == {
            "values": both[:n], "other": 4 if n == 1 else 0
        }  # fmt: skip
    assert len(statements) == 1
    assert "value_0" in statements[0]
    assert "value_1" not in statements[0]


async def test_facets_that_nobody_asks_for_cost_nothing(
    analyst: Session, statements: list[str]
) -> None:
    await analyst.data("{ properties(first: 1) { facets { __typename } edges { cursor } } }")
    assert len(statements) == 1


@pytest.mark.parametrize(
    ("facet", "says"),
    [
        ("zipcodes(first: 0) { missing }", "first 0: use 1 to 100"),
        ("cities(first: 101) { missing }", "first 101: use 1 to 100"),
        ("price(boundaries: []) { missing }", "boundaries: 0 amounts; use 1 to 50"),
        ("price(boundaries: [2, 1]) { missing }", "boundaries: 1 follows 2; use each once"),
        ("price(boundaries: [1, 1]) { missing }", "boundaries: 1 follows 1; use each once"),
    ],
)
async def test_broken_rules_are_named(analyst: Session, facet: str, says: str) -> None:
    error = await analyst.error("{ propertyFacets { %s } }" % facet)  # noqa: UP031
    assert error["code"] == "INVALID_INPUT"
    assert says in error["message"]
