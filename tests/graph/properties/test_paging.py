"""Pages of lists while others write: nothing twice, nothing missed of what was there throughout.

A house whose own values change moves, as it must, and may come again at its new place.
"""

import asyncio
import os
import random
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest

from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.interactions import histories, interactions
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.properties import table
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from jobs.reindexing.indexer import Indexer
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, add_property, build_town, train
from tests.graph.conftest import Session, SignIn, property_id, user_id

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("PAGING_ROUNDS", "1"))
"""How often each list is paged through; ``make test-paging`` asks for more."""

QUERIES = {
    "recommendations": """query ($of: ID!, $first: Int, $after: String) {
        list: recommendations(userId: $of, first: $first, after: $after, history: ANY) {
            pageInfo { hasNextPage endCursor } edges { node { property { id } rank } } } }""",
    "similarProperties": """query ($of: ID!, $first: Int, $after: String) {
        list: similarProperties(propertyId: $of, first: $first, after: $after) {
            pageInfo { hasNextPage endCursor } edges { node { id } } } }""",
    "properties": """query ($first: Int, $after: String) {
        list: properties(orderBy: {field: LISTING_PRICE, direction: DESC},
            first: $first, after: $after) {
            pageInfo { hasNextPage endCursor } edges { node { id } } } }""",
}


class Writers:
    """Changes the houses that may change, and opinions of them, until told to stop.

    The reader gives thumbs as well, to houses that stay as they are: a list ends (CURSOR_EXPIRED)
    where what it is ranked by is changed or taken back.
    """

    def __init__(
        self, rt: Runtime, database: Database, town: Town, reader: UUID, free: list[UUID]
    ) -> None:
        self._rt, self._database, self._town, self._reader = rt, database, town, reader
        self._liked, self.free = free[:20], free[20:]
        self.changed: set[UUID] = set()
        self.done = 0
        # A thumb that is under way as a list begins counts as given before, and ends the list.
        self.judging = asyncio.Lock()

    async def write(self, chance: random.Random) -> None:
        """One change after the other, the index following each."""
        indexer = await Indexer.open(self._rt.database, self._rt.index, self._rt.twin)
        tenant: Tenant = self._town.tenant
        while True:
            act = chance.choice(["add", "delete", "change", "thumb", "retract", "save", "own"])
            investor = self._reader if act == "own" else chance.choice(self._town.northerners)
            house = chance.choice(self._liked if act == "own" else self.free)
            async with (
                self.judging if act == "own" else nullcontext(),
                self._database.work(tenant.id) as work,
            ):
                if act == "add":
                    new = await add_property(
                        work,
                        latitude=chance.uniform(47.3, 47.7),
                        listing_price=chance.uniform(2e5, 1e6),
                        square_feet=chance.uniform(900, 3200),
                    )
                    self.free.append(new.id)
                    house = new.id
                elif await work.session.get(Property, (tenant.id, house), with_for_update=True):
                    await self._change(work, act, house, investor, chance)
                else:
                    continue
                if act == "change":
                    self.changed.add(house)
                await index_outbox.mark(work, Marked.PROPERTY, [house])
            await indexer.index_marked(tenant.id)
            self.done += 1

    @staticmethod
    async def _change(
        work: Any, act: str, house: UUID, investor: UUID, chance: random.Random
    ) -> None:
        if act == "delete":
            await table.remove(work, house)
        elif act == "change":
            found = await table.get(work, house)
            found.listing_price = chance.uniform(2e5, 1e6)
        elif act == "own":
            given = await interactions.feedback(work, investor, [house])
            if not given:
                thumb = chance.choice([InteractionKind.THUMBS_UP, InteractionKind.THUMBS_DOWN])
                await interactions.submit_feedback(work, investor, house, thumb, None)
        elif act == "thumb":
            thumb = chance.choice([InteractionKind.THUMBS_UP, InteractionKind.THUMBS_DOWN])
            await interactions.submit_feedback(work, investor, house, thumb, None)
        elif act == "retract":
            await interactions.retract_feedback(work, investor, house)
        else:
            await interactions.record(work, investor, house, InteractionKind.SAVE)


async def page_through(
    session: Session, name: str, of: str, size: int, writers: Writers
) -> list[str]:
    """The ids of a list, page by page."""
    seen: list[str] = []
    after = None
    while True:
        used = {} if name == "properties" else {"of": of}
        before = writers.done
        async with nullcontext() if after else writers.judging:
            found = (await session.data(QUERIES[name], **used, first=size, after=after))["list"]
        nodes = [edge["node"] for edge in found["edges"]]
        if name == "recommendations":
            assert [node["rank"] for node in nodes] == list(
                range(len(seen) + 1, len(seen) + 1 + len(nodes))
            )
        seen += [node["property"]["id"] if "property" in node else node["id"] for node in nodes]
        if not found["pageInfo"]["hasNextPage"]:
            return seen
        assert len(nodes) == size
        after = found["pageInfo"]["endCursor"]
        # A change or so for each page, without waiting for ever.
        for _ in range(200):
            if writers.done > before:
                break
            await asyncio.sleep(0.002)


@pytest.mark.timeout(300 + 120 * ROUNDS)
@pytest.mark.parametrize("name", QUERIES)
async def test_nothing_is_shown_twice_or_missed_while_others_write(
    rt: Runtime, database: Database, sign_in: SignIn, name: str
) -> None:
    # More than the first part of a list holds.
    town = await build_town(database, await new_tenant(database), houses=150)
    await train(rt, town.tenant, epochs=2)
    reader, anchor = town.southerners[0], town.south[0]
    async with database.work(town.tenant.id) as work:
        history = (await histories.get_many(work, [reader]))[reader]
        for house in town.north[-2:]:
            await interactions.record(work, reader, house, InteractionKind.DEAL)
    session = sign_in(town.tenant, reader)
    chance = random.Random(name)
    houses = sorted({*town.south, *town.north} - {anchor, *history.properties.ids})
    free = [one for one in chance.sample(houses, 60) if one not in town.north[-2:]]
    stays = {*town.south, *town.north} - set(free)
    expected = {
        "recommendations": stays - set(town.north[-2:]),
        "similarProperties": stays - {anchor},
        "properties": stays,
    }[name]
    of = property_id(anchor) if name == "similarProperties" else user_id(reader)
    writers = Writers(rt, database, town, reader, free)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(writers.write(random.Random(seed))) for seed in range(2)]
        for turn in range(ROUNDS):
            for size in (5, 11) if turn % 2 == 0 else (1, 3):
                seen = await page_through(session, name, of, size, writers)
                again = {one for one in seen if seen.count(one) > 1}
                assert again <= set(map(property_id, writers.changed))
                assert set(map(property_id, expected)) <= set(seen)
        for task in tasks:
            task.cancel()
    assert writers.done > 10


async def test_a_list_does_not_go_on_silently_when_what_it_follows_is_taken_back(
    rt: Runtime, database: Database, sign_in: SignIn
) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant, epochs=2)
    reader, earlier, later, owned = town.southerners[0], *town.north[:3]
    session = sign_in(town.tenant, reader)

    async def first_page() -> dict[str, Any]:
        answer = await session.data(QUERIES["recommendations"], of=user_id(reader), first=5)
        return {"of": user_id(reader), "after": answer["list"]["pageInfo"]["endCursor"]}

    async def thumb(house: UUID, kind: InteractionKind) -> None:
        async with database.work(town.tenant.id) as work:
            await interactions.submit_feedback(work, reader, house, kind, None)

    await thumb(earlier, InteractionKind.THUMBS_UP)
    await thumb(owned, InteractionKind.THUMBS_UP)
    page = await first_page()
    whole = await session.data(QUERIES["recommendations"], **page, first=100)
    # What was done since the first page, and taken back again, is not of this list.
    await thumb(later, InteractionKind.THUMBS_UP)
    async with database.work(town.tenant.id) as work:
        await interactions.retract_feedback(work, reader, later)
    assert await session.data(QUERIES["recommendations"], **page, first=100) == whole

    async with database.work(town.tenant.id) as work:
        await interactions.retract_feedback(work, reader, earlier)
    refused = await session.error(QUERIES["recommendations"], **page)
    assert (refused["code"], refused["field"]) == ("CURSOR_EXPIRED", ["after"])
    page = await first_page()
    async with database.work(town.tenant.id) as work:
        (await table.get(work, owned)).listing_price = 123_456.0
    assert (await session.error(QUERIES["recommendations"], **page))["code"] == "CURSOR_EXPIRED"
    page = await first_page()
    async with database.work(town.tenant.id) as work:
        await table.remove(work, owned)
    assert (await session.error(QUERIES["recommendations"], **page))["code"] == "CURSOR_EXPIRED"
