"""Whom a property would suit, and who buys alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from domain.contract.snapshots import BuyBox, ModelKey
from domain.contract.vocabulary import InteractionKind, Role
from domain.core.database import Database
from domain.interactions import interactions
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from domain.users.users import User
from graph.core.nodes import parse_id
from ml.serving.audience import kinship
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, build_town, train
from tests.graph.conftest import SignIn, property_id, user_id

INTERESTED = """query ($id: ID!, $first: Int, $after: String) { property(id: $id) {
    interestedUsers(first: $first, after: $after) {
        totalCount pageInfo { hasNextPage endCursor } modelVersion reason { kind text }
        edges { cursor node { score rank user { id recommendations(first: 1) {
            edges { node { score } } } } } } } } }"""
SIMILAR = """query ($id: ID!, $first: Int, $after: String) {
    similarUsers(userId: $id, first: $first, after: $after) {
        totalCount pageInfo { hasNextPage endCursor }
        edges { cursor similarity node { id } } } }"""


def users_of(connection: dict[str, object], *path: str) -> list[str]:
    found = []
    for edge in connection["edges"]:  # type: ignore[attr-defined]
        node = edge["node"]
        for name in path:
            node = node[name]
        found.append(node["id"])
    return found


@pytest.fixture(scope="module")
async def town(rt: Runtime, database: Database) -> Town:
    """A town of this module's own, whose investors' interests are in the index."""
    built = await build_town(database, await new_tenant(database))
    await train(rt, built.tenant)
    return built


async def test_a_house_suits_the_investors_of_its_side(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.idle)
    for investors, houses in ((town.southerners, town.south), (town.northerners, town.north)):
        answer = await session.data(INTERESTED, id=property_id(houses[0]), first=100)
        found = answer["property"]["interestedUsers"]
        everyone = users_of(found, "user")
        assert set(everyone[:6]) == set(map(user_id, investors))
        assert len(everyone) == len(set(everyone)) == found["totalCount"] == 12
        assert user_id(town.idle) not in everyone
        assert found["modelVersion"]
        assert found["reason"] is None
        assert [edge["node"]["rank"] for edge in found["edges"]] == list(range(1, 13))


async def test_the_score_is_the_affinity(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.idle)
    house = property_id(town.south[1])
    answer = await session.data(INTERESTED, id=house, first=100)
    edges = answer["property"]["interestedUsers"]["edges"]
    scores = [edge["node"]["score"] for edge in edges]
    assert scores == sorted(scores, reverse=True)
    for edge in edges:
        affinity = await session.data(
            "query ($house: ID!, $user: ID!) { affinity(propertyIds: [$house], userId: $user) {"
            " score } }",
            house=house,
            user=edge["node"]["user"]["id"],
        )
        # Computed alone and among others: the same but for the rounding of float32.
        assert affinity["affinity"][0]["score"] == pytest.approx(edge["node"]["score"], abs=1e-6)


async def test_who_owns_or_dislikes_it_is_not_told_of_it(
    rt: Runtime, database: Database, sign_in: SignIn
) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant)
    owner, critic, bored, gone = town.southerners[:4]
    house = town.south[0]
    async with database.work(town.tenant.id) as work:
        await interactions.record(work, owner, house, InteractionKind.DEAL)
        await interactions.record(work, bored, house, InteractionKind.DISMISS)
        await interactions.submit_feedback(work, critic, house, InteractionKind.THUMBS_DOWN, None)
        user = await work.session.get_one(User, (town.tenant.id, gone))
        user.deactivated_at = user.created_at
    session = sign_in(town.tenant, town.idle)
    answer = await session.data(INTERESTED, id=property_id(house), first=100)
    found = answer["property"]["interestedUsers"]
    left_out = {user_id(one) for one in (owner, critic, bored, gone)}
    assert not left_out & set(users_of(found, "user"))
    assert found["totalCount"] == len(found["edges"]) == 8
    similar = (await session.data(SIMILAR, id=user_id(owner), first=100))["similarUsers"]
    assert user_id(gone) not in users_of(similar)
    assert similar["totalCount"] == len(similar["edges"]) == 10


async def test_who_buys_alike_comes_first_and_it_is_mutual(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.idle)
    likeness: dict[tuple[str, str], float] = {}
    for investors in (town.southerners, town.northerners):
        for investor in investors[:2]:
            answer = await session.data(SIMILAR, id=user_id(investor), first=100)
            edges = answer["similarUsers"]["edges"]
            others = set(map(user_id, investors)) - {user_id(investor)}
            assert {edge["node"]["id"] for edge in edges[:5]} == others
            assert len(edges) == answer["similarUsers"]["totalCount"] == 11
            found = [edge["similarity"] for edge in edges]
            assert found == sorted(found, reverse=True)
            assert 0 <= found[-1] <= found[0] <= 1
            for edge in edges:
                likeness[user_id(investor), edge["node"]["id"]] = edge["similarity"]
    for (one, other), alike in likeness.items():
        if (other, one) in likeness:
            assert likeness[other, one] == pytest.approx(alike, abs=1e-6)


async def test_an_investor_without_interests_is_like_nobody(town: Town, sign_in: SignIn) -> None:
    session = sign_in(town.tenant, town.idle)
    assert (await session.data(SIMILAR, id=user_id(town.idle)))["similarUsers"]["edges"] == []


@pytest.mark.parametrize(("query", "path"), [(INTERESTED, ("user",)), (SIMILAR, ())])
async def test_pages_join_to_the_list(
    town: Town, sign_in: SignIn, query: str, path: tuple[str, ...]
) -> None:
    session = sign_in(town.tenant, town.idle)
    of = property_id(town.south[2]) if path else user_id(town.southerners[0])

    async def page(first: int, after: str | None) -> dict[str, object]:
        answer = await session.data(query, id=of, first=first, after=after)
        found: dict[str, object] = (
            answer["property"]["interestedUsers"] if path else answer["similarUsers"]
        )
        return found

    whole = users_of(await page(100, None), *path)
    for size in (1, 3, 5):
        seen, after = [], None
        while True:
            found = await page(size, after)
            seen += users_of(found, *path)
            info: dict[str, object] = found["pageInfo"]  # type: ignore[assignment]
            if not info["hasNextPage"]:
                break
            after = str(info["endCursor"])
        assert seen == whole


async def test_pages_are_of_one_list_while_feedback_arrives(
    rt: Runtime, database: Database, sign_in: SignIn
) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant)
    session = sign_in(town.tenant, town.idle)
    house = property_id(town.south[0])
    whole = (await session.data(INTERESTED, id=house, first=100))["property"]["interestedUsers"]
    seen: list[str] = []
    after = None
    for northerner in town.northerners:
        found = (await session.data(INTERESTED, id=house, first=2, after=after))["property"]
        seen += users_of(found["interestedUsers"], "user")
        after = found["interestedUsers"]["pageInfo"]["endCursor"]
        async with database.work(town.tenant.id) as work:
            await interactions.submit_feedback(
                work, northerner, town.south[0], InteractionKind.THUMBS_UP, None
            )
    assert seen == users_of(whole, "user")


async def test_viewers_see_neither(town: Town, sign_in: SignIn) -> None:
    viewer = sign_in(town.tenant, town.southerners[0], Role.VIEWER)
    for query, of in (
        (INTERESTED, property_id(town.south[0])),
        (SIMILAR, user_id(town.southerners[0])),
    ):
        assert (await viewer.error(query, id=of))["code"] == "FORBIDDEN"
        # What is wrong with the arguments is said first, of both alike.
        assert (await viewer.error(query, id=of, first=-1))["field"] == ["first"]


async def test_without_a_model_interest_is_told_and_likeness_refused(
    database: Database, tenant: Tenant, sign_in: SignIn
) -> None:
    town = await build_town(database, tenant)
    async with database.work(tenant.id) as work:
        keen = town.northerners[0]
        await buy_boxes.state(work, keen, BuyBox(zipcodes=("98030",)))
    session = sign_in(tenant, town.idle)
    answer = await session.data(INTERESTED, id=property_id(town.south[0]), first=100)
    found = answer["property"]["interestedUsers"]
    everyone = users_of(found, "user")
    assert everyone[0] == user_id(keen)
    assert everyone[1:] == sorted(everyone[1:], key=lambda one: parse_id(one, "User", "id"))
    assert set(everyone) == set(map(user_id, town.southerners + town.northerners))
    assert found["totalCount"] == 12
    assert found["modelVersion"] is None
    assert found["reason"] == {
        "kind": "NO_ACTIVE_MODEL",
        "text": "No model is active yet, so this list follows the investors' buy boxes and what "
        "your firm's investors engage with.",
    }
    refused = await session.error(SIMILAR, id=user_id(town.southerners[0]))
    assert refused["code"] == "NO_ACTIVE_MODEL"


async def test_many_houses_are_asked_about_in_one_batch(
    town: Town, sign_in: SignIn, statements: list[str]
) -> None:
    session = sign_in(town.tenant, town.idle)
    query = """query ($first: Int!) { properties(first: $first) { edges { node {
        interestedUsers(first: 3) { edges { node { score } } } } } } }"""
    await session.data(query, first=5)
    five = len(statements)
    statements.clear()
    await session.data(query, first=10)
    assert len(statements) == five
    refused = await session.error(query, first=21)
    assert refused["code"] == "INVALID_INPUT"
    assert "at most 20" in refused["message"]


async def test_an_investor_who_was_deleted_is_found_no_more(
    rt: Runtime, database: Database
) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant)
    async with database.work(town.tenant.id) as work:
        version = await tenants.active_version_id(work)
        assert version is not None
        user = await work.session.get_one(User, (town.tenant.id, town.southerners[0]))
        await work.session.delete(user)
    page = await rt.recommender.audience.similar(town.tenant.id, town.southerners[1], 100)
    assert town.southerners[0] not in {item.user.id for item in page.items}
    space = rt.index.space(ModelKey(town.tenant.id, version))
    assert town.southerners[0] in await space.user_ids()


units = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.just(16)),
    elements=st.floats(-1, 1, width=32),
    fill=st.just(np.float32(0.5)),
).map(lambda some: some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-3))


@given(units, units)
def test_kinship_is_symmetric_and_highest_with_oneself(
    one: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    other: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    (alike,) = kinship(one, [other])
    assert 0 <= alike <= 1
    assert kinship(other, [one]) == pytest.approx([alike], abs=1e-5)
    whole = np.linalg.norm(one, axis=1).min() > 0.99
    if whole:
        assert kinship(one, [one]) == pytest.approx([1], abs=1e-5)
