"""Many tenants on one server: ``python -m bench.tenants [--tenants N] [--properties N]``.

A thousand tenants of a thousand properties, each with an active, indexed version of the same
weights (``bench/filling.py``). Requests for recommendations follow one another; whose they are is
drawn by Zipf's law (s = 1, a fixed seed). ``CATALOGUE_MEMORY`` holds the catalogues of a hundred
tenants, as a server without a limit counts those of a few. Printed: the share of requests that a
loaded catalogue answered, the latency of those and of the others, the time from the answer of a
miss to the loaded catalogue, and the memory of the server process when as many tenants were asked
as it holds, and at the end.

A hit may still have to load the version's weights, of which ``TWIN_CACHE_SIZE`` are kept. A server
without catalogues prints "-" for what it does not have. ``--data DIR`` keeps the tenants.
Most of the time that they take to make is the index's; with ``--unindexed`` it stays empty, and a
miss takes less than it would.
"""

import argparse
import asyncio
import os
import platform
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.catalogue import RECOMMENDATIONS, firms
from bench.catalogue_metrics import read
from bench.checkouts import checkouts
from bench.server import Connection, Server, message, quantile, server

MEMORY = "CATALOGUE_MEMORY"
_COUNTED = 5
"""Tenants by which the memory of a catalogue is told."""
_LOADED_WITHIN = 30.0
_MIB = 1 << 20


@dataclass(slots=True)
class Drawn:
    """What came of the requests: seconds of each.

    Attributes:
        hits: answered from a loaded catalogue.
        misses: found none loaded.
        others: of a server without catalogues.
        waits: from the answer of a miss to the loaded catalogue.
        settled: bytes of the process once as many tenants were asked as it holds.
        ended: bytes of the process at the end.
    """

    hits: list[float] = field(default_factory=list)
    misses: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    settled: int = 0
    ended: int = 0


async def memory_of(one: Server, tenants: Sequence[dict[str, Any]], held: int) -> int | None:
    """Bytes that hold the catalogues of so many tenants; None if the server has none."""
    await one.ready()
    before = await read(one.port)
    if before.bytes is None or before.loads is None:
        return None
    for tenant in tenants[:_COUNTED]:
        await one.ask(_request(tenant))
    after = before
    async with asyncio.timeout(_LOADED_WITHIN):
        while (after.loads or 0) < before.loads + _COUNTED:
            await asyncio.sleep(0.02)
            after = await read(one.port)
    # Half a catalogue more, for their sizes differ a little.
    return round(((after.bytes or 0) - before.bytes) / _COUNTED * (held + 0.5))


async def draw(one: Server, tenants: Sequence[dict[str, Any]], count: int, held: int) -> Drawn:
    """Ask for tenants that are drawn by Zipf's law, one after the other."""
    await one.ready()
    weights = [1 / rank for rank in range(1, len(tenants) + 1)]
    drawn = random.Random(0).choices(range(len(tenants)), weights, k=count)
    found, met = Drawn(), set[int]()
    after = await read(one.port)
    async with Connection(one.port) as connection:
        for number in drawn:
            before = after
            start = time.perf_counter()
            await connection.send(_request(tenants[number]))
            seconds = time.perf_counter() - start
            after = await read(one.port)
            if after.misses is None or before.misses is None:
                found.others.append(seconds)
            elif after.misses > before.misses:
                found.misses.append(seconds)
                async with asyncio.timeout(_LOADED_WITHIN):
                    while (after.loads or 0) <= (before.loads or 0):
                        await asyncio.sleep(0.005)
                        after = await read(one.port)
                found.waits.append(time.perf_counter() - start - seconds)
            else:
                found.hits.append(seconds)
            met.add(number)
            if len(met) == held and not found.settled:
                found.settled = one.process.memory_info().rss
    found.ended = one.process.memory_info().rss
    return found


def _request(tenant: dict[str, Any]) -> bytes:
    return message(tenant["tokens"][0], RECOMMENDATIONS, {"filter": None})


def report(found: Drawn, tenants: int, limit: int | None) -> None:
    """Print the table."""
    asked = len(found.hits) + len(found.misses)
    table = Table("figure", "value", title=f"{tenants:,} tenants")
    table.add_row(MEMORY, "-" if limit is None else f"{limit / _MIB:,.1f} MiB")
    table.add_row("hit rate", f"{len(found.hits) / asked:.1%}" if asked else "-")
    for name, times, shares in (
        ("a hit", found.hits, (0.5, 0.99)),
        ("a miss", found.misses, (0.5, 0.99)),
        ("a request without catalogues", found.others, (0.5, 0.99)),
        # A page of metrics sometimes waits for those of all tenants.
        ("the wait from a miss to the loaded catalogue", found.waits, (0.5,)),
    ):
        for share in shares:
            value = f"{quantile(times, share) * 1000:.1f} ms" if times else "-"
            table.add_row(f"p{100 * share:.0f} of {name}", value)
    table.add_row("server process, limit reached", f"{found.settled / _MIB:,.0f} MiB")
    table.add_row("server process, at the end", f"{found.ended / _MIB:,.0f} MiB")
    Console(width=120).print(table)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--properties", type=int, default=1000, help="of each tenant")
    parser.add_argument("--held", type=int, default=100, help="tenants that the memory holds")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--unindexed", action="store_true", help="leave the index empty")
    parser.add_argument("--data", type=Path, help="a folder to keep the tenants in")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}\n")
    with checkouts(argparse.Namespace(beside=None), asked.data) as (checkout,):
        start = time.perf_counter()
        _, *made = firms(checkout, asked.tenants, asked.properties, indexed=not asked.unindexed)
        print(f"{len(made):,} tenants made or found in {time.perf_counter() - start:.0f} s")
        with server(checkout.data_dir) as one:
            limit = asyncio.run(memory_of(one, made, asked.held))
        settings = {} if limit is None else {MEMORY: str(limit)}
        with server(checkout.data_dir, settings=settings) as one:
            found = asyncio.run(draw(one, made, asked.requests, asked.held))
    report(found, len(made), limit)


if __name__ == "__main__":
    main()
