"""Fill the services of a folder with what a server is to be asked about, and print it as JSON.

    python -P bench/filling.py sample DATA [--quick]
    python -P bench/filling.py firms DATA --firms 1 --properties 200000

Run by ``Checkout.script`` on the modules of whatever checkout is measured: it uses only what older
ones have, too. ``sample`` loads the sample and trains on it. ``firms`` makes tenants of simulated
properties. All of them have the weights of one short training, each in a version of its own that is
active and indexed, and 16 investors with histories. ``--unindexed`` leaves the index of all but the
first empty, which takes most of the time: nothing may be asked then that the index would answer.
The same numbers give the same data. A folder that is filled already is left as it is.
"""

import argparse
import asyncio
import csv
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

import runtime
from bench.generate_properties import write
from bench.reindex import trained
from bench.server import INVESTORS, silent, trained_sample
from cli.first_start import SLUG
from domain.contract.snapshots import ModelKey, StoredModel
from domain.contract.vocabulary import InteractionKind, Role
from domain.core.work import Work
from domain.imports.interactions import import_interactions
from domain.imports.options import STRICT
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.model_registry import model_versions
from domain.properties import snapshots
from domain.properties.table import Property
from domain.tenants import tenants
from domain.users import users
from graph.core.nodes import global_id
from graph.identity import mint
from jobs.reindexing.indexer import Indexer
from jobs.reindexing.writer import PROPERTY_BATCH
from settings import Settings

ANCHORS = 20
NEAREST = 10
_ACTS = 40
_FIRST_ACT = datetime(2024, 1, 1, tzinfo=UTC)
_KINDS = (InteractionKind.VIEW, InteractionKind.SAVE, InteractionKind.THUMBS_UP)
_TIE = 1e-6
_LIFETIME = timedelta(hours=6)


async def sample(data_dir: Path, *, quick: bool) -> dict[str, Any]:
    """Tokens of the sample's investors, and global ids of the same properties in each checkout."""
    settings = Settings(_env_file=None, data_dir=data_dir)
    async with trained_sample(data_dir, quick=quick) as found:
        services = await asyncio.to_thread(runtime.services, settings)
        async with runtime.connect_reader(services) as database:
            async with database.work(None) as work:
                tenant_id = (await tenants.by_slug(work, SLUG)).id
            async with database.work(tenant_id) as work:
                # Ids are drawn anew by each import.
                by_name = select(Property.id).order_by(Property.external_id).limit(ANCHORS)
                ids = list(await work.session.scalars(by_name))
    return {"tokens": found.tokens, "properties": [global_id("Property", one) for one in ids]}


async def firms(
    data_dir: Path, count: int, properties: int, *, indexed: bool = True
) -> list[dict[str, Any]]:
    """Make the tenants after a small one that trains; see ``firm`` for what is told of each."""
    kept = data_dir / f"firms-{count}-{properties}.json"
    if kept.exists():
        found: list[dict[str, Any]] = json.loads(kept.read_text())
        return found
    settings = Settings(_env_file=None, data_dir=data_dir)
    services = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, services)
    with TemporaryDirectory(prefix="twin-bench-") as name:
        folder = Path(name)
        async with runtime.connect(settings, services) as rt:
            made_of = files(folder, 1000)
            model = await train(rt, made_of[0])
            small = await firm(rt, f"small-{count}x{properties}", *made_of, model)
            made_of = files(folder, properties)
            made = [
                await firm(
                    rt, f"firm-{count}x{properties}-{number}", *made_of, model, indexed=indexed
                )
                for number in range(count)
            ]
    kept.write_text(json.dumps([small, *made]))
    return [small, *made]


async def firm(
    rt: runtime.Runtime,
    slug: str,
    properties: Path,
    acts: Path,
    model: StoredModel,
    *,
    indexed: bool = True,
) -> dict[str, Any]:
    """Make one tenant from files of properties and interactions.

    Returns:
        ``tokens`` of its investors; ``count`` of its properties; ``import_seconds`` and
        ``index_seconds``; and ``nearest``: for each of some properties those nearest to it among
        all of them, compared one by one, ties with the tenth included.
    """
    tenant_id = uuid4()
    start = time.perf_counter()
    async with rt.database.work(tenant_id) as work:
        await tenants.create(work, slug)
        report = await import_properties(work, FileSource(properties), STRICT)
        await import_interactions(
            work, FileSource(acts), STRICT, create_users=True, role=Role.ANALYST
        )
        version = await model_versions.add(work, model.weights, model.metadata, {})
        await model_versions.judge(work, version.id, [], None)
        # Nothing takes jobs here.
        work.jobs.clear()
    imported = time.perf_counter()
    if indexed:
        indexer = await Indexer.open(rt.database, rt.index, rt.twin)
        await indexer.activate(tenant_id, version.id, silent)
    else:
        async with rt.database.work(tenant_id) as work:
            await model_versions.begin_filling(work, version.id)
            await model_versions.complete(work, version.id)
            await model_versions.activate(work, version.id)
    active = time.perf_counter()
    async with rt.database.work(tenant_id) as work:
        tokens = await _tokens(work, rt.services.jwt_secret)
    return {
        "tokens": tokens,
        "count": report.inserted,
        "import_seconds": imported - start,
        "index_seconds": active - imported if indexed else None,
        "nearest": await nearest(rt, ModelKey(tenant_id, version.id)),
    }


async def nearest(rt: runtime.Runtime, model: ModelKey) -> dict[str, list[str]]:
    """The ten properties nearest to each of twenty, by global ids, from all embeddings."""
    ids: list[UUID] = []
    blocks: list[NDArray[np.float32]] = []
    while True:
        async with rt.database.work(model.tenant_id) as work:
            batch = await snapshots.snapshot_after(work, ids[-1] if ids else None, PROPERTY_BATCH)
        if not len(batch):
            break
        ids += batch.ids
        blocks.append((await rt.twin.items(model, batch)).embedding.numpy())
    embeddings = np.concatenate(blocks)
    found: dict[str, list[str]] = {}
    for anchor in np.linspace(0, len(ids) - 1, ANCHORS).astype(int):
        likeness = embeddings @ embeddings[anchor]
        likeness[anchor] = -np.inf
        floor = np.partition(likeness, -NEAREST)[-NEAREST] - _TIE
        best = np.flatnonzero(likeness >= floor)
        found[global_id("Property", ids[anchor])] = [global_id("Property", ids[n]) for n in best]
    return found


async def _tokens(work: Work, secret: str) -> list[str]:
    some = (await users.list_all(work))[:INVESTORS]
    return [mint(secret, work.tenant_id, one.id, [one.role], _LIFETIME) for one in some]


async def train(rt: runtime.Runtime, properties: Path) -> StoredModel:
    """The weights of a short training on properties, which no tenant keeps."""
    tenant_id = uuid4()
    async with rt.database.work(tenant_id) as work:
        await tenants.create(work, f"trained-{tenant_id}")
        await import_properties(work, FileSource(properties), STRICT)
        columns = await snapshots.snapshot_after(work, None, PROPERTY_BATCH)
        work.jobs.clear()
    return await asyncio.to_thread(trained, columns)


def files(folder: Path, count: int) -> tuple[Path, Path]:
    """Files of so many properties and of what 16 investors did with some of them."""
    properties, acts = folder / f"{count}-properties.csv", folder / f"{count}-acts.csv"
    write(properties, count)
    with acts.open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("property", "user", "kind", "occurred_at"))
        lines.writerows(_acts(count))
    return properties, acts


def _acts(count: int) -> Iterator[tuple[str, ...]]:
    for number in range(INVESTORS * _ACTS):
        # A prime step, so that an investor's acts are spread over the properties.
        house, user = number * 7919 % count, number % INVESTORS
        when = _FIRST_ACT + timedelta(hours=number)
        kind = _KINDS[number // INVESTORS % len(_KINDS)]
        yield f"bench-{house:09d}", f"user-{user:02d}@example.com", kind.value, when.isoformat()


def main() -> None:
    """Parse the command line, fill and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("sample", "firms"))
    parser.add_argument("data", type=Path, help="data folder of the services")
    parser.add_argument("--quick", action="store_true", help="a smaller sample")
    parser.add_argument("--firms", type=int, default=1)
    parser.add_argument("--properties", type=int, default=1000, help="of each firm")
    parser.add_argument("--unindexed", action="store_true")
    asked = parser.parse_args()
    if asked.what == "sample":
        told: Any = asyncio.run(sample(asked.data, quick=asked.quick))
    else:
        making = firms(asked.data, asked.firms, asked.properties, indexed=not asked.unindexed)
        told = asyncio.run(making)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
