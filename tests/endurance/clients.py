"""Investors who ask and judge, and a firm that keeps writing: each a loop beside the others."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import select

from domain.imports.options import STRICT
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.properties.table import Property
from graph.core.nodes import global_id, parse_id
from tests.endurance import api
from tests.endurance.api import UnansweredError
from tests.endurance.data import house, write_rows
from tests.endurance.ledger import Ledger
from tests.endurance.world import Firm, World

_PAGES = 4
_ENGAGEMENT = "engagement"
_FILE = "moving-file-"


def _property(node_id: str) -> UUID:
    return parse_id(node_id, "Property")


class Clients:
    """The questions and changes of one firm's people; each method is one of them."""

    def __init__(self, world: World, firm: Firm, ledger: Ledger, seed: int) -> None:
        self._world = world
        self._firm = firm
        self._ledger = ledger
        self._random = Random(seed)
        self._numpy = np.random.default_rng(seed)
        self._houses = frozenset(firm.houses)
        self._made = 0

    async def watch(self) -> None:
        """Read a list page by page: one version, falling scores, no property twice."""
        investor = self._random.choice(self._firm.watching)
        after, version, last = None, None, 1.0
        listed: list[UUID] = []
        for _ in range(self._random.randint(1, _PAGES)):
            page = await self._page(investor, after)
            if page is None:
                return
            nodes = [edge["node"] for edge in page["edges"]]
            listed += [_property(node["property"]["id"]) for node in nodes]
            versions = {node["modelVersion"] for node in nodes} | ({version} if version else set())
            scores = [node["score"] for node in nodes]
            if len(versions) != 1 or _ENGAGEMENT in versions:
                self._ledger.wrong.append(f"a list names the versions {versions}")
                return
            if any(later > before + 1e-6 for before, later in pairwise([last, *scores])):
                self._ledger.wrong.append(f"the scores of a list of {versions} rise")
            (version,), last = versions, scores[-1]
            known = zip(listed[-len(nodes) :], scores, strict=True)
            self._ledger.rank(
                (self._firm.tenant_id, investor),
                version,
                tuple((one, score) for one, score in known if one in self._houses),
            )
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        # What changes may change its place, from a page that is read to one that is not.
        stayed = [one for one in listed if one in self._houses]
        if len(set(stayed)) < len(stayed):
            self._ledger.wrong.append(f"the pages of a list of version {version} overlap")

    async def compare(self) -> None:
        """Ask what is like a house."""
        anchor = self._random.choice(self._firm.houses)
        data = await self._ask("similarProperties", api.SIMILAR, property=_id(anchor))
        edges = data["similarProperties"]["edges"]
        scores = [(_property(edge["node"]["id"]), edge["similarity"]) for edge in edges]
        some = tuple((one, score) for one, score in scores if one in self._houses)
        self._ledger.note(self._ledger.likenesses, (self._firm.tenant_id, anchor), some)

    async def weigh(self) -> None:
        """Ask how well some houses suit an investor."""
        investor = self._random.choice(self._firm.watching)
        some = self._random.sample(self._firm.houses, 10)
        data = await self._ask(
            "affinity", api.AFFINITY, user=_user(investor), properties=[_id(one) for one in some]
        )
        scores = tuple((_property(one["property"]["id"]), one["score"]) for one in data["affinity"])
        self._ledger.note(self._ledger.affinities, (self._firm.tenant_id, investor), scores)

    async def judge(self) -> None:
        """Say what an investor thinks of what is recommended, and see that it counts at once."""
        investor = self._random.choice(self._firm.judging)
        page = await self._page(investor, None)
        assert page is not None  # without a cursor none can have expired
        listed = [_property(edge["node"]["property"]["id"]) for edge in page["edges"]]
        choice = [one for one in listed if one in self._houses]
        if not choice:
            return
        judged = self._random.choice(choice)
        sentiment = self._random.choice(["THUMBS_UP", "THUMBS_DOWN"])
        key = ((self._firm.tenant_id, investor), judged)
        self._ledger.feedback[key] = None
        given = {"propertyId": _id(judged), "sentiment": sentiment, "userId": _user(investor)}
        await self._ask("submitFeedback", api.FEEDBACK, input=given)
        self._ledger.feedback[key] = sentiment
        if sentiment == "THUMBS_DOWN":
            after = await self._page(investor, None)
            assert after is not None
            if _id(judged) in {edge["node"]["property"]["id"] for edge in after["edges"]}:
                self._ledger.wrong.append(f"{judged} is recommended to {investor}, who disliked it")

    async def write(self) -> None:
        """Change, add or delete some of the moving properties, and read it back."""
        match self._random.randrange(4):
            case 0:
                await self._delete()
            case 1:
                self._made += 1
                await self._upsert([f"moving-new-{self._made}-{n}" for n in range(2)])
            case _:
                names = self._random.sample(self._changing(), 3)
                await self._upsert(names)

    async def load(self, folder: Path) -> None:
        """Import a file of properties, most of them known, as ``twin import`` does."""
        self._made += 1
        known = sorted(name for name in self._firm.moving if name.startswith(_FILE))
        names = self._random.sample(known, min(len(known), 15))
        names += [f"{_FILE}{self._made}-{n}" for n in range(5)]
        path = folder / f"import-{self._firm.slug}.csv"
        write_rows(path, [{"external_id": name} | self._house() for name in names])
        async with self._world.rt.database.work(self._firm.tenant_id) as work:
            await import_properties(work, FileSource(path), STRICT)
            rows = await work.session.execute(
                select(Property.external_id, Property.id).where(Property.external_id.in_(names))
            )
            self._remember(dict(rows.all()))
        self._ledger.answered["import"] += 1

    async def _delete(self) -> None:
        name = self._random.choice(self._changing())
        gone = self._firm.moving.pop(name)
        given = {"propertyId": _id(gone)}
        await self._ask("deleteProperty", api.DELETE, input=given)
        self._ledger.deleted[gone] = time.monotonic()

    async def _upsert(self, names: list[str]) -> None:
        rows = {name: self._house() for name in names}
        given = {"properties": [_row(name, row) for name, row in rows.items()]}
        data = await self._ask("upsertProperties", api.UPSERT, input=given)
        written = data["upsertProperties"]["properties"]
        self._remember({one["externalId"]: _property(one["id"]) for one in written})
        data = await self._ask("property", api.PROPERTY, property=written[0]["id"])
        price = rows[written[0]["externalId"]]["listing_price"]
        if data["property"]["listingPrice"] != price:
            self._ledger.wrong.append(f"a price of {price} was acknowledged and is not there")

    def _changing(self) -> list[str]:
        """What nobody else changes meanwhile."""
        return sorted(name for name in self._firm.moving if not name.startswith(_FILE))

    def _remember(self, written: dict[str, UUID]) -> None:
        self._firm.moving.update(written)
        self._firm.ever.update(written.values())

    def _house(self) -> dict[str, Any]:
        return house(self._random.randrange(1000), self._numpy)

    async def _page(self, investor: UUID, after: str | None) -> Any:
        """A page of a list; None where it could not go on."""
        try:
            data = await self._ask(
                "recommendations", api.RECOMMENDATIONS, user=_user(investor), after=after
            )
        except UnansweredError as error:
            if error.code != "CURSOR_EXPIRED" or after is None:
                raise
            self._ledger.expired += 1
            return None
        return data["recommendations"]

    async def _ask(self, question: str, document: str, **variables: Any) -> Any:
        asked_at = time.monotonic()
        data = await self._firm.admin.ask(document, variables)
        self._ledger.answered[question] += 1
        shown = data.get(question)
        if isinstance(shown, dict) and "edges" in shown:
            nodes = [edge["node"] for edge in shown["edges"]]
            ids = [_property(node.get("property", node)["id"]) for node in nodes]
            self._ledger.show(self._firm.tenant_id, ids, asked_at)
        return data


@asynccontextmanager
async def at_work(
    world: World, ledger: Ledger, seed: int, folder: Path, pause: float
) -> AsyncIterator[None]:
    """Have the people of both firms ask, judge and write while the block runs.

    Args:
        world: where.
        ledger: what is kept of it.
        seed: of what they do.
        folder: for files to import.
        pause: seconds that each waits between two things.
    """
    firm = Clients(world, world.firm, ledger, seed)
    witness = Clients(world, world.witness, ledger, seed + 1)
    loops: list[tuple[str, Callable[[], Awaitable[None]], float]] = [
        ("recommendations", firm.watch, pause),
        ("recommendations", firm.watch, pause),
        ("similarProperties", firm.compare, pause),
        ("affinity", firm.weigh, pause),
        ("feedback", firm.judge, pause),
        ("write", firm.write, pause),
        ("import", lambda: firm.load(folder), 20 * pause),
        ("recommendations", witness.watch, pause),
        ("similarProperties", witness.compare, pause),
        ("feedback", witness.judge, 4 * pause),
        ("write", witness.write, 4 * pause),
    ]
    tasks = [asyncio.create_task(_keep(*one, ledger)) for one in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for one in ended:
            if isinstance(one, Exception):
                raise one


async def _keep(
    name: str, action: Callable[[], Awaitable[None]], pause: float, ledger: Ledger
) -> None:
    while True:
        try:
            await action()
        except Exception as error:
            ledger.fail(name, repr(error)[:200])
        await asyncio.sleep(pause)


def _id(property_id: UUID) -> str:
    return global_id("Property", property_id)


def _user(user_id: UUID) -> str:
    return global_id("User", user_id)


def _row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row as the API calls its fields."""
    names = {key: key.split("_")[0] + "".join(p.title() for p in key.split("_")[1:]) for key in row}
    return {"externalId": name} | {names[key]: value for key, value in row.items()}
