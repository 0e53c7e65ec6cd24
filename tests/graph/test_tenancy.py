"""Over HTTP, what is another tenant's cannot be told from what never existed."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn, property_id, user_id

QUERIES = {
    "property": "query ($id: ID!, $user: ID!) { property(id: $id) { id } user(id: $user) { id } }",
    "node": "query ($id: ID!, $user: ID!) { a: node(id: $id) { id } b: node(id: $user) { id } }",
    "similar": "query ($id: ID!) { similarProperties(propertyId: $id) { edges { cursor } } }",
    "recommendations": """query ($user: ID!) {
        recommendations(userId: $user) { edges { cursor } } }""",
    "affinity": "query ($id: ID!) { affinity(propertyIds: [$id]) { score } }",
    "affinity_of": """query ($own: ID!, $user: ID!) {
        affinity(propertyIds: [$own], userId: $user) { score } }""",
    "affinity_field": """query ($own: ID!, $user: ID!) {
        property(id: $own) { affinity(userId: $user) } }""",
    "feedback": """mutation ($id: ID!, $own: ID!, $user: ID!) {
        a: submitFeedback(input: {propertyId: $id, sentiment: THUMBS_UP}) {
            errors { code message path } }
        b: submitFeedback(input: {propertyId: $own, userId: $user, sentiment: THUMBS_UP}) {
            errors { code message path } }
        c: retractFeedback(input: {propertyId: $id}) { errors { code message path } }
        d: recordInteraction(input: {propertyId: $id, kind: VIEW}) {
            errors { code message path } }
        e: deleteProperty(input: {propertyId: $id}) { errors { code message path } }
        f: setBuyBox(input: {userId: $user, cities: ["Seattle"]}) {
            user { id } errors { code message path } } }""",
}


@pytest.fixture
async def own(tenant: Tenant, database: Database) -> tuple[UUID, UUID]:
    async with database.work(tenant.id) as work:
        return (await add_property(work)).id, (await add_user(work)).id


@pytest.fixture
async def foreign(other_tenant: Tenant, database: Database) -> tuple[UUID, UUID]:
    async with database.work(other_tenant.id) as work:
        return (await add_property(work)).id, (await add_user(work)).id


@pytest.mark.parametrize("name", QUERIES)
async def test_foreign_ids_answer_like_ids_that_never_were(
    tenant: Tenant,
    sign_in: SignIn,
    own: tuple[UUID, UUID],
    foreign: tuple[UUID, UUID],
    name: str,
) -> None:
    session = sign_in(tenant, own[1], Role.ADMIN)

    async def answer(found: UUID, user: UUID) -> dict[str, Any]:
        wanted = {"id": property_id(found), "user": user_id(user), "own": property_id(own[0])}
        used = {key: value for key, value in wanted.items() if f"${key}:" in QUERIES[name]}
        body = await session.post(QUERIES[name], **used)
        # Fields resolve side by side, so errors come in any order.
        body.get("errors", []).sort(key=lambda error: error["path"])
        return body

    theirs, nobody = await answer(*foreign), await answer(uuid4(), uuid4())
    assert theirs == nobody
    assert "NOT_FOUND" in str(theirs)


async def test_lists_hold_the_own_tenant_alone(
    tenant: Tenant,
    other_tenant: Tenant,
    sign_in: SignIn,
    own: tuple[UUID, UUID],
    foreign: tuple[UUID, UUID],
) -> None:
    query = """{ me { id } properties { totalCount edges { node { id } } }
        recommendations { edges { node { property { id } } } } }"""
    for firm, (house, user) in ((tenant, own), (other_tenant, foreign)):
        answer = await sign_in(firm, user).data(query)
        expected = [property_id(house)]
        assert answer["me"]["id"] == user_id(user)
        assert [edge["node"]["id"] for edge in answer["properties"]["edges"]] == expected
        assert answer["properties"]["totalCount"] == 1
        listed = answer["recommendations"]["edges"]
        assert [edge["node"]["property"]["id"] for edge in listed] == expected


async def test_a_viewer_sees_itself_and_no_other(
    tenant: Tenant, database: Database, sign_in: SignIn, own: tuple[UUID, UUID]
) -> None:
    async with database.work(tenant.id) as work:
        other = await add_user(work)
    viewer = sign_in(tenant, own[1], Role.VIEWER)
    query = "query ($id: ID!) { user(id: $id) { id role } }"
    assert (await viewer.data(query, id=user_id(own[1])))["user"]["role"] == "ANALYST"
    for hidden in (other.id, uuid4()):
        assert (await viewer.error(query, id=user_id(hidden)))["code"] == "FORBIDDEN"
        node = "query ($id: ID!) { node(id: $id) { id } }"
        assert (await viewer.error(node, id=user_id(hidden)))["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    "malformed", ["", "7", "UHJvcGVydHk6Nw==", "VXNlcjox", "ÿ", "Tm9uZTow", "x" * 5000]
)
async def test_malformed_ids_are_named(
    tenant: Tenant, sign_in: SignIn, own: tuple[UUID, UUID], malformed: str
) -> None:
    session: Session = sign_in(tenant, own[1])
    for query, field in (
        ("query ($id: ID!) { property(id: $id) { id } }", ["id"]),
        ("query ($id: ID!) { node(id: $id) { id } }", ["id"]),
        ("query ($id: ID!) { user(id: $id) { id } }", ["id"]),
        ("query ($id: ID!) { affinity(propertyIds: [$id]) { score } }", ["propertyIds", "0"]),
    ):
        error = await session.error(query, id=malformed)
        assert (error["code"], error["field"]) == ("INVALID_INPUT", field)
        assert len(error["message"]) < 300
