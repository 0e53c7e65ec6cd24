"""What the server stores and answers goes by PostgreSQL's clock, however wrong its own is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.model_registry import model_versions
from runtime import Runtime
from tests.clock import app_clock
from tests.conftest import new_tenant
from tests.factories import Town, add_user, build_town, train
from tests.graph.conftest import Session, SignIn, property_id

BEHIND, RIGHT, AHEAD = timedelta(minutes=-2), timedelta(), timedelta(minutes=2)
SUBMIT = """
mutation ($input: SubmitFeedbackInput!) {
  submitFeedback(input: $input) { feedback { givenAt } errors { code } } }
"""
RECORD = """
mutation ($input: RecordInteractionInput!) {
  recordInteraction(input: $input) { interaction { occurredAt } errors { path } } }
"""
LIST = """
query ($first: Int!, $after: String) {
  recommendations(first: $first, after: $after) {
    pageInfo { endCursor } edges { node { modelVersion property { id } } } } }
"""


@pytest.fixture(scope="module")
async def village(rt: Runtime, database: Database) -> Town:
    """A trained tenant to write to; a server whose clock is ahead trained it."""
    built = await build_town(database, await new_tenant(database))
    with app_clock(AHEAD):
        await train(rt, built.tenant, epochs=2)
    return built


@pytest.fixture
async def newcomer(village: Town, database: Database, sign_in: SignIn) -> Session:
    async with database.work(village.tenant.id) as work:
        user = await add_user(work)
    return sign_in(village.tenant, user.id, Role.VIEWER)


def acts(town: Town) -> dict[str, tuple[str, dict[str, Any]]]:
    """What an investor without approvals may do to be ranked for by the model."""
    house = property_id(town.south[0])
    return {
        "feedback": (SUBMIT, {"propertyId": house, "sentiment": "THUMBS_UP"}),
        "interaction": (RECORD, {"propertyId": house, "kind": "SAVE"}),
    }


async def listed(session: Session, **page: Any) -> tuple[list[str], set[str], str]:
    """The ids of a page, what ranked it, and where it ends."""
    found = (await session.data(LIST, **({"first": 5} | page)))["recommendations"]
    nodes = [edge["node"] for edge in found["edges"]]
    ids = [node["property"]["id"] for node in nodes]
    return ids, {node["modelVersion"] for node in nodes}, found["pageInfo"]["endCursor"]


@pytest.mark.parametrize("act", ["feedback", "interaction"])
@pytest.mark.parametrize(
    ("writer", "reader"),
    [(BEHIND, BEHIND), (AHEAD, AHEAD), (AHEAD, RIGHT), (RIGHT, BEHIND), (AHEAD, BEHIND)],
)
async def test_an_act_counts_in_the_next_answer(
    village: Town, newcomer: Session, act: str, writer: timedelta, reader: timedelta
) -> None:
    mutation, given = acts(village)[act]
    with app_clock(writer):
        await newcomer.data(mutation, input=given)
    with app_clock(reader):
        _, versions, _ = await listed(newcomer)
    assert versions != {"engagement"}


@pytest.mark.parametrize("act", ["feedback", "interaction"])
@pytest.mark.parametrize("reader", [BEHIND, AHEAD])
async def test_a_list_goes_on_as_it_was_begun(
    village: Town, newcomer: Session, act: str, reader: timedelta
) -> None:
    houses = [property_id(one) for one in village.south]
    await newcomer.data(RECORD, input={"propertyId": houses[1], "kind": "SAVE"})
    whole, _, _ = await listed(newcomer, first=10)
    with app_clock(reader):
        first, _, end = await listed(newcomer)
        mutation, given = acts(village)[act]
        await newcomer.data(mutation, input=given)
        second, _, _ = await listed(newcomer, after=end)
    assert first + second == whole


@pytest.mark.parametrize("ahead", [BEHIND, AHEAD])
async def test_whether_an_act_is_in_the_future_is_not_for_the_server_to_say(
    village: Town, newcomer: Session, ahead: timedelta
) -> None:
    given = {"propertyId": property_id(village.south[0]), "kind": "VIEW"}
    now = datetime.now(UTC)
    with app_clock(ahead):
        for offset, wrong in ((-1, []), (1, [["occurredAt"]])):
            moment = (now + timedelta(minutes=offset)).isoformat()
            answer = await newcomer.data(RECORD, input=given | {"occurredAt": moment})
            paths = [error["path"] for error in answer["recordInteraction"]["errors"]]
            assert paths == wrong


async def test_a_version_has_learned_from_what_was_known_at_a_moment_of_the_database(
    village: Town, database: Database
) -> None:
    async with database.work(village.tenant.id) as work:
        version = await model_versions.active(work)
        assert version is not None
        assert version.read_at is not None
        assert version.read_at < version.created_at
