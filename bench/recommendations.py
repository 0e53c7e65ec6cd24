"""What the ranked lists cost: ``python -m bench.recommendations [--beside CHECKOUT_OR_REVISION]``.

The sample, loaded and trained on by each checkout's own code, on services and in a server process
of its own. The servers are asked in turn in every round, so that all see the same machine. Of each
query: latencies at one connection as a client sees them; CPU of a request at one connection, of the
server, PostgreSQL with its backends, the embedded Qdrant and Redis, each with all its processes
(``bench.processes.cpu`` says how they are counted); and requests a second at 16 connections, of a
server that shares the machine with its services and the client. CPU and rates are medians of the
rounds, latencies are of all requests. ``--data DIR`` keeps what was loaded and trained.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.checkouts import Checkout, add_beside, checkouts
from bench.graphql_served import QUERIES, messages
from bench.processes import SERVICES, cpu, services_cpu, settled
from bench.server import Sample, Server, quantile, server

FILLING = Path(__file__).with_name("filling.py")
AT_ONCE = 16
SERVER = "server"


@dataclass(frozen=True, slots=True)
class Asked:
    """A checkout's server, and what it is asked about."""

    name: str
    sample: Sample
    server: Server

    def used(self) -> dict[str, float]:
        """CPU seconds of the server and of each service so far."""
        return {SERVER: cpu(self.server.process)} | services_cpu(self.sample.data_dir)


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a query.

    Attributes:
        times: seconds of each request at one connection.
        cpu: CPU seconds of a request at one connection, by process.
        rate: requests a second at 16 connections.
    """

    times: Sequence[float]
    cpu: dict[str, float]
    rate: float


def filled(checkout: Checkout, quick: bool) -> Sample:
    """The sample in the checkout's services."""
    extra = ["--quick"] if quick else []
    output = checkout.script(FILLING, "sample", str(checkout.data_dir), *extra).output
    told: dict[str, Any] = json.loads(output.splitlines()[-1])
    return Sample(checkout.data_dir, tuple(told["tokens"]), tuple(told["properties"]))


async def take(one: Asked, requests: Sequence[bytes], count: int) -> Round:
    """Ask a server one query, ``count`` times over one connection and then over 16."""
    before = one.used()
    alone = await one.server.load(requests, count, 1)
    after = one.used()
    start = time.perf_counter()
    together = await one.server.load(requests, count, AT_ONCE)
    seconds = time.perf_counter() - start
    return Round(
        alone.times,
        {name: (after[name] - before[name]) / len(alone.times) for name in after},
        len(together.times) / seconds,
    )


async def alike(asked: Sequence[Asked]) -> None:
    """Check that all servers have the same data. Raises RuntimeError if they do not."""
    found = set()
    for one in asked:
        answer = await one.server.ask(messages(one.sample, "affinity")[0])
        cards = [{**each["property"], "id": None} for each in answer["affinity"]]
        found.add(json.dumps(cards, sort_keys=True))
    if len(found) != 1:
        raise RuntimeError("the checkouts loaded different properties")


async def measure(asked: Sequence[Asked], rounds: int, count: int) -> None:
    """Ask all servers in turn, and print what was found."""
    for one in asked:
        await one.server.ready()
        await settled(one.sample.data_dir)
    await alike(asked)
    found: dict[tuple[str, str], list[Round]] = defaultdict(list)
    gc.disable()
    for query in QUERIES:
        requests = {one.name: messages(one.sample, query) for one in asked}
        for one in asked:
            await one.server.load(requests[one.name], count, AT_ONCE)
        for number in range(rounds):
            # Who is first in one round is last in the next.
            for one in asked if number % 2 else asked[::-1]:
                found[query, one.name].append(await take(one, requests[one.name], count))
    report(found, [one.name for one in asked])


def figures(rounds: Sequence[Round]) -> dict[str, float]:
    """The figures of a query by their names."""
    times = [seconds for one in rounds for seconds in one.times]
    used = {
        name: statistics.median(one.cpu[name] for one in rounds) * 1000
        for name in (SERVER, *SERVICES)
    }
    return {
        "p50, ms": quantile(times, 0.5) * 1000,
        "p99, ms": quantile(times, 0.99) * 1000,
        "CPU, ms": statistics.median(sum(one.cpu.values()) for one in rounds) * 1000,
        **{f"CPU of {name}, ms": used[name] for name in used},
        f"requests/s, {AT_ONCE} connections": statistics.median(one.rate for one in rounds),
    }


def report(found: dict[tuple[str, str], list[Round]], names: Sequence[str]) -> None:
    """Print the table, with the first checkout's figures over those of the second."""
    table = Table("query", "figure")
    for name in (*names, *(["ratio"] if len(names) > 1 else [])):
        table.add_column(name, justify="right")
    for query in QUERIES:
        each = [figures(found[query, name]) for name in names]
        for row, (figure, value) in enumerate(each[0].items()):
            cells = [f"{one[figure]:.2f}" for one in each]
            if len(each) > 1:
                base = each[1][figure]
                cells.append(f"{value / base:.2f}" if base else "-")
            table.add_row(query if not row else "", figure, *cells)
        table.add_section()
    Console(width=120).print(table)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder to keep the trained samples in")
    parser.add_argument("--quick", action="store_true", help="a smaller sample, fewer rounds")
    parser.add_argument("--rounds", type=int, default=6, help="of each query and server")
    parser.add_argument("--requests", type=int, default=160, help="of each round")
    add_beside(parser)
    asked = parser.parse_args()
    rounds, count = (2, 32) if asked.quick else (asked.rounds, asked.requests)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}\n")
    names = ("this checkout", asked.beside)
    with checkouts(asked, asked.data) as sources, ExitStack() as stack:
        samples = [filled(one, asked.quick) for one in sources]
        served = [
            Asked(name, sample, stack.enter_context(server(one.data_dir, root=one.root)))
            for name, one, sample in zip(names, sources, samples, strict=False)
        ]
        asyncio.run(measure(served, rounds, count))


if __name__ == "__main__":
    main()
