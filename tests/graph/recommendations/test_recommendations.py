"""Recommendations, similar properties and affinity over HTTP, on a trained town."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from graph.core.nodes import global_id
from runtime import Runtime
from tests.factories import Town, add_property, add_user
from tests.graph.conftest import SignIn, property_id, user_id

RECOMMENDATIONS = """
query (
  $userId: ID, $filter: PropertyFilter, $first: Int, $after: String, $diversity: Float
) {
  recommendations(
    userId: $userId, filter: $filter, first: $first, after: $after, diversity: $diversity
  ) {
    edges {
      cursor
      node {
        score rank modelVersion
        user { id }
        property { id zipcode affinity(userId: $userId) }
        reasons { kind text property { id } }
      }
    }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""

SIMILAR = """
query (
  $id: ID!, $filter: PropertyFilter, $first: Int, $after: String, $diversity: Float
) {
  similarProperties(
    propertyId: $id, filter: $filter, first: $first, after: $after, diversity: $diversity
  ) {
    edges { cursor similarity node { id zipcode } }
    pageInfo { hasNextPage endCursor }
  }
}
"""


def nodes(connection: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in connection["edges"]]


async def test_recommendations_follow_the_history_and_say_why(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    answer = (await session.data(RECOMMENDATIONS, first=10))["recommendations"]
    found = nodes(answer)
    assert [one["rank"] for one in found] == list(range(1, 11))
    assert {one["property"]["zipcode"] for one in found} == {"98030"}
    assert all(one["user"]["id"] == user_id(session.user_id) for one in found)
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for one in found:
        assert 1 <= len(one["reasons"]) <= 3
        for reason in one["reasons"]:
            if reason["kind"] in ("LIKE_HISTORY", "OWN_HISTORY", "NEAR_HOLDINGS"):
                own = reason["property"]["id"] == one["property"]["id"]
                assert own == (reason["kind"] == "OWN_HISTORY")
            else:
                assert reason["kind"] == "WITHIN_RANGE"
                assert reason["property"] is None
        assert one["score"] == one["property"]["affinity"]


async def test_pages_of_recommendations_join_to_the_whole_list(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    whole = (await session.data(RECOMMENDATIONS, first=60))["recommendations"]
    after, seen = None, []
    while True:
        page = (await session.data(RECOMMENDATIONS, first=7, after=after))["recommendations"]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        seen += nodes(page)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [one["property"]["id"] for one in seen] == [
        one["property"]["id"] for one in nodes(whole)
    ]
    assert [one["rank"] for one in seen] == list(range(1, len(seen) + 1))


async def test_diverse_pages_join_to_the_whole_list_and_keep_their_diversity(
    town: Town, sign_in: SignIn
) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    for query, field, said in (
        (RECOMMENDATIONS, "recommendations", {}),
        (SIMILAR, "similarProperties", {"id": property_id(town.south[0])}),
    ):
        whole = (await session.data(query, first=50, diversity=0.6, **said))[field]["edges"]
        seen: list[Any] = []
        after = None
        while len(seen) < 40:
            page = (await session.data(query, first=10, after=after, diversity=0.6, **said))[field]
            seen += page["edges"]
            after = page["pageInfo"]["endCursor"]
        plain = (await session.data(query, first=50, diversity=0, **said))[field]["edges"]
        ids = [
            [edge["node"].get("id") or edge["node"]["property"]["id"] for edge in edges]
            for edges in (seen, whole[:40], plain[:40])
        ]
        assert len(set(ids[0])) == 40
        assert ids[0] == ids[1] != ids[2]
        for other in (0.5, None):
            error = await session.error(query, first=10, after=after, diversity=other, **said)
            assert (error["code"], error["field"]) == ("INVALID_INPUT", ["after"])
        for outside in (-0.1, 1.1):
            error = await session.error(query, diversity=outside, **said)
            assert (error["code"], error["field"]) == ("INVALID_INPUT", ["diversity"])


REASONED = """
query ($first: Int) { recommendations(first: $first) { edges { node {
  property { listingPrice }
  reasons {
    __typename kind text strength property { id }
    ... on HistoryReason { deed sharedTraits { kind text } }
    ... on RangeReason { attribute low high value propertyType share }
    ... on NearnessReason { deed distanceKm }
  }
  concentration { zipcode { name before after } propertyType { name before after } }
  counterfactual { listingPrice change }
} } } }
"""


async def test_reasons_are_typed(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    found = nodes((await session.data(REASONED, first=20))["recommendations"])
    reasons = [reason for one in found for reason in one["reasons"]]
    kinds = {
        "OWN_HISTORY": "HistoryReason", "LIKE_HISTORY": "HistoryReason",
        "WITHIN_RANGE": "RangeReason", "NEAR_HOLDINGS": "NearnessReason",
    }  # fmt: skip
    assert all(kinds[reason["kind"]] == reason["__typename"] for reason in reasons)
    for reason in reasons:
        if reason["kind"] == "LIKE_HISTORY":
            assert {"kind": "ZIPCODE", "text": "same ZIP code 98030"} in reason["sharedTraits"]
            assert reason["deed"] in ("SAVE", "OUTREACH")
            assert reason["strength"] > 0
        if reason["kind"] == "WITHIN_RANGE" and reason["attribute"] != "PROPERTY_TYPE":
            assert reason["low"] <= reason["value"] <= reason["high"]
        if reason["kind"] == "NEAR_HOLDINGS":
            assert 0 <= reason["distanceKm"] <= 5


async def test_reasons_exposure_and_prices_cost_the_same_for_two_and_for_forty(
    town: Town,
    sign_in: SignIn,
    rt: Runtime,
    statements: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    calls: list[str] = []

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            calls.append(name)
            return call(*given)

        return noted

    for name in ("rank", "score", "explain"):
        monkeypatch.setattr(rt.twin, name, counted(name, getattr(rt.twin, name)))
    counts = []
    # The first call may load the model.
    await session.data(REASONED, first=1)
    for first in (12, 40):
        statements.clear()
        calls.clear()
        found = nodes((await session.data(REASONED, first=first))["recommendations"])
        counts.append(len(statements))
        assert sorted(calls) == ["explain", "rank", "rank", "score"]
        assert [one["counterfactual"] for one in found[:10]] == [None] * 10
        for one in found:
            # None of the town's investors has bought anything.
            zipcode = one["concentration"]["zipcode"]
            assert (zipcode["before"], zipcode["after"]) == (0, 1)
            assert one["concentration"]["propertyType"]["name"] == "SINGLE_FAMILY"
            if change := one["counterfactual"]:
                price = one["property"]["listingPrice"] * (1 + change["change"])
                assert change["listingPrice"] == pytest.approx(price, abs=0.01)
    # The list: the user, the version, the history, what is excluded, and the properties; then
    # those that reasons name, the holdings, the ten best and what reasons point at.
    assert max(counts) <= 9
    calls.clear()
    await session.data("{ recommendations { edges { node { score } } } }")
    assert calls == ["rank"]


async def test_a_request_may_ask_for_so_many_counterfactuals_only(
    town: Town, sign_in: SignIn
) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    some = "edges { node { counterfactual { change } } }"
    query = f"""{{ a: recommendations(first: 60, history: ANY) {{ {some} }}
        b: recommendations(first: 59, history: ANY) {{ {some} }} }}"""
    body = await session.post(query)
    assert {one["extensions"]["code"] for one in body["errors"]} == {"INVALID_INPUT"}
    assert "at most 100" in body["errors"][0]["message"]


async def test_a_score_is_the_affinity_that_is_asked_for_by_itself(
    town: Town, sign_in: SignIn
) -> None:
    session = sign_in(town.tenant, town.northerners[0])
    found = nodes((await session.data(RECOMMENDATIONS, first=5))["recommendations"])
    ids = [one["property"]["id"] for one in reversed(found)]
    answer = await session.data(
        "query ($ids: [ID!]!) { affinity(propertyIds: $ids) { score property { id } } }", ids=ids
    )
    assert [one["property"]["id"] for one in answer["affinity"]] == ids
    assert [one["score"] for one in answer["affinity"]] == pytest.approx(
        [one["score"] for one in reversed(found)], abs=1e-6
    )


async def test_filters_hold_and_the_list_is_full(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    dear = {"price": {"min": 900_000}, "zipcodes": ["98125"], "propertyTypes": ["SINGLE_FAMILY"]}
    found = nodes((await session.data(RECOMMENDATIONS, first=10, filter=dear))["recommendations"])
    assert len(found) == 10
    assert {one["property"]["zipcode"] for one in found} == {"98125"}


async def test_without_history_engagement_ranks_and_says_so(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.idle)
    found = nodes((await session.data(RECOMMENDATIONS, first=3))["recommendations"])
    assert {one["modelVersion"] for one in found} == {"engagement"}
    assert all("NO_HISTORY" in [r["kind"] for r in one["reasons"]] for one in found)
    assert all(one["score"] == one["property"]["affinity"] for one in found)


async def test_what_is_like_a_southern_house_is_southern(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.idle)
    anchor = property_id(town.south[0])
    page = (await session.data(SIMILAR, id=anchor, first=4))["similarProperties"]
    rest = (await session.data(SIMILAR, id=anchor, first=4, after=page["pageInfo"]["endCursor"]))[
        "similarProperties"
    ]
    edges = page["edges"] + rest["edges"]
    assert anchor not in [edge["node"]["id"] for edge in edges]
    assert len({edge["node"]["id"] for edge in edges}) == 8
    assert {edge["node"]["zipcode"] for edge in edges} == {"98030"}
    likeness = [edge["similarity"] for edge in edges]
    assert likeness == sorted(likeness, reverse=True)
    assert all(0 <= one <= 1 for one in likeness)


async def test_affinity_of_a_list_costs_the_same_for_two_and_for_forty(
    town: Town,
    sign_in: SignIn,
    rt: Runtime,
    statements: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    batches: list[int] = []
    score = rt.twin.score

    async def counted(model: Any, investors: Any, found: Any) -> Any:
        batches.append(len(found))
        return await score(model, investors, found)

    monkeypatch.setattr(rt.twin, "score", counted)
    query = """query ($first: Int) { properties(first: $first) {
        edges { node { id affinity embedding feedback { sentiment } } } } }"""
    counts = []
    for first in (2, 40):
        statements.clear()
        found = nodes((await session.data(query, first=first))["properties"])
        assert all(0 <= one["affinity"] <= 1 and len(one["embedding"]) == 16 for one in found)
        counts.append(len(statements))
    assert batches == [2, 40]
    # The list; the investor with the version, and the properties acted on, for the affinities; the
    # version for the embeddings; the opinions. No listed property is read again.
    assert counts == [5, 5]


async def test_a_property_in_many_places_is_read_once(
    town: Town, sign_in: SignIn, statements: list[str]
) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    query = """query ($id: ID!) {
        a: property(id: $id) { id } b: property(id: $id) { id }
        node(id: $id) { id } affinity(propertyIds: [$id, $id]) { score } }"""
    answer = await session.data(query, id=property_id(town.south[3]))
    assert len(answer["affinity"]) == 2
    # And once more with others, as what the investor acted on.
    assert sum("FROM properties" in one for one in statements) == 2


async def test_similar_properties_nest_under_a_list(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    query = """query ($first: Int) { me { recommendations(first: $first) { edges { node {
        property { id similarProperties(first: 2) { edges { node { id } } } } } } } } }"""
    found = nodes((await session.data(query, first=5))["me"]["recommendations"])
    assert all(len(one["property"]["similarProperties"]["edges"]) == 2 for one in found)


async def test_a_request_may_ask_for_so_many_ranked_lists_only(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    query = """{ properties(first: 60) { edges { node { similarProperties(first: 2) {
        edges { node { similarProperties(first: 1) { edges { cursor } } } } } } } } }"""
    body = await session.post(query)
    assert {one["extensions"]["code"] for one in body["errors"]} == {"INVALID_INPUT"}
    assert "at most 100" in body["errors"][0]["message"]


JUDGED = """query ($ids: [ID!]!, $userId: ID) { affinity(propertyIds: $ids, userId: $userId) {
    score modelVersion reason { kind text strength property { id } } } }"""
LIKE = """query ($id: ID!) { property(id: $id) { similarProperties {
    totalCount modelVersion reason { kind text } edges { similarity node { id } } } } }"""


async def test_without_a_model_lists_and_scores_follow_something_else_and_say_so(
    tenant: Tenant, database: Database, sign_in: SignIn
) -> None:
    async with database.work(tenant.id) as work:
        house = await add_property(work, engagement=25.0)
        other = await add_property(work)
        user = await add_user(work)
    session = sign_in(tenant, user.id)
    found = nodes((await session.data(RECOMMENDATIONS))["recommendations"])
    assert [one["property"]["id"] for one in found] == [
        property_id(house.id),
        property_id(other.id),
    ]
    assert [one["score"] for one in found] == [0.5, 0.0]
    (judged,) = (await session.data(JUDGED, ids=[property_id(house.id)]))["affinity"]
    why = "No model is active yet, so this {} follows {}."
    score_follows = "what your firm's investors engage with"
    assert judged == {
        "score": 0.5,
        "modelVersion": None,
        "reason": {
            "kind": "NO_ACTIVE_MODEL", "text": why.format("score", score_follows),
            "strength": None, "property": None,
        },
    }  # fmt: skip
    like = (await session.data(LIKE, id=property_id(house.id)))["property"]["similarProperties"]
    assert like == {
        "totalCount": 1,
        "modelVersion": None,
        "reason": {
            "kind": "NO_ACTIVE_MODEL",
            "text": why.format("list", "attributes and location"),
        },
        "edges": [{"similarity": 1, "node": {"id": property_id(other.id)}}],
    }
    vector = "{ similarTo(vector: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]) { edges { cursor } } }"
    assert (await session.error(vector))["code"] == "NO_ACTIVE_MODEL"
    embedding = "query ($id: ID!) { property(id: $id) { embedding } }"
    answer = await session.data(embedding, id=property_id(house.id))
    assert answer["property"]["embedding"] is None


async def test_with_a_model_likeness_and_affinity_name_it(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    version = (await session.data("{ activeModel { id } }"))["activeModel"]["id"]
    house = property_id(town.south[0])
    (judged,) = (await session.data(JUDGED, ids=[house]))["affinity"]
    like = (await session.data(LIKE, id=house))["property"]["similarProperties"]
    for answer in (judged, like):
        assert global_id("ModelVersion", UUID(answer["modelVersion"])) == version
        assert answer["reason"] is None
    idle = sign_in(town.tenant, town.idle)
    (judged,) = (await idle.data(JUDGED, ids=[house]))["affinity"]
    assert judged["modelVersion"] is None
    assert judged["reason"]["kind"] == "NO_HISTORY"


async def test_a_viewer_reads_as_itself_and_an_analyst_as_anybody(
    town: Town, sign_in: SignIn
) -> None:
    other = user_id(town.northerners[0])
    viewer = sign_in(town.tenant, town.southerners[0], Role.VIEWER)
    assert (await viewer.error(RECOMMENDATIONS, userId=other))["code"] == "FORBIDDEN"
    affinity = """query ($ids: [ID!]!, $userId: ID) {
        affinity(propertyIds: $ids, userId: $userId) { score } }"""
    ids = [property_id(town.north[0])]
    refused = await viewer.error(affinity, ids=ids, userId=other)
    assert (refused["code"], refused["field"]) == ("FORBIDDEN", ["userId"])
    own = await viewer.data(affinity, ids=ids, userId=user_id(viewer.user_id))
    analyst = sign_in(town.tenant, town.southerners[0])
    theirs = await analyst.data(affinity, ids=ids, userId=other)
    assert theirs["affinity"][0]["score"] > own["affinity"][0]["score"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.ADMIN])
async def test_an_unknown_investor_is_refused(town: Town, sign_in: SignIn, role: Role) -> None:
    nobody, house = town.tenant.id, property_id(town.north[0])
    for query in (
        "query ($user: ID) { recommendations(userId: $user) { edges { cursor } } }",
        f'query ($user: ID) {{ affinity(propertyIds: ["{house}"], userId: $user) {{ score }} }}',
    ):
        # A token of somebody who is gone is no token.
        error = await sign_in(town.tenant, nobody, role).error(query)
        assert error["code"] == "UNAUTHENTICATED"
        error = await sign_in(town.tenant, town.idle, role).error(query, user=user_id(nobody))
        expected = "FORBIDDEN" if role is Role.VIEWER else "NOT_FOUND"
        assert (error["code"], error["field"]) == (expected, ["userId"])
