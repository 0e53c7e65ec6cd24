"""How soon a change is found: ``python -m bench.freshness [--properties N] [--changes N]``.

A tenant of made-up properties with an active version and the one before it, and a real indexing
worker beside, on services of their own in a temporary folder. Properties are changed, created and
deleted and thumbs given over the domain, one after the other; after each commit the index is asked
every few milliseconds until it shows. Then once more while the worker writes all of it anew.
"""

import argparse
import asyncio
import os
import platform
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import numpy as np
from rich.console import Console
from rich.table import Table

import runtime
from bench.generate_properties import write
from bench.reindex import batches, trained
from bench.server import silent
from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.interactions import interactions
from domain.jobs import job_runs
from domain.members.members import MEMBER_LIMIT, MemberInput
from domain.members.members import upsert as upsert_members
from domain.model_registry import model_versions
from domain.properties import snapshots, table
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from domain.tenants import tenants
from jobs.reindexing.indexer import Indexer
from ml.index.space import Space
from settings import Settings
from tests.conformance.servers import ROOT

_ASKED_EACH = 0.005
_GIVEN_UP = 300.0
"""A worker on a busy machine takes a while to start."""

_MEMBERS = 500
"""Each gives one thumb."""

Change = Callable[[], Awaitable[Callable[[], Awaitable[bool]]]]
"""Commits a change; what it returns says whether the index shows it."""


class Firm:
    """The tenant, and the changes that are made to it."""

    def __init__(self, rt: runtime.Runtime, model: ModelKey, members: list[UUID]) -> None:
        self._database = rt.database
        self._tenant_id = model.tenant_id
        self._space: Space = rt.index.space(model)
        self._members = members
        self._listed: list[UUID] = []
        self._drawn = random.Random(0)

    async def prepare(self) -> None:
        """Read what there is to change."""
        async with self._database.work(self._tenant_id) as work:
            self._listed = sorted(await snapshots.ids(work))
        self._drawn.shuffle(self._listed)

    async def change(self) -> Callable[[], Awaitable[bool]]:
        """Give a property another price."""
        return await self._upsert(self._listed[self._drawn.randrange(len(self._listed))])

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
            (written,) = await upsert(work, [item])
        exactly = Range(min=price, max=price)
        where = PropertyFilter(ids=(written.property_id,), price=exactly)
        return lambda: self._shows(where, wanted=True)

    async def _shows(self, where: PropertyFilter, *, wanted: bool) -> bool:
        hits = await self._space.query(np.eye(1, 16, dtype=np.float32)[0], where, (), 1)
        return bool(hits) is wanted


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


async def prepare(rt: runtime.Runtime, folder: Path, count: int) -> Firm:
    """A tenant with two versions in the index."""
    tenant_id = uuid4()
    path = folder / "properties.csv"
    write(path, count)
    async with rt.database.work(tenant_id) as work:
        await tenants.create(work, "bench-freshness")
        await import_properties(work, FileSource(path))
        members: list[UUID] = []
        for start in range(0, _MEMBERS, MEMBER_LIMIT):
            numbers = range(start, start + MEMBER_LIMIT)
            people = [MemberInput(external_id=f"member-{n}") for n in numbers]
            members += [one.user.id for one in await upsert_members(work, people)]
        work.jobs.clear()
    stored = trained((await batches(rt.database, tenant_id))[0])
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    for _ in range(2):
        async with rt.database.work(tenant_id) as work:
            version = await model_versions.add(work, stored.weights, stored.metadata, {})
            await model_versions.judge(work, version.id, [], None)
        await indexer.activate(tenant_id, version.id, silent)
    firm = Firm(rt, ModelKey(tenant_id, version.id), members)
    await firm.prepare()
    return firm


async def bench(folder: Path, count: int, changes: int) -> None:
    """Measure everything in a folder of its own."""
    settings = Settings(_env_file=None, data_dir=folder / "data")
    found = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, found)
    console = Console()
    async with runtime.connect(settings, found) as rt:
        firm = await prepare(rt, folder, count)
        kinds = {
            "property changed": firm.change,
            "property created": firm.create,
            "property deleted": firm.delete,
            "thumb up by a new investor": firm.thumb,
        }
        async with worker(folder / "data", folder / "worker.log"):
            # The first change finds the worker starting.
            await measure(firm.change, 1)
            await _print(
                console, f"{count:,} properties, two versions in the index", kinds, changes
            )
            async with reindexing(rt, firm._tenant_id):
                title = "the same while everything is written anew"
                await _print(console, title, kinds, changes)


async def _print(console: Console, title: str, kinds: Mapping[str, Change], changes: int) -> None:
    table = Table(title=f"Commit to searchable, milliseconds; {title}")
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
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    with TemporaryDirectory(prefix="twin-bench-") as folder:
        asyncio.run(bench(Path(folder), arguments.properties, arguments.changes))


if __name__ == "__main__":
    main()
