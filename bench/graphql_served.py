"""The real queries end to end: ``python -m bench.graphql_served [--data DIR] [--quick]``.

King County, a trained twin, one server process asked over HTTP by sixteen investors in turn, and in
interleaved rounds a floor written by hand (``bench.floor``) on the same services. For each query
the CPU of the server process (``psutil``), the latency that a client sees, the ratio to the floor,
with all that the twin computes and without, and the stages of the CPU. Those come from two further
servers with timers (``bench.stages``), which cost something themselves. The client, the services
and the server share the machine, so latencies under load are not those of the server alone; its
CPU is.

Beside those three queries, two that look up one object: ``--lookups`` measures these alone, and
``--beside CHECKOUT`` the server of another checkout, on the same data in the same rounds.
"""

import argparse
import asyncio
import gc
import os
import platform
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import orjson

from bench.server import Load, Sample, Server, message, quantile, server, trained_sample
from bench.stages import TWIN

CARD = (
    "id externalId city zipcode latitude longitude propertyType listingStatus listingPrice "
    "bedrooms bathrooms squareFeet"
)
QUERIES = {
    "recommendations": (
        "{ recommendations(first: 20) "
        f"{{ edges {{ node {{ score rank property {{ {CARD} affinity }} }} }} }} }}"
    ),
    "similarProperties": (
        "query ($like: ID!) { similarProperties(propertyId: $like, first: 20) "
        f"{{ edges {{ similarity node {{ {CARD} }} }} }} }}"
    ),
    "affinity": (
        f"query ($ids: [ID!]!) {{ affinity(propertyIds: $ids) {{ score property {{ {CARD} }} }} }}"
    ),
}
"""What is asked: 20 properties of 12 fields each time, by what ``bench.floor`` knows them by."""

LOOKUPS = {"property": "query ($id: ID!) { property(id: $id) { id } }", "me": "{ me { id } }"}
"""Queries of one object, which cost little but what every request costs."""

AT_ONCE = (16, 1)
SERVER, FLOOR = "server", "floor"
TIMED = "timed "
FACTORIES = {
    SERVER: "graph.app:create_app",
    FLOOR: "bench.floor:create_app",
    TIMED + SERVER: "bench.stages:create_app",
    TIMED + FLOOR: "bench.stages:create_floor",
}


def messages(sample: Sample, name: str) -> list[bytes]:
    """The requests of a query: each investor's, or each about another house."""
    if name == "similarProperties":
        asked: list[dict[str, Any]] = [{"like": one} for one in sample.properties]
    elif name == "affinity":
        asked = [{"ids": sample.properties}]
    elif name == "property":
        asked = [{"id": one} for one in sample.properties]
    else:
        asked = [{}]
    turns = max(len(asked), len(sample.tokens))
    query = (QUERIES | LOOKUPS)[name]
    return [
        message(sample.tokens[turn % len(sample.tokens)], query, asked[turn % len(asked)])
        for turn in range(turns)
    ]


def rounded(value: Any) -> Any:
    """The value with its numbers to six digits: scores change in the last with the time of day."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


LOADED_WITHIN = 30.0


async def compare(servers: dict[str, Server], sample: Sample) -> None:
    """Check that all servers answer alike. Raises RuntimeError naming the query that differs."""

    async def answers_of(request: bytes) -> list[bytes]:
        return [orjson.dumps(rounded(await one.ask(request))) for one in servers.values()]

    # Until the catalogues are loaded, the index answers, which is approximate.
    deadline = time.monotonic() + LOADED_WITHIN
    while len({*await answers_of(messages(sample, "recommendations")[0])}) != 1:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    for name in QUERIES:
        for request in messages(sample, name):
            answers = await answers_of(request)
            if len({*answers}) != 1:
                raise RuntimeError(f"{name}: the servers differ\n" + "\n".join(map(str, answers)))


async def stages(one: Server) -> dict[str, float]:
    """What each stage took since last asked, in seconds."""
    async with httpx.AsyncClient() as client:
        found: dict[str, float] = (
            await client.get(f"http://127.0.0.1:{one.port}/stages", timeout=30)
        ).json()
    return found


async def measure(sample: Sample, rounds: int, requests: int) -> None:
    """Start the servers, ask them in turn and print what was found."""
    loads: dict[tuple[str, int, str], list[Load]] = defaultdict(list)
    taken: dict[tuple[str, str], dict[str, float]] = {}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(server(sample.data_dir, factory))
            for name, factory in FACTORIES.items()
        }
        for one in servers.values():
            await one.ready()
        await compare(servers, sample)
        gc.disable()
        for name in QUERIES:
            asked = messages(sample, name)
            for one in servers.values():
                await one.load(asked, requests, 16)
            for _ in range(rounds):
                for at_once in AT_ONCE:
                    for kind in (SERVER, FLOOR):
                        found = await servers[kind].load(asked, requests, at_once)
                        loads[name, at_once, kind].append(found)
            for kind in (SERVER, FLOOR):
                one = servers[TIMED + kind]
                await stages(one)
                await one.load(asked, requests, 16)
                taken[name, kind] = {
                    stage: seconds / requests for stage, seconds in (await stages(one)).items()
                }
    report(loads, taken)


async def measure_lookups(sample: Sample, rounds: int, requests: int, beside: Path | None) -> None:
    """Ask for one object at a time, of another checkout as well if there is one, and print that."""
    loads: dict[tuple[str, int, str], list[Load]] = defaultdict(list)
    with ExitStack() as stack:
        servers = {SERVER: stack.enter_context(server(sample.data_dir))}
        if beside:
            started = server(sample.data_dir, root=beside)
            servers[str(beside)] = stack.enter_context(started)
        for one in servers.values():
            await one.ready()
        gc.disable()
        for name in LOOKUPS:
            asked = messages(sample, name)
            for one in servers.values():
                await one.load(asked, requests, 16)
            for _ in range(rounds):
                for at_once in AT_ONCE:
                    for kind, one in servers.items():
                        loads[name, at_once, kind].append(await one.load(asked, requests, at_once))
    print("| one object | at once | whose | CPU ms a request | p50, p99 ms |")
    print("|---|---|---|---|---|")
    for (name, at_once, kind), some in loads.items():
        print(f"| {name} | {at_once} | {kind} | {_cpu(some):.2f} | {_latency(some)} |")
    print()


def report(
    loads: dict[tuple[str, int, str], list[Load]], taken: dict[tuple[str, str], dict[str, float]]
) -> None:
    """Print the tables. Figures are medians over the rounds, latencies over all requests."""
    print("| query | at once | server, CPU ms | requests/s a core | floor, CPU ms | of the floor | "
          "p50, p99 ms | floor's |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for (name, at_once, kind), some in loads.items():
        if kind == FLOOR:
            continue
        ours, floor = _cpu(some), _cpu(loads[name, at_once, FLOOR])
        print(
            f"| {name} | {at_once} | {ours:.2f} | {1000 / ours:.0f} | {floor:.2f} | "
            f"{ours / floor:.2f} | {_latency(some)} | {_latency(loads[name, at_once, FLOOR])} |"
        )
    print("\n| 16 at once | twin, CPU ms | floor's | the rest | floor's | of the floor |")
    print("|---|---|---|---|---|---|")
    for name in QUERIES:
        total = [_cpu(loads[name, 16, kind]) for kind in (SERVER, FLOOR)]
        # As a share, since the timers' own cost is not the server's.
        twin = [
            whole * _share(taken[name, kind], TWIN)
            for whole, kind in zip(total, (SERVER, FLOOR), strict=True)
        ]
        ours, floor = (whole - part for whole, part in zip(total, twin, strict=True))
        print(
            f"| {name} | {twin[0]:.2f} | {twin[1]:.2f} | {ours:.2f} | {floor:.2f} | "
            f"{ours / floor:.2f} |"
        )
    print(f"\n| share of the CPU | {' | '.join(QUERIES)} |\n|---|{'---|' * len(QUERIES)}")
    for stage in taken[next(iter(QUERIES)), SERVER]:
        shares = (_share(taken[name, SERVER], stage, exactly=True) for name in QUERIES)
        print(f"| {stage} | {' | '.join(f'{share:.1%}' for share in shares)} |")


def _share(taken: dict[str, float], stage: str, *, exactly: bool = False) -> float:
    """The share of a stage, or of all whose names begin so."""
    some = (
        seconds
        for name, seconds in taken.items()
        if (name == stage if exactly else name.startswith(stage))
    )
    return sum(some) / sum(taken.values())


def _cpu(loads: list[Load]) -> float:
    return statistics.median(one.cpu for one in loads) * 1000


def _latency(loads: list[Load]) -> str:
    times = [seconds for one in loads for seconds in one.times]
    return f"{quantile(times, 0.5) * 1000:.1f}, {quantile(times, 0.99) * 1000:.1f}"


async def bench(data_dir: Path, rounds: int, requests: int, asked: argparse.Namespace) -> None:
    """Measure on the sample in the folder."""
    async with trained_sample(data_dir, quick=asked.quick) as sample:
        await measure_lookups(sample, rounds, requests, asked.beside)
        if not asked.lookups:
            await measure(sample, rounds, requests)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder to keep the trained sample in")
    parser.add_argument("--quick", action="store_true", help="a smaller sample, fewer rounds")
    parser.add_argument("--rounds", type=int, default=5, help="of each query and server")
    parser.add_argument("--requests", type=int, default=320, help="of each round")
    parser.add_argument("--lookups", action="store_true", help="only queries of one object")
    parser.add_argument("--beside", type=Path, help="another checkout to look up objects in")
    asked = parser.parse_args()
    rounds, requests = (2, 64) if asked.quick else (asked.rounds, asked.requests)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}\n")
    with TemporaryDirectory(prefix="twin-bench-") as folder:
        data = asked.data or Path(folder) / "data"
        asyncio.run(bench(data, rounds, requests, asked))


if __name__ == "__main__":
    main()
