"""Thumbs and interactions over HTTP: they count at once, once, and for whom they should."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.contract.vocabulary import InteractionKind, Role
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import add_interaction, add_property, add_user, build_town, train
from tests.graph.conftest import Session, SignIn, property_id, user_id

SUBMIT = """
mutation ($input: SubmitFeedbackInput!) {
  submitFeedback(input: $input) {
    feedback { id sentiment reason simulated givenAt }
    property { id feedback { sentiment reason } }
    errors { code message path }
  }
}
"""
RETRACT = """
mutation ($input: RetractFeedbackInput!) {
  retractFeedback(input: $input) {
    retracted property { feedback { sentiment } } errors { code path }
  }
}
"""
RECORD = """
mutation ($input: RecordInteractionInput!) {
  recordInteraction(input: $input) {
    interaction { id kind occurredAt simulated user { id } } errors { code path }
  }
}
"""
TOP = "{ recommendations(first: 100) { edges { node { rank property { id } } } } }"


async def listed(session: Session) -> list[str]:
    answer = await session.data(TOP)
    return [edge["node"]["property"]["id"] for edge in answer["recommendations"]["edges"]]


@pytest.fixture
async def house(tenant: Tenant, database: Database) -> str:
    async with database.work(tenant.id) as work:
        return property_id((await add_property(work)).id)


@pytest.fixture
async def viewer(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    return sign_in(tenant, user.id, Role.VIEWER)


async def test_a_thumb_changes_the_next_answer(
    rt: Runtime, database: Database, sign_in: SignIn
) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant, epochs=2)
    session = sign_in(town.tenant, town.southerners[0], Role.VIEWER)
    best = (await listed(session))[0]
    down = {"propertyId": best, "sentiment": "THUMBS_DOWN", "reason": "Too near the road."}
    answer = (await session.data(SUBMIT, input=down))["submitFeedback"]
    assert answer["errors"] == []
    assert answer["property"]["feedback"]["sentiment"] == "THUMBS_DOWN"
    assert best not in await listed(session)
    answer = (await session.data(RETRACT, input={"propertyId": best}))["retractFeedback"]
    assert answer == {"retracted": True, "property": {"feedback": None}, "errors": []}
    assert best in await listed(session)
    dismissed = {"propertyId": best, "kind": "DISMISS"}
    await session.data(RECORD, input=dismissed)
    assert best not in await listed(session)


async def test_saying_it_again_changes_nothing(viewer: Session, house: str) -> None:
    given = {"propertyId": house, "sentiment": "THUMBS_UP", "reason": "Light."}
    first = (await viewer.data(SUBMIT, input=given))["submitFeedback"]["feedback"]
    again = (await viewer.data(SUBMIT, input=given))["submitFeedback"]["feedback"]
    assert again == first
    other = given | {"sentiment": "THUMBS_DOWN"}
    turned = (await viewer.data(SUBMIT, input=other))["submitFeedback"]["feedback"]
    assert (turned["id"], turned["sentiment"]) == (first["id"], "THUMBS_DOWN")
    retract = {"propertyId": house}
    assert (await viewer.data(RETRACT, input=retract))["retractFeedback"]["retracted"]
    assert not (await viewer.data(RETRACT, input=retract))["retractFeedback"]["retracted"]


async def test_an_act_is_recorded_once(viewer: Session, house: str) -> None:
    done = {"propertyId": house, "kind": "SAVE", "occurredAt": "2024-05-01T10:00:00Z"}
    first = (await viewer.data(RECORD, input=done))["recordInteraction"]["interaction"]
    again = (await viewer.data(RECORD, input=done))["recordInteraction"]["interaction"]
    later = done | {"occurredAt": "2024-05-01T10:00:01"}
    third = (await viewer.data(RECORD, input=later))["recordInteraction"]["interaction"]
    assert again == first
    assert third["id"] != first["id"]
    assert first["kind"] == "SAVE"
    assert first["simulated"] is False
    assert first["user"]["id"] == user_id(viewer.user_id)


async def test_two_mutations_in_one_request_each_see_the_state_of_then(
    viewer: Session, house: str
) -> None:
    query = """mutation ($up: SubmitFeedbackInput!, $down: SubmitFeedbackInput!) {
        a: submitFeedback(input: $up) { property { engagement feedback { sentiment } } }
        b: submitFeedback(input: $down) { property { engagement feedback { sentiment } } } }"""
    up = {"propertyId": house, "sentiment": "THUMBS_UP"}
    answer = await viewer.data(query, up=up, down=up | {"sentiment": "THUMBS_DOWN"})
    assert answer["a"]["property"] == {"engagement": 6.0, "feedback": {"sentiment": "THUMBS_UP"}}
    assert answer["b"]["property"] == {"engagement": 0.0, "feedback": {"sentiment": "THUMBS_DOWN"}}


async def test_only_analysts_act_for_others(
    tenant: Tenant, database: Database, viewer: Session, house: str, sign_in: SignIn
) -> None:
    async with database.work(tenant.id) as work:
        analyst = sign_in(tenant, (await add_user(work)).id)
    up = {"propertyId": house, "sentiment": "THUMBS_UP", "userId": user_id(viewer.user_id)}
    assert (await analyst.data(SUBMIT, input=up))["submitFeedback"]["errors"] == []
    query = "query ($id: ID!) { property(id: $id) { feedback { sentiment } } }"
    mine = await viewer.data(query, id=house)
    assert mine["property"]["feedback"] == {"sentiment": "THUMBS_UP"}
    theirs = await analyst.data(query, id=house)
    assert theirs["property"]["feedback"] is None
    other = {"propertyId": house, "kind": "VIEW", "userId": user_id(analyst.user_id)}
    refused = (await viewer.data(RECORD, input=other))["recordInteraction"]
    assert refused["errors"] == [{"code": "FORBIDDEN", "path": ["userId"]}]
    assert refused["interaction"] is None


@pytest.mark.parametrize(
    ("query", "change", "code", "path"),
    [
        (SUBMIT, {"reason": "x" * 2001}, "INVALID_INPUT", ["reason"]),
        (SUBMIT, {"reason": "zero \x00"}, "INVALID_INPUT", ["reason"]),
        (SUBMIT, {"propertyId": "7"}, "INVALID_INPUT", ["propertyId"]),
        (SUBMIT, {"userId": "7"}, "INVALID_INPUT", ["userId"]),
        (RECORD, {"occurredAt": "2999-01-01T00:00:00Z"}, "INVALID_INPUT", ["occurredAt"]),
        (RECORD, {"occurredAt": "0001-01-01T00:00:00+14:00"}, "INVALID_INPUT", ["occurredAt"]),
        (RECORD, {"occurredAt": "0001-01-01T00:00:00Z"}, "INVALID_INPUT", ["occurredAt"]),
        (RECORD, {"occurredAt": "1899-12-31T23:59:59Z"}, "INVALID_INPUT", ["occurredAt"]),
    ],
)
async def test_inputs_that_break_a_rule_come_back_in_the_payload(
    viewer: Session, house: str, query: str, change: dict[str, Any], code: str, path: list[str]
) -> None:
    kind = {"sentiment": "THUMBS_UP"} if query == SUBMIT else {"kind": "VIEW"}
    answer = await viewer.data(query, input={"propertyId": house} | kind | change)
    (payload,) = answer.values()
    (error,) = payload["errors"]
    assert (error["code"], error["path"]) == (code, path)


async def test_what_was_invented_is_marked(
    tenant: Tenant, database: Database, sign_in: SignIn
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work, simulated=True)
        found = await add_property(work)
        await add_interaction(
            work,
            user.id,
            found.id,
            InteractionKind.THUMBS_UP,
            simulated=True,
            occurred_at=datetime.now(UTC) - timedelta(days=1),
        )
    session = sign_in(tenant, user.id)
    query = "query ($id: ID!) { me { simulated } property(id: $id) { feedback { simulated } } }"
    answer = await session.data(query, id=property_id(found.id))
    assert answer == {"me": {"simulated": True}, "property": {"feedback": {"simulated": True}}}
