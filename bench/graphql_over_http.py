"""The query of ``bench.graphql_query`` over HTTP: ``python -m bench.graphql_over_http``.

One server process for each variant, on uvloop and httptools, asked by this process over sixteen
connections, the servers taking turns. CPU of the server process for each request, and how many a
core would answer a second at that; compare figures of one run only.
"""

import argparse
import asyncio
import statistics
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.graphql_fixture import COLUMNS, QUERY, VARIABLES
from bench.server import Server, message, server

CONNECTIONS = 16
SERVERS = {
    "strawberry.asgi.GraphQL": "stock",
    "ours, affinity by a dataloader": "waiting",
    "ours, affinity told by the list": "told",
    "floor: raw ASGI, by hand": "floor",
}


async def measure(servers: dict[str, Server], rounds: int, requests: int) -> dict[str, float]:
    """Milliseconds of CPU per request: medians of rounds."""
    request = message("none", QUERY, VARIABLES)
    answers = {}
    await asyncio.gather(*(one.ready() for one in servers.values()))
    for name, one in servers.items():
        answers[name] = await one.ask(request)
        await one.load([request], requests, CONNECTIONS)
    first = next(iter(answers.values()))
    wrong = [name for name, answer in answers.items() if answer != first]
    if wrong:
        raise SystemExit(f"{', '.join(wrong)}: answers otherwise than Strawberry")
    times: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, one in servers.items():
            load = await one.load([request], requests, CONNECTIONS)
            times[name].append(load.cpu * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=800, help="in a round")
    given = parser.parse_args()
    with TemporaryDirectory() as folder, ExitStack() as running:
        servers = {
            name: running.enter_context(server(Path(folder), f"bench.graphql_apps:{factory}"))
            for name, factory in SERVERS.items()
        }
        times = asyncio.run(measure(servers, given.rounds, given.requests))
    stock, *_, floor = times.values()
    print(f"{len(COLUMNS)} fields and the affinity of {VARIABLES['first']} recommendations\n")
    print(
        "| over HTTP, 16 connections | CPU ms | requests a second per core | stock is | floor is |"
    )
    print("|---|---|---|---|---|")
    for name, found in times.items():
        ratios = f"{stock / found:.1f} times | {floor / found:.2f} of it"
        print(f"| {name} | {found:.3f} | {1000 / found:,.0f} | {ratios} |")


if __name__ == "__main__":
    main()
