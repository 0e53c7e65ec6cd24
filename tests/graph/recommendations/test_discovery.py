"""What a feed leaves out: what the investor has acted on, and what is not for sale."""

from typing import Any
from uuid import UUID

import pytest

from domain.contract.vocabulary import InteractionKind, ListingStatus
from domain.core.database import Database
from domain.interactions import interactions
from domain.properties import table
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, build_town, train
from tests.graph.conftest import Session, SignIn, property_id

FEED = """query ($filter: PropertyFilter, $first: Int, $after: String,
    $history: RecommendationHistory! = NEW) {
  recommendations(filter: $filter, first: $first, after: $after, history: $history) {
    totalCount edges { node { property { id } } } pageInfo { hasNextPage endCursor } } }"""
ACT = """mutation ($input: RecordInteractionInput!) { recordInteraction(input: $input) {
  interaction { kind } errors { message } } }"""


STATUSES = [ListingStatus.SOLD, ListingStatus.OFF_MARKET, None, ListingStatus.PENDING]


@pytest.fixture(params=["model", "no model"])
async def town(request: pytest.FixtureRequest, rt: Runtime, database: Database) -> Town:
    """A town whose last northern houses have other statuses than ACTIVE."""
    found = await build_town(database, await new_tenant(database))
    async with database.work(found.tenant.id) as work:
        for house, status in zip(found.north[-4:], STATUSES, strict=True):
            (await table.get(work, house)).listing_status = status
    if request.param == "model":
        await train(rt, found.tenant, epochs=2)
    return found


@pytest.fixture
def investor(town: Town, sign_in: SignIn) -> Session:
    return sign_in(town.tenant, town.southerners[0])


async def feed(session: Session, **variables: Any) -> list[str]:
    found = (await session.data(FEED, first=100, **variables))["recommendations"]
    ids = [edge["node"]["property"]["id"] for edge in found["edges"]]
    assert found["totalCount"] == len(ids)
    return ids


async def test_a_feed_leaves_out_what_was_saved_contacted_or_bought(
    investor: Session,
) -> None:
    before = await feed(investor)
    for number, kind in enumerate(("SAVE", "OUTREACH", "DEAL", "VIEW")):
        answer = await investor.data(ACT, input={"propertyId": before[number], "kind": kind})
        assert answer["recordInteraction"]["errors"] == []
    after = await feed(investor)
    assert set(after) == set(before[3:])
    any_history = await feed(investor, history="ANY")
    assert set(any_history) >= set(before) - {before[2]}
    assert before[2] not in any_history


async def test_a_feed_leaves_out_what_is_not_for_sale_unless_it_is_asked_for(
    investor: Session, town: Town
) -> None:
    sold, withdrawn, unknown, pending = map(property_id, town.north[-4:])
    found = await feed(investor)
    assert {unknown, pending} <= set(found)
    assert not {sold, withdrawn} & set(found)
    for statuses, wanted in (
        (["SOLD"], {sold}),
        (["SOLD", "OFF_MARKET"], {sold, withdrawn}),
        (["PENDING"], {pending}),
    ):
        assert set(await feed(investor, filter={"listingStatuses": statuses})) == wanted


async def test_a_save_between_two_pages_neither_repeats_nor_skips(investor: Session) -> None:
    whole = await feed(investor)
    seen: list[str] = []
    after = None
    while True:
        page = (await investor.data(FEED, first=7, after=after))["recommendations"]
        seen += [edge["node"]["property"]["id"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
        saved = {"propertyId": whole[3], "kind": "SAVE"}, {"propertyId": whole[9], "kind": "SAVE"}
        for one in saved:
            await investor.data(ACT, input=one)
    assert seen == [one for one in whole if one != whole[9]]


async def test_what_another_investor_saved_is_new(
    town: Town, investor: Session, database: Database
) -> None:
    before = await feed(investor)
    async with database.work(town.tenant.id) as work:
        for kind in (InteractionKind.SAVE, InteractionKind.OUTREACH):
            await interactions.record(work, town.northerners[0], _row_id(before[0], town), kind)
    assert set(await feed(investor)) == set(before)


def _row_id(global_id: str, town: Town) -> UUID:
    return next(one for one in (*town.south, *town.north) if property_id(one) == global_id)
