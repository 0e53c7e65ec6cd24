"""How fast a tenant's index is written: ``python -m bench.reindex [--properties N] [--rounds N]``.

A tenant of made-up properties and a twin of one short training, on services of its own in a
temporary folder. Each stage alone, over all properties, then all of them as the reindex job runs
them; medians of the rounds. Beside the rate are the CPU seconds of each process, which say what a
stage costs however busy the machine is with something else.
"""

import argparse
import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import UUID, uuid4

import psutil
from rich.console import Console
from rich.table import Table

import runtime
from bench.generate_properties import write
from bench.processes import cpu, service
from bench.server import silent
from bench.twin import invent
from domain.contract.snapshots import ModelKey, PropertyColumns, StoredModel
from domain.core.database import Database
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.model_registry import model_versions
from domain.properties import snapshots
from domain.tenants import tenants
from jobs.reindexing.indexer import Indexer
from jobs.reindexing.writer import PROPERTY_BATCH
from ml.index.filters import payloads
from ml.index.index_rows import pack
from ml.serving.inference import TwinService
from ml.training.config import TrainingConfig
from ml.training.training import fit
from ml.twin.artifacts import pack as stored
from settings import Settings

_TRAINED_ON = 5000
_MIB = 1 << 20


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

    async def run(self, stage: Callable[[], Awaitable[None]]) -> Round:
        """Run a stage once."""
        before, start = self._processes.usage(), time.perf_counter()
        await stage()
        seconds = time.perf_counter() - start
        return Round(seconds, self._processes.usage().since(before))


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


async def bench(folder: Path, count: int, rounds: int) -> None:
    """Measure everything in a folder of its own."""
    settings = Settings(_env_file=None, data_dir=folder / "data")
    found = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, found)
    path = folder / "properties.csv"
    write(path, count)
    tenant_id = uuid4()
    console = Console()
    async with runtime.connect(settings, found) as rt:
        async with rt.database.work(tenant_id) as work:
            await tenants.create(work, "bench-reindex")
        async with rt.database.work(tenant_id) as work:
            await import_properties(work, FileSource(path))
            work.jobs.clear()
        model = trained((await batches(rt.database, tenant_id))[0])

        async def load(_key: ModelKey) -> StoredModel:
            return model

        twin = TwinService(rt.index, load, device=settings.device)
        await rt.index.ensure_collections()
        processes = Processes(folder / "data")
        measured = Bench(rt, tenant_id, twin, processes)
        await measured.begin()
        table = Table(title=f"{count:,} properties, medians of {rounds} rounds")
        table.add_column("stage")
        for heading in ("properties/s", "seconds", "CPU: job", "Qdrant", "PostgreSQL"):
            table.add_column(heading, justify="right")
        for name, stage in (
            ("read", measured.read),
            ("encode", measured.encode),
            ("encode, payload", measured.payload),
            ("encode, payload, upsert", measured.write),
            ("reindex, points replaced", measured.reindex),
            ("reindex, new space", measured.anew),
        ):
            took = [await measured.run(stage) for _ in range(rounds)]
            seconds = median(one.seconds for one in took)
            used = [f"{median(each):.2f}" for each in zip(*(o.cpu for o in took), strict=True)]
            table.add_row(name, f"{count / seconds:,.0f}", f"{seconds:.2f}", *used)
            # A stage may take minutes.
            console.print(f"{name}: {seconds:.2f} s, CPU {', '.join(used)}", style="dim")
        console.print(table)
        console.print(
            f"Memory: this process {psutil.Process().memory_info().rss / _MIB:,.0f} MiB, "
            f"Qdrant {processes.qdrant.memory_info().rss / _MIB:,.0f} MiB."
        )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    with TemporaryDirectory(prefix="twin-bench-") as folder:
        asyncio.run(bench(Path(folder), arguments.properties, arguments.rounds))


if __name__ == "__main__":
    main()
