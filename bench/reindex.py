"""How fast a tenant's index is written, and how well it is searched.

    python -m bench.reindex [--properties N] [--investors N] [--rounds N] [--beside CHECKOUT_OR_REV]

A tenant of made-up properties and investors and a twin of one short training, on services of its
own in a temporary folder. First the bars, in an empty index: the reindex job from end to end; the
seconds after it until the index is optimised; the ten nearest properties of ``SEARCHES`` others,
without and with filters, compared with a search of all by NumPy; investors. Then each stage alone,
over all properties; medians of the rounds, none with ``--rounds 0``.

Beside each rate are the CPU seconds of each process, which say what a stage costs however busy the
machine is with something else. ``--beside`` runs the same on the modules of another checkout, so
this file uses only what older ones have, too.
"""

import argparse
import asyncio
import csv
import os
import platform
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import UUID, uuid4

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import runtime
from bench.checkouts import add_beside, checkouts
from bench.generate_properties import write
from bench.processes import cpu, service, settled
from bench.server import silent
from bench.twin import invent
from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import ModelKey, PropertyColumns, StoredModel
from domain.contract.vocabulary import InteractionKind, PropertyType
from domain.core.database import Database
from domain.imports.interactions import import_interactions
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.interactions import interactions
from domain.model_registry import model_versions
from domain.properties import snapshots
from domain.tenants import tenants
from jobs.reindexing.indexer import Indexer
from jobs.reindexing.passes import TURN
from jobs.reindexing.writer import PROPERTY_BATCH, USER_BATCH, Counts
from jobs.reindexing.writer import batches as in_batches
from ml.index.filters import payloads
from ml.index.index_rows import pack
from ml.serving.inference import TwinService
from ml.training.config import TrainingConfig
from ml.training.training import fit
from ml.twin.artifacts import pack as stored
from settings import Settings

SEARCHES = 200
NEAREST = 10
_TRAINED_ON = 5000
_ACTS = 10
_FIRST_ACT = datetime(2024, 1, 1, tzinfo=UTC)
_KINDS = (InteractionKind.VIEW, InteractionKind.SAVE, InteractionKind.THUMBS_UP)
_TIE = 1e-6
_IDLE = 2.0  # seconds that ``settled`` waits to see that nothing is at work
_MIB = 1 << 20
_TYPES = (PropertyType.SINGLE_FAMILY, PropertyType.TOWNHOUSE)
_CITIES = ("Seattle", "Renton")
_LOW, _MIDDLE, _HIGH = 300_000.0, 450_000.0, 600_000.0
_ZIPCODE = "98103"
FILTERS = {
    "all": PropertyFilter(),
    "three filters": PropertyFilter(
        price=Range(_LOW, _HIGH), property_types=_TYPES, cities=_CITIES
    ),
    "a range of prices": PropertyFilter(price=Range(_LOW, _MIDDLE)),
    "one ZIP code": PropertyFilter(zipcodes=(_ZIPCODE,)),
}


class Usage(NamedTuple):
    """CPU seconds so far, by process."""

    job: float
    qdrant: float
    postgres: float

    def since(self, before: "Usage") -> "Usage":
        """What came on top of ``before``."""
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


class Round(NamedTuple):
    """One run of a stage: seconds, and CPU seconds by process."""

    seconds: float
    cpu: Usage


class Processes:
    """The processes that a reindex keeps busy."""

    def __init__(self, data_dir: Path) -> None:
        self._job = psutil.Process()
        self.qdrant = service(data_dir, "qdrant")
        self._postgres = service(data_dir, "postgres")

    def usage(self) -> Usage:
        """What they have used so far; Qdrant's includes its optimisation, a process of its own."""
        job = self._job.cpu_times()
        return Usage(job.user + job.system, cpu(self.qdrant), cpu(self._postgres))


class Bench:
    """The stages over one tenant's properties."""

    def __init__(
        self, rt: runtime.Runtime, tenant_id: UUID, twin: TwinService, processes: Processes
    ) -> None:
        self._database = rt.database
        self._index = rt.index
        self._twin = twin
        self._tenant_id = tenant_id
        self._model = ModelKey(tenant_id, uuid4())
        self._processes = processes
        self._batches: list[PropertyColumns] = []

    async def read(self) -> None:
        """Rows to columns."""
        self._batches = await batches(self._database, self._tenant_id)

    async def encode(self) -> None:
        """Columns to features, embeddings and what else the second stage reads."""
        for batch in self._batches:
            await self._twin.items(self._model, batch)

    async def payload(self) -> None:
        """What a point carries, packed row included; encoding is counted, too."""
        for batch in self._batches:
            items = await self._twin.items(self._model, batch)
            payloads(batch)
            pack(batch.ids, items)

    async def write(self) -> None:
        """All but the reading."""
        for batch in self._batches:
            items = await self._twin.items(self._model, batch)
            await self._index.space(self._model).upsert_properties(batch, items)

    async def begin(self) -> None:
        """Have an empty space be filled, and no other."""
        async with self._database.work(self._tenant_id) as work:
            for one in await model_versions.indexed(work):
                await model_versions.forget_space(work, one)
            version = await model_versions.add(work, b"", {}, {})
            await model_versions.begin_filling(work, version.id)
        self._model = ModelKey(self._tenant_id, version.id)

    async def reindex(self) -> None:
        """What the job does, from reading to the last vector's acknowledgement."""
        indexer = Indexer(self._database, self._index, self._twin)
        counts = await indexer.write_everything(
            self._tenant_id, silent, only=self._model.version_id
        )
        assert counts.properties == sum(map(len, self._batches))

    async def anew(self) -> None:
        """The same into an empty space."""
        await self.begin()
        await self.reindex()

    async def investors(self) -> None:
        """What the job does for all investors."""
        indexer = Indexer(self._database, self._index, self._twin)
        async with self._database.work(self._tenant_id) as work:
            ids = await interactions.active_investors(work)
        for some in in_batches(ids, TURN * USER_BATCH):
            async with indexer.index_lock(self._tenant_id) as lock:
                await indexer.write_users(lock, some, [self._model], Counts())

    async def recall(self) -> dict[str, tuple[float, float, float]]:
        """By filter: the share of properties that match, of the nearest found, and milliseconds."""
        embeddings = np.concatenate(
            [(await self._twin.items(self._model, one)).embedding.numpy() for one in self._batches]
        )
        ids = [one for batch in self._batches for one in batch.ids]
        place = {one: row for row, one in enumerate(ids)}
        chosen = np.random.default_rng(2).choice(len(ids), SEARCHES, replace=False)
        space = self._index.space(self._model)
        found = {}
        for name, where in FILTERS.items():
            matching = np.concatenate([_matching(name, batch) for batch in self._batches])
            took, shares = [], []
            for vector in embeddings[chosen]:
                start = time.perf_counter()
                hits = await space.query(vector, where, (), NEAREST)
                took.append(1000 * (time.perf_counter() - start))
                cosines = embeddings @ vector
                nearest = np.sort(cosines[matching])[-NEAREST:]
                listed = cosines[[place[hit.property_id] for hit in hits]]
                # Ties count alike, whichever of them is found.
                shares.append((listed >= nearest[0] - _TIE).sum() / len(nearest))
            found[name] = float(matching.mean()), float(np.mean(shares)), median(took)
        return found

    async def run(self, stage: Callable[[], Awaitable[None]]) -> Round:
        """Run a stage once."""
        before, start = self._processes.usage(), time.perf_counter()
        await stage()
        seconds = time.perf_counter() - start
        return Round(seconds, self._processes.usage().since(before))


def _matching(name: str, batch: PropertyColumns) -> NDArray[np.bool_]:
    """Which properties of a batch match one of ``FILTERS``."""
    if name == "all":
        return np.ones(len(batch), dtype=np.bool_)
    if name == "one ZIP code":
        return np.array([one == _ZIPCODE for one in batch.zipcode])
    price = batch.column("listing_price")
    if name == "a range of prices":
        return (price >= _LOW) & (price <= _MIDDLE)
    kinds = [list(PropertyType).index(one) for one in _TYPES]
    is_near = np.array([one in _CITIES for one in batch.city])
    is_wanted = np.isin(batch.property_type, kinds) & is_near
    mask: NDArray[np.bool_] = (price >= _LOW) & (price <= _HIGH) & is_wanted
    return mask


def acts(path: Path, investors: int, properties: int) -> None:
    """Write a file of what so many investors did."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("property", "user", "kind", "occurred_at"))
        for number in range(investors * _ACTS):
            # A prime step, so that an investor's acts are spread over the properties.
            house, user = number * 7919 % properties, number % investors
            when = _FIRST_ACT + timedelta(minutes=number)
            kind = _KINDS[number // investors % len(_KINDS)]
            name = f"bench-{house:09d}"
            lines.writerow((name, f"user-{user}@example.com", kind.value, when.isoformat()))


async def batches(database: Database, tenant_id: UUID) -> list[PropertyColumns]:
    """All properties of the tenant, as the reindex reads them: a transaction for each batch."""
    found: list[PropertyColumns] = []
    after: UUID | None = None
    while True:
        async with database.work(tenant_id) as work:
            batch = await snapshots.snapshot_after(work, after, PROPERTY_BATCH)
        if not len(batch):
            return found
        found.append(batch)
        after = batch.ids[-1]


def trained(columns: PropertyColumns) -> StoredModel:
    """A twin of one epoch for those properties."""
    some = replace(columns.take(range(min(_TRAINED_ON, len(columns)))), labels=())
    _, log = invent(len(some), 10_000)
    config = TrainingConfig(device="cpu", epochs=1, rerank_epochs=1, test_share=0.0)
    return stored(fit(some, log, config, lambda _: None).artifact, {})


async def bench(data_dir: Path, folder: Path, count: int, investors: int, rounds: int) -> None:
    """Measure everything on the services of a data folder, with files in another."""
    settings = Settings(_env_file=None, data_dir=data_dir)
    found = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, found)
    properties, done = folder / "properties.csv", folder / "acts.csv"
    write(properties, count)
    acts(done, investors, count)
    tenant_id = uuid4()
    async with runtime.connect(settings, found) as rt:
        async with rt.database.work(tenant_id) as work:
            await tenants.create(work, "bench-reindex")
        async with rt.database.work(tenant_id) as work:
            await import_properties(work, FileSource(properties))
            work.jobs.clear()
        model = trained((await batches(rt.database, tenant_id))[0])

        async def load(_key: ModelKey) -> StoredModel:
            return model

        twin = TwinService(rt.index, load, device=settings.device)
        await rt.index.ensure_collections()
        processes = Processes(data_dir)
        measured = Bench(rt, tenant_id, twin, processes)
        console = Console(width=110)
        table = _table("bars, in an empty index")

        await measured.read()
        _add(table, "reindex, properties", count, [await measured.run(measured.anew)])
        optimizing = await measured.run(partial(settled, data_dir))
        seconds = max(0.0, optimizing.seconds - _IDLE)
        _add(table, "optimised after it", None, [optimizing._replace(seconds=seconds)])
        memory = processes.qdrant.memory_full_info().uss / _MIB
        nearest = await measured.recall()
        async with rt.database.work(tenant_id) as work:
            await import_interactions(work, FileSource(done), create_users=True)
            work.jobs.clear()
        _add(table, "reindex, investors", investors, [await measured.run(measured.investors)])
        console.print(table)
        console.print(
            *(
                f"recall@{NEAREST}, {name} ({share:.1%} match): {recall:.4f}, {took:.1f} ms"
                for name, (share, recall, took) in nearest.items()
            ),
            f"Qdrant once optimised: {memory:,.0f} MiB",
            sep="\n",
        )
        if rounds:
            console.print(await _stages(measured, count, rounds))


async def _stages(measured: Bench, count: int, rounds: int) -> Table:
    table = _table(f"{count:,} properties, medians of {rounds} rounds")
    for name, stage in (
        ("read", measured.read),
        ("encode", measured.encode),
        ("encode, payload", measured.payload),
        ("encode, payload, upsert", measured.write),
        ("reindex, points replaced", measured.reindex),
        ("reindex, new space", measured.anew),
    ):
        _add(table, name, count, [await measured.run(stage) for _ in range(rounds)])
    return table


def _table(title: str) -> Table:
    table = Table(title=title)
    table.add_column("stage")
    for heading in ("a second", "seconds", "CPU: job", "Qdrant", "PostgreSQL"):
        table.add_column(heading, justify="right")
    return table


def _add(table: Table, name: str, count: int | None, took: Sequence[Round]) -> None:
    """Add a row: medians of the rounds."""
    seconds = median(one.seconds for one in took)
    used = [f"{median(each):.2f}" for each in zip(*(one.cpu for one in took), strict=True)]
    table.add_row(name, f"{count / seconds:,.0f}" if count else "-", f"{seconds:.2f}", *used)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, default=100_000)
    parser.add_argument("--investors", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="the services' data folder, for --beside")
    add_beside(parser)
    asked = parser.parse_args()
    numbers = [f"--{name}={getattr(asked, name)}" for name in ("properties", "investors", "rounds")]
    if asked.data is None:
        print(f"{os.cpu_count()} cores, Python {platform.python_version()}", flush=True)
        with checkouts(asked) as sources:
            for checkout, name in zip(sources, ("this checkout", asked.beside), strict=False):
                options = [*numbers, f"--data={checkout.data_dir}"]
                output = checkout.script(Path(__file__).resolve(), *options).output.decode()
                print(f"\n{name}\n{output}", flush=True)
        return
    with TemporaryDirectory(prefix="twin-bench-") as folder:
        making = bench(asked.data, Path(folder), asked.properties, asked.investors, asked.rounds)
        asyncio.run(making)


if __name__ == "__main__":
    main()
