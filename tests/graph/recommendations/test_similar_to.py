"""What is nearest to a given embedding."""

from typing import Any

import numpy as np
import pytest

from domain.recommendations.vectors import DIMENSIONS
from ml.twin import towers
from tests.factories import Town
from tests.graph.conftest import Session, SignIn, property_id

NEAR = """
query ($vector: [Float!]!, $version: String, $where: PropertyFilter, $first: Int, $after: String,
       $last: Int, $before: String, $diversity: Float) {
  similarTo(vector: $vector, modelVersion: $version, filter: $where, first: $first, after: $after,
            last: $last, before: $before, diversity: $diversity) {
    totalCount
    edges { cursor similarity node { id } }
    pageInfo { hasNextPage hasPreviousPage endCursor } } }"""
LIKE = """
query ($id: ID!, $where: PropertyFilter) {
  property(id: $id) { embedding }
  similarProperties(propertyId: $id, filter: $where, first: 100) {
    edges { similarity node { id } } }
  recommendations(first: 1) { edges { node { modelVersion } } } }"""
AXIS = [1.0] + [0.0] * 15


@pytest.fixture
def investor(town: Town, sign_in: SignIn) -> Session:
    """An investor of the south."""
    return sign_in(town.tenant, town.southerners[0])


async def near(session: Session, vector: list[float], **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await session.data(NEAR, vector=vector, **variables))["similarTo"]
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [edge["node"]["id"] for edge in found["edges"]]


def test_the_domain_knows_how_many_numbers_the_model_has() -> None:
    assert DIMENSIONS == towers.DIMENSIONS


async def test_the_embedding_of_a_property_finds_what_is_like_it(
    town: Town, investor: Session
) -> None:
    house, where = property_id(town.south[4]), {"zipcodes": ["98030"]}
    like = await investor.data(LIKE, id=house, where=where)
    (edge,) = like["recommendations"]["edges"]
    version = edge["node"]["modelVersion"]
    vector = like["property"]["embedding"]
    found = await near(investor, vector, where=where, first=100, version=version)
    assert found["totalCount"] == len(found["edges"]) == 30
    assert found["edges"][0]["similarity"] == pytest.approx(1, abs=1e-6)
    others = {
        edge["node"]["id"]: edge["similarity"]
        for edge in found["edges"]
        if edge["node"]["id"] != house
    }
    expected = like["similarProperties"]["edges"]
    assert others == pytest.approx(
        {edge["node"]["id"]: edge["similarity"] for edge in expected}, abs=1e-6
    )


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 0.5, 3, 1e30, 1e300])
async def test_only_the_direction_counts(investor: Session, scale: float) -> None:
    vector = np.random.default_rng(1).normal(size=16)
    whole = await near(investor, vector.tolist(), first=100)
    scaled = await near(investor, (vector * scale).tolist(), first=100)
    assert len(ids(whole)) == 60
    likeness = [[edge["similarity"] for edge in found["edges"]] for found in (whole, scaled)]
    assert likeness[1] == pytest.approx(likeness[0], abs=1e-6)


@pytest.mark.parametrize("diversity", [0, 0.5])
async def test_pages_join_up_both_ways(investor: Session, diversity: float) -> None:
    whole = ids(await near(investor, AXIS, first=60, diversity=diversity))
    pages, after = [], None
    while True:
        page = await near(investor, AXIS, first=17, after=after, diversity=diversity)
        pages += ids(page)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert pages == whole
    last = page["edges"][-1]["cursor"]
    back = await near(investor, AXIS, last=5, before=last, diversity=diversity)
    assert ids(back) == whole[-6:-1]


async def test_a_cursor_is_of_one_vector(town: Town, investor: Session) -> None:
    page = await near(investor, AXIS, first=1)
    cursor = page["pageInfo"]["endCursor"]
    error = await investor.error(NEAR, vector=AXIS[::-1], after=cursor)
    assert error["code"] == "CURSOR_EXPIRED"
    query = """query ($id: ID!, $after: String) {
        similarProperties(propertyId: $id, after: $after) { edges { cursor } } }"""
    error = await investor.error(query, id=property_id(town.south[0]), after=cursor)
    assert error["code"] == "INVALID_INPUT"
    assert "cursor of this list" in error["message"]


@pytest.mark.parametrize(
    ("variables", "field", "says"),
    [
        ({"vector": []}, "vector", "0 numbers; give the 16 of an embedding"),
        ({"vector": AXIS * 1000}, "vector", "16000 numbers; give the 16 of an embedding"),
        ({"vector": [0.0] * 16}, "vector", "all zero, which is no direction"),
        ({"vector": AXIS, "version": "another"}, "modelVersion", "ask for the embedding again"),
        ({"vector": AXIS, "first": -1}, "first", "use 0 to 100"),
        ({"vector": AXIS, "diversity": 2}, "diversity", "use 0 to 1"),
    ],
)
async def test_broken_rules_name_the_field(
    investor: Session, variables: dict[str, Any], field: str, says: str
) -> None:
    error = await investor.error(NEAR, **variables)
    assert (error["code"], error["field"]) == ("INVALID_INPUT", [field])
    assert says in error["message"]
