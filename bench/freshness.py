"""How soon a change is found: ``python -m bench.freshness [--properties N] [--changes N]``.

A tenant of made-up properties with an active version and the one before it, and a real indexing
worker beside, on services of their own in a temporary folder. Properties are changed, created and
deleted and thumbs given over the domain, one after the other; after each commit the index is asked
every few milliseconds until it shows. Then once more while the worker writes all of it anew.

Then from the commit to the answer: two server processes are asked for recommendations and similar
properties over HTTP, with a filter that only the changed property meets, or that it no longer
meets, until all four answers show the change; the time includes those of the last answers. At last
the embedded Qdrant is killed again and again while clients ask both servers for recommendations
without a pause, and what failed is counted. An answer that no model ranked counts as failed.
"""

import argparse
import asyncio
import os
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

import runtime
from bench.filling import files, firm, train
from bench.processes import service
from bench.server import Server, message, quantile, server, silent
from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.interactions import interactions
from domain.jobs import job_runs
from domain.members.members import MEMBER_LIMIT, MemberInput
from domain.members.members import upsert as upsert_members
from domain.model_registry import model_versions
from domain.properties import rows as property_rows
from domain.properties import snapshots, table
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from domain.recommendations.discovery import for_sale
from domain.tenants import tenants
from graph.core.nodes import global_id
from jobs.reindexing.indexer import Indexer
from ml.index.space import Space
from settings import Settings
from tests.conformance.servers import ROOT

_ASKED_EACH = 0.005
_GIVEN_UP = 300.0
"""A worker on a busy machine takes a while to start."""

_MEMBERS = 500
"""Each gives one thumb."""

_SLUG = "bench-freshness"
_TRAINED_ON = 1000
_CLIENTS = 4
_KILLED_EVERY = 5.0

COLD = "engagement"
"""What an answer names as its model version if no model ranked it."""

ANSWERS = {
    "recommendations": (
        "query ($filter: PropertyFilter) "
        "{ recommendations(first: 20, filter: $filter, history: ANY) "
        "{ edges { node { modelVersion score property { id } } } } }"
    ),
    "similarProperties": (
        "query ($like: ID!, $filter: PropertyFilter) "
        "{ similarProperties(propertyId: $like, first: 20, filter: $filter) "
        "{ modelVersion edges { node { id } } } }"
    ),
}

Change = Callable[[], Awaitable[Callable[[], Awaitable[bool]]]]
"""Commits a change; what it returns says whether the index shows it."""


Found = Callable[[PropertyFilter], Awaitable[Sequence[bool]]]
"""Whether any property is found that matches, by each that was asked."""


class Index:
    """The embedding index, asked directly."""

    def __init__(self, space: Space) -> None:
        self._space = space

    async def found(self, where: PropertyFilter) -> Sequence[bool]:
        """Whether the index finds any property that matches."""
        return [bool(await self._space.query(np.eye(1, 16, dtype=np.float32)[0], where, (), 1))]


class Answers:
    """Server processes, asked over HTTP by an investor with a history.

    Args:
        servers: the processes.
        token: the investor's.
        like: global id of the property that similar ones are asked of.
    """

    def __init__(self, servers: Sequence[Server], token: str, like: str) -> None:
        self._servers = servers
        self._token = token
        self._like = like

    async def found(self, where: PropertyFilter) -> Sequence[bool]:
        """Whether each server's lists show any property that matches.

        Raises:
            RuntimeError: an answer has errors, or no model ranked it.
        """
        filters: dict[str, Any] = {}
        if where.ids:
            filters["ids"] = [global_id("Property", one) for one in where.ids]
        if where.price is not None:
            filters["price"] = {"min": where.price.min, "max": where.price.max}
        variables = {"filter": filters, "like": self._like}
        return await asyncio.gather(
            *(self._shows(one, name, variables) for one in self._servers for name in ANSWERS)
        )

    async def _shows(self, one: Server, name: str, variables: dict[str, Any]) -> bool:
        answer = (await one.ask(message(self._token, ANSWERS[name], variables)))[name]
        edges = answer["edges"]
        ranked_by = [answer.get("modelVersion", "")] + [
            edge["node"].get("modelVersion", "") for edge in edges
        ]
        if None in ranked_by or COLD in ranked_by:
            raise RuntimeError(f"{name}: no model ranked the answer")
        return bool(edges)


class Firm:
    """The tenant, and the changes that are made to it."""

    def __init__(
        self,
        database: Database,
        tenant_id: UUID,
        space: Space,
        members: list[UUID],
        found: Found,
        seed: int,
    ) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._space = space
        self._members = members
        self._found = found
        self._listed: list[UUID] = []
        self._drawn = random.Random(seed)

    async def prepare(self) -> None:
        """Read what there is to change: what lists show, but the first, whose like is asked for."""
        async with self._database.work(self._tenant_id) as work:
            ids = await snapshots.ids(work)
            shown = await property_rows.get_many(work, ids, for_sale(PropertyFilter()))
        self._listed = sorted(shown)[1:]
        self._drawn.shuffle(self._listed)

    async def change(self) -> Callable[[], Awaitable[bool]]:
        """Give a property another price."""
        return await self._upsert(self._listed[self._drawn.randrange(len(self._listed))])

    async def leave(self) -> Callable[[], Awaitable[bool]]:
        """Give a property another price, so that it no longer matches its last one."""
        property_id = self._listed[self._drawn.randrange(len(self._listed))]
        async with self._database.work(self._tenant_id) as work:
            price = (await table.get(work, property_id)).listing_price
        assert price is not None
        await self._upsert(property_id)
        where = PropertyFilter(ids=(property_id,), price=Range(min=price, max=price))
        return lambda: self._shows(where, wanted=False)

    async def create(self) -> Callable[[], Awaitable[bool]]:
        """Add a property."""
        return await self._upsert(None)

    async def delete(self) -> Callable[[], Awaitable[bool]]:
        """Delete a property."""
        property_id = self._listed.pop()
        async with self._database.work(self._tenant_id) as work:
            await table.remove(work, property_id)
        return lambda: self._shows(PropertyFilter(ids=(property_id,)), wanted=False)

    async def thumb(self) -> Callable[[], Awaitable[bool]]:
        """Have somebody new like a property."""
        user_id = self._members.pop()
        async with self._database.work(self._tenant_id) as work:
            await interactions.submit_feedback(
                work, user_id, self._listed[0], InteractionKind.THUMBS_UP, None
            )

        async def shows() -> bool:
            return bool(await self._space.interests([user_id]))

        return shows

    async def _upsert(self, property_id: UUID | None) -> Callable[[], Awaitable[bool]]:
        price = round(self._drawn.uniform(1e5, 9e5), 2)
        async with self._database.work(self._tenant_id) as work:
            if property_id is None:
                external_id = f"new-{uuid4()}"
            else:
                external_id = (await table.get(work, property_id)).external_id
            item = PropertyInput(external_id=external_id, listing_price=price)
            await upsert(work, [item])
        exactly = Range(min=price, max=price)
        where = PropertyFilter(price=exactly)
        return lambda: self._shows(where, wanted=True)

    async def _shows(self, where: PropertyFilter, *, wanted: bool) -> bool:
        return all(one is wanted for one in await self._found(where))


async def measure(change: Change, count: int) -> list[float]:
    """Seconds from each commit until the index shows it."""
    taken = []
    for _ in range(count):
        # So that it meets the worker at any moment of its own rhythm.
        await asyncio.sleep(random.uniform(0.0, 0.3))
        shows = await change()
        start = time.perf_counter()
        async with asyncio.timeout(_GIVEN_UP):
            while not await shows():  # noqa: ASYNC110  (the index tells nobody)
                await asyncio.sleep(_ASKED_EACH)
        taken.append(time.perf_counter() - start)
    return taken


@asynccontextmanager
async def worker(data_dir: Path, log: Path) -> AsyncIterator[None]:
    """A worker of the indexing queue, a process of its own."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli",
            "worker",
            "--queue=indexing",
            cwd=ROOT,
            env=os.environ | {"DATA_DIR": str(data_dir)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    except TimeoutError as error:
        said = await asyncio.to_thread(log.read_text)
        raise RuntimeError(f"the index does not follow; the worker said {said[-2000:]}") from error
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def reindexing(rt: runtime.Runtime, tenant_id: UUID) -> AsyncIterator[None]:
    """Have the worker write everything anew, again and again."""

    async def ask() -> None:
        while True:
            async with rt.database.work(tenant_id) as work:
                await job_runs.request(work, job_runs.REINDEX, {"full": True})
            await asyncio.sleep(0.5)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait([asking])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A tenant with two versions in the index.

    Attributes:
        model: the active version.
        members: users who did nothing yet.
        token: an investor's with a history.
        like: global id of its first property.
    """

    model: ModelKey
    members: list[UUID]
    token: str
    like: str


async def prepare(rt: runtime.Runtime, folder: Path, count: int) -> Prepared:
    """Make the tenant."""
    model = await train(rt, files(folder, _TRAINED_ON)[0])
    told = await firm(rt, _SLUG, *files(folder, count), model)
    async with rt.database.work(None) as work:
        tenant_id = (await tenants.by_slug(work, _SLUG)).id
    async with rt.database.work(tenant_id) as work:
        members: list[UUID] = []
        for start in range(0, _MEMBERS, MEMBER_LIMIT):
            numbers = range(start, start + MEMBER_LIMIT)
            people = [MemberInput(external_id=f"member-{n}") for n in numbers]
            members += [one.user.id for one in await upsert_members(work, people)]
        version = await model_versions.add(work, model.weights, model.metadata, {})
        await model_versions.judge(work, version.id, [], None)
        work.jobs.clear()
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    await indexer.activate(tenant_id, version.id, silent)
    like = next(iter(told["nearest"]))
    return Prepared(ModelKey(tenant_id, version.id), members, told["tokens"][0], like)


async def bench(folder: Path, count: int, changes: int, seconds: float) -> None:
    """Measure everything in a folder of its own."""
    data_dir = folder / "data"
    settings = Settings(_env_file=None, data_dir=data_dir)
    services = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, services)
    console = Console()
    async with runtime.connect(settings, services) as rt:
        made = await prepare(rt, folder, count)
        tenant_id, space = made.model.tenant_id, rt.index.space(made.model)
        indexed = Firm(rt.database, tenant_id, space, made.members, Index(space).found, 0)
        await indexed.prepare()
        kinds = {
            "property changed": indexed.change,
            "property created": indexed.create,
            "property deleted": indexed.delete,
            "thumb up by a new investor": indexed.thumb,
        }
        async with worker(data_dir, folder / "worker.log"):
            # The first change finds the worker starting.
            await measure(indexed.change, 1)
            title = "Commit to searchable, milliseconds"
            of = f"{count:,} properties, two versions in the index"
            await _print(console, f"{title}; {of}", kinds, changes)
            async with reindexing(rt, tenant_id):
                of = "the same while everything is written anew"
                await _print(console, f"{title}; {of}", kinds, changes)
            with server(data_dir) as one, server(data_dir) as other:
                both = (one, other)
                answers = Answers(both, made.token, made.like)
                # Another seed, so that no price comes again.
                answered = Firm(rt.database, tenant_id, space, [], answers.found, 1)
                await answered.prepare()
                kinds = {
                    "property changed, now matching": answered.change,
                    "property changed, no longer matching": answered.leave,
                    "property created": answered.create,
                    "property deleted": answered.delete,
                }
                await measure(answered.change, 1)
                title = "Commit to answer, milliseconds; two server processes"
                await _print(console, title, kinds, changes)
                found = await killing(both, data_dir, made.token, seconds)
                console.print(outcome(found))


@dataclass(slots=True)
class Killing:
    """What clients saw while Qdrant was killed.

    Attributes:
        kills: how often it was.
        times: seconds of each request.
        failed: of those that failed, why, and how many.
    """

    kills: int = 0
    times: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)


async def killing(servers: Sequence[Server], data_dir: Path, token: str, seconds: float) -> Killing:
    """Kill Qdrant every few seconds, for so long, while clients ask without a pause."""
    found = Killing()
    request = message(token, ANSWERS["recommendations"], {"filter": None})
    until = time.perf_counter() + seconds

    async def client(one: Server) -> None:
        while (start := time.perf_counter()) < until:
            try:
                edges = (await one.ask(request))["recommendations"]["edges"]
            except (RuntimeError, OSError, EOFError) as error:
                found.failed[str(error)[:200]] += 1
            else:
                if not edges or edges[0]["node"]["modelVersion"] == COLD:
                    found.failed["no model ranked the answer"] += 1
            found.times.append(time.perf_counter() - start)

    async def killer() -> None:
        while time.perf_counter() + _KILLED_EVERY < until:
            await asyncio.sleep(_KILLED_EVERY)
            with suppress(RuntimeError, psutil.NoSuchProcess):
                service(data_dir, "qdrant").kill()
                found.kills += 1

    await asyncio.gather(killer(), *(client(servers[n % len(servers)]) for n in range(_CLIENTS)))
    return found


def outcome(found: Killing) -> Table:
    """What is printed of it."""
    table = Table("figure", "value", title="Recommendations while Qdrant is killed")
    table.add_row("kills", str(found.kills))
    table.add_row("requests", f"{len(found.times):,}")
    table.add_row("failed", f"{found.failed.total():,}")
    for share in (0.5, 0.99):
        table.add_row(f"p{100 * share:.0f}", f"{quantile(found.times, share) * 1000:.1f} ms")
    table.add_row("longest", f"{max(found.times) * 1000:.1f} ms")
    for why, count in found.failed.most_common(5):
        table.add_row(f"{count:,} times", why)
    return table


async def _print(console: Console, title: str, kinds: Mapping[str, Change], changes: int) -> None:
    table = Table(title=title)
    table.add_column("change")
    for heading in ("count", "p50", "p90", "p99", "most"):
        table.add_column(heading, justify="right")
    everything: list[float] = []
    for name, change in kinds.items():
        taken = await measure(change, changes)
        everything += taken
        _add(table, name, taken)
    _add(table, "all", everything)
    console.print(table)


def _add(table: Table, name: str, taken: list[float]) -> None:
    quantiles = np.quantile(np.array(taken) * 1000, (0.5, 0.9, 0.99, 1.0))
    table.add_row(name, str(len(taken)), *(f"{one:,.0f}" for one in quantiles))


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, default=20_000)
    parser.add_argument("--changes", type=int, default=100, help="of each kind; at most 240")
    parser.add_argument("--seconds", type=float, default=30.0, help="in which Qdrant is killed")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    with TemporaryDirectory(prefix="twin-bench-") as folder:
        asyncio.run(bench(Path(folder), arguments.properties, arguments.changes, arguments.seconds))


if __name__ == "__main__":
    main()
