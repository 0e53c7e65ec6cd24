"""Global ids and connections as Relay's server specification has them."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.vocabulary import Role
from domain.core.database import Database
from tests.conftest import new_tenant
from tests.drawing import few
from tests.factories import Town, build_town
from tests.graph.conftest import Session, SignIn, property_id, user_id

FIELDS = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor"


CHEAP = "filter: {price: {max: 330000}}"
PAGE = "first: $first, after: $after, last: $last, before: $before"


def asking(field: str, node: str) -> str:
    """A query for a page of ``list``, with ``$of`` where the field says so."""
    of = "$of: ID!, " if "$of" in field else ""
    closing = " }" if field.startswith("property(") else ""
    return (
        f"query ({of}$first: Int, $after: String, $last: Int, $before: String) {{ "
        f"{field.replace('PAGE', PAGE)} {{ {FIELDS} node {{ {node} }} }} }} }}{closing}"
    )


NAMES = {
    "properties": asking(
        f"list: properties({CHEAP}, orderBy: {{field: LISTING_PRICE, direction: DESC}}, PAGE)", "id"
    ),
    "users": asking("list: users(PAGE)", "id"),
    "recommendations": asking(
        f"list: recommendations(userId: $of, {CHEAP}, PAGE)", "rank property { id }"
    ),
    "unranked": asking(
        f"list: recommendations(userId: $of, {CHEAP}, PAGE)", "rank property { id }"
    ),
    "similarProperties": asking(f"list: similarProperties(propertyId: $of, {CHEAP}, PAGE)", "id"),
    "similarWithoutModel": asking(f"list: similarProperties(propertyId: $of, {CHEAP}, PAGE)", "id"),
    "similarUsers": asking("list: similarUsers(userId: $of, PAGE)", "id"),
    "interestedUsers": asking(
        "property(id: $of) { list: interestedUsers(PAGE)", "rank user { id }"
    ),
    "interestedWithoutModel": asking(
        "property(id: $of) { list: interestedUsers(PAGE)", "rank user { id }"
    ),
}
WITHOUT_MODEL = ("similarWithoutModel", "interestedWithoutModel")


@pytest.fixture(scope="module")
async def untrained(database: Database) -> Town:
    """A town without a model."""
    return await build_town(database, await new_tenant(database))


async def page_of(session: Session, town: Town, name: str, **arguments: Any) -> dict[str, Any]:
    of = {
        "recommendations": user_id(town.southerners[0]),
        "unranked": user_id(town.idle),
        "similarProperties": property_id(town.south[0]),
        "similarUsers": user_id(town.southerners[0]),
        "interestedUsers": property_id(town.south[0]),
        "similarWithoutModel": property_id(town.south[0]),
        "interestedWithoutModel": property_id(town.south[0]),
    }.get(name)
    data = await session.data(NAMES[name], **arguments, **({"of": of} if of else {}))
    found: dict[str, Any] = data.get("property", data)["list"]
    return found


@pytest.mark.parametrize("name", NAMES)
@few(20)
@given(
    st.integers(0, 40),
    st.integers(0, 39),
    st.integers(0, 39),
    st.sampled_from(["first", "last"]),
    st.booleans(),
    st.booleans(),
)
async def test_every_page_is_that_of_the_specification(
    town: Town,
    untrained: Town,
    sign_in: SignIn,
    name: str,
    size: int,
    start: int,
    end: int,
    way: str,
    after: bool,
    before: bool,
) -> None:
    town = untrained if name in WITHOUT_MODEL else town
    session = sign_in(town.tenant, town.idle)
    whole = await page_of(session, town, name, first=100)
    edges = whole["edges"]
    assert len({edge["cursor"] for edge in edges}) == len(edges) == whole["totalCount"] > 5
    start, end = start % len(edges), end % len(edges)
    if name not in ("properties", "users"):
        # A ranked list is entered from one side at a time.
        after, before = way == "first" and after, way == "last"
    arguments: dict[str, Any] = {way: size}
    arguments |= {"after": edges[start]["cursor"]} if after else {}
    arguments |= {"before": edges[end]["cursor"]} if before else {}
    # ApplyCursorsToEdges, then EdgesToReturn.
    left = edges[start + 1 if after else 0 : end if before else len(edges)]
    expected = left[:size] if way == "first" else left[max(0, len(left) - size) :]
    found = await page_of(session, town, name, **arguments)
    assert [edge["node"] for edge in found["edges"]] == [edge["node"] for edge in expected]
    more = len(left) > size
    info = found["pageInfo"]
    assert info["hasNextPage"] == (more if way == "first" else before)
    assert info["hasPreviousPage"] == (more if way == "last" else after)
    cursors = [edge["cursor"] for edge in found["edges"]] or [None]
    assert (info["startCursor"], info["endCursor"]) == (cursors[0], cursors[-1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"first": -1}, "first -1: use 0 to 100"),
        ({"first": 101}, "first 101: use 0 to 100"),
        ({"last": -1}, "last -1: use 0 to 100"),
        ({"last": 101}, "last 101: use 0 to 100"),
        ({"first": 1, "last": 1}, "give one of them, not both"),
    ],
)
async def test_a_page_holds_at_most_a_hundred(
    town: Town, sign_in: SignIn, name: str, arguments: dict[str, int], says: str
) -> None:
    session = sign_in(town.tenant, town.idle)
    with pytest.raises(AssertionError, match=f"{says}.*INVALID_INPUT"):
        await page_of(session, town, name, **arguments)


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_of_none_counts_and_says_what_follows(
    town: Town, untrained: Town, sign_in: SignIn, name: str
) -> None:
    town = untrained if name in WITHOUT_MODEL else town
    session = sign_in(town.tenant, town.idle)
    whole = await page_of(session, town, name, first=100)
    none = {"startCursor": None, "endCursor": None}
    end = whole["edges"][-1]["cursor"]
    for arguments, follows, precedes in (
        ({"first": 0}, True, False),
        ({"first": 0, "after": end}, False, True),
        ({"last": 0, "before": end}, True, True),
        ({"last": 0, "before": whole["edges"][0]["cursor"]}, True, False),
    ):
        found = await page_of(session, town, name, **arguments)
        assert (found["totalCount"], found["edges"]) == (whole["totalCount"], [])
        around = {"hasNextPage": follows, "hasPreviousPage": precedes}
        assert found["pageInfo"] == around | none, arguments


@pytest.mark.parametrize("name", ["recommendations", "similarProperties", "similarUsers"])
async def test_a_ranked_list_is_entered_from_one_side(
    town: Town, sign_in: SignIn, name: str
) -> None:
    session = sign_in(town.tenant, town.idle)
    cursor = (await page_of(session, town, name, first=2))["pageInfo"]["endCursor"]
    for arguments in (
        {"last": 2},
        {"first": 2, "before": cursor},
        {"last": 2, "before": cursor, "after": cursor},
    ):
        with pytest.raises(AssertionError, match="INVALID_INPUT"):
            await page_of(session, town, name, **arguments)


async def test_nodes_come_in_the_order_asked_and_null_where_there_is_none(
    town: Town, sign_in: SignIn, statements: list[str]
) -> None:
    session = sign_in(town.tenant, town.idle)
    house, user = property_id(town.south[0]), user_id(town.southerners[0])
    ids = [user, property_id(UUID(int=5)), house, "nonsense", house, user_id(town.northerners[0])]
    body = await session.post("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    found = [node and node["id"] for node in body["data"]["nodes"]]
    assert found == [user, None, house, None, house, ids[5]]
    assert [(error["path"], error["extensions"]["code"]) for error in body["errors"]] == [
        (["nodes", 1], "NOT_FOUND"),
        (["nodes", 3], "INVALID_INPUT"),
    ]
    assert sum("FROM users" in one for one in statements) == 1
    refused = await session.error(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[house] * 101
    )
    assert (refused["code"], refused["field"]) == ("INVALID_INPUT", ["ids"])
    viewer = sign_in(town.tenant, town.southerners[0], Role.VIEWER)
    body = await viewer.post("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[user, ids[5]])
    assert body["data"]["nodes"] == [{"id": user}, None]
    assert body["errors"][0]["extensions"]["code"] == "FORBIDDEN"
