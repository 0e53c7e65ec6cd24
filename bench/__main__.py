"""Measure the main job: ``python -m bench [--rows N] [--requests N]``.

Prints the rate of imports, the time of a training, the rate of indexing and the latency of the
three main queries through HTTP, on services of its own in a temporary folder. Client and server
share the machine; compare figures of one run only.
"""

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import httpx

import runtime
from bench.generate_properties import write
from bench.server import ready, silent
from cli.first_start import INVESTOR, load_sample
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.tenants import tenants
from domain.users import users
from graph.identity import mint
from jobs.model_registry.training import train_tenant
from jobs.reindexing.indexer import Indexer
from ml.training.config import TrainingConfig
from settings import Settings
from tests.conformance.servers import own_server

CARD = "id externalId zipcode latitude longitude listingPrice bedrooms bathrooms squareFeet"
QUERIES = {
    "recommendations(first: 20), 9 fields, reasons": (
        "{ recommendations(first: 20) "
        f"{{ edges {{ node {{ score rank reasons {{ text }} property {{ {CARD} }} }} }} }} }}"
    ),
    "similarProperties(first: 20), 9 fields": (
        "query ($like: ID!) { similarProperties(propertyId: $like, first: 20) "
        f"{{ edges {{ similarity node {{ {CARD} }} }} }} }}"
    ),
    "affinity of 10 properties": (
        "query ($ids: [ID!]!) { affinity(propertyIds: $ids) { score property { id } } }"
    ),
}


def row(what: str, figure: str) -> None:
    """Print one row of the table."""
    print(f"| {what} | {figure} |", flush=True)


async def measure_import(rt: runtime.Runtime, folder: Path, rows: int) -> None:
    """Import a generated file, then the same file again."""
    path = folder / "properties.csv"
    write(path, rows, seed=7)
    tenant_id = uuid4()
    async with rt.database.work(tenant_id) as work:
        await tenants.create(work, "bench-import")
    for what in ("new", "unchanged"):
        start = time.perf_counter()
        async with rt.database.work(tenant_id) as work:
            await import_properties(work, FileSource(path))
            work.jobs.clear()
        seconds = time.perf_counter() - start
        row(f"import of {rows:,} {what} properties", f"{rows / seconds:,.0f} rows/s")


async def measure_twin(rt: runtime.Runtime) -> UUID:
    """Load the sample, train on it and index it again."""
    start = time.perf_counter()
    tenant_id = await load_sample(rt.database)
    row("sample: 21,436 houses, 48,070 interactions loaded", f"{time.perf_counter() - start:.1f} s")
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    start = time.perf_counter()
    training = await train_tenant(indexer, tenant_id, TrainingConfig(), silent)
    row("training on it, evaluation and indexing included", f"{time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    counts = await indexer.write_everything(tenant_id, silent, only=training.version_id)
    rate = counts.properties / (time.perf_counter() - start)
    row("indexing", f"{rate:,.0f} properties/s")
    return tenant_id


async def measure_queries(client: httpx.AsyncClient, requests: int) -> None:
    """Send each query over one and over eight connections."""
    first = await ask(
        client, "{ recommendations(first: 10) { edges { node { property { id } } } } }"
    )
    ids = [edge["node"]["property"]["id"] for edge in first["recommendations"]["edges"]]
    variables = {"ids": ids, "like": ids[0]}
    for what, query in QUERIES.items():
        for connections in (1, 8):
            times = await timed(partial(ask, client, query, variables), requests, connections)
            cuts = statistics.quantiles(times, n=100)
            row(
                f"{what}, {connections} at once",
                f"p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms",
            )


async def ask(
    client: httpx.AsyncClient, query: str, variables: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Send a query and return its data. Raises RuntimeError if the answer holds errors."""
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    body: dict[str, Any] = response.json()
    if "errors" in body:
        raise RuntimeError(body["errors"])
    data: dict[str, Any] = body["data"]
    return data


async def timed(call: Callable[[], Awaitable[Any]], count: int, at_once: int) -> list[float]:
    """Seconds of each of ``count`` calls, after a tenth as many that are not counted."""
    times: list[float] = []

    async def caller(calls: int) -> None:
        for _ in range(calls):
            start = time.perf_counter()
            await call()
            times.append(time.perf_counter() - start)

    await caller(count // 10)
    times.clear()
    await asyncio.gather(*(caller(count // at_once) for _ in range(at_once)))
    return times


async def bench(folder: Path, rows: int, requests: int) -> None:
    """Measure everything in a folder of its own."""
    settings = Settings(_env_file=None, data_dir=folder / "data")
    found = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, found)
    print("| what | figure |\n|---|---|")
    async with runtime.connect(settings, found) as rt:
        await measure_import(rt, folder, rows)
        tenant_id = await measure_twin(rt)
        async with rt.database.work(tenant_id) as work:
            user = await users.find(work, INVESTOR)
    token = mint(found.jwt_secret, tenant_id, user.id, [user.role], timedelta(hours=1))
    with own_server(folder / "data") as server:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        ) as client:
            await ready(client)
            await measure_queries(client, requests)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="properties to import")
    parser.add_argument("--requests", type=int, default=400, help="requests of each kind")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}\n")
    with TemporaryDirectory(prefix="twin-bench-") as folder:
        asyncio.run(bench(Path(folder), arguments.rows, arguments.requests))


if __name__ == "__main__":
    main()
