"""Send malformed and hostile requests to a server: ``python -m tests.conformance.fuzz``.

The server is a process of its own, on services in a temporary folder, with two trained tenants: the
requests know one of them by valid tokens, and ids of the other. Each is made from the seed and its
number alone; ``--only`` sends one again and prints it. Exits with 1 if

- an answer has a status of 500 or more, the code INTERNAL, a message with anything of what lies
  under the server, another shape than a GraphQL response, or data where the request had to be
  refused;
- a request that is whole gets no answer;
- the server logs an error, does not answer in the end, or answers the other tenant otherwise than
  before;
- memory is not flat: from half-time to the end it grows by more than 5% and 8 MB.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from tests.conformance.fuzz.client import send
from tests.conformance.fuzz.messages import JSON, PATH, message
from tests.conformance.fuzz.rules import fault
from tests.conformance.fuzz.storm import Tally, made, storm
from tests.conformance.fuzz.town import build_towns
from tests.conformance.servers import Server, own_server

MB = 1024 * 1024
GROWTH, SLACK = 0.05, 8 * MB
QUARTERS = 4
SHOWN = 30

CURSORS = (
    "{ properties(first: 3) { edges { cursor } } recommendations(first: 3) { edges { cursor } } }"
)
WITNESS = (
    "{ me { name buyBox { zipcodes } } "
    "properties(first: 100) { edges { node { id listingPrice affinity feedback { id } } } } }"
)
AGING = 1e-3
"""How far an affinity may move by time alone, since what was done fades."""


def main() -> int:
    """Parse the command line, attack a server, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000, help="how many to send")
    parser.add_argument("--seed", type=int, default=1, help="what all of them are made from")
    parser.add_argument("--only", type=int, help="send the one of this number, and print it")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="twin-fuzz-") as folder:
        data_dir = Path(folder)
        log = data_dir / "server.log"
        towns = build_towns(data_dir)
        # Without a limit of the rate, all of them reach what is behind it.
        with own_server(data_dir, log, settings={"RATE_LIMIT_REFILL": "0"}) as server:
            lists = ask(server, towns.world.tokens[0], CURSORS).values()
            cursors = tuple(edge["cursor"] for one in lists for edge in one["edges"])
            world = replace(towns.world, cursors=cursors)
            if arguments.only is not None:
                kind, asked = made(arguments.seed, arguments.only, world)
                answer = send(server.port, asked)
                print(kind, asked.data, answer, fault(asked, answer), sep="\n\n")
                print(log.read_text(encoding="utf-8"))
                return 0
            before = ask(server, towns.bystander, WITNESS)
            tally = Tally()
            memory = attack(server, world, arguments.seed, arguments.requests, tally)
            same = alike(ask(server, towns.bystander, WITNESS), before)
        logged = log.read_text(encoding="utf-8").splitlines()
    return report(tally, memory, same, [line for line in logged if " ERROR " in line])


def ask(server: Server, token: str, query: str) -> dict[str, Any]:
    """The data of a query. Raises RuntimeError if the answer holds errors."""
    headers = [("Content-Type", JSON), ("Authorization", f"Bearer {token}")]
    answer = send(server.port, message(json.dumps({"query": query}).encode(), headers, target=PATH))
    body = json.loads(answer.body or "{}")
    if "data" not in body or "errors" in body:
        raise RuntimeError(f"the server does not answer: {answer}")
    data: dict[str, Any] = body["data"]
    return data


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are the same, but for what time alone changes."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= AGING
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def attack(server: Server, world: Any, seed: int, count: int, tally: Tally) -> list[int]:
    """Send all requests; returns the bytes that the server held before each quarter and after."""
    process = psutil.Process(server.pid)
    memory = [process.memory_info().rss]
    started = time.perf_counter()
    for quarter in range(QUARTERS):
        numbers = range(count * quarter // QUARTERS, count * (quarter + 1) // QUARTERS)
        storm(server.port, world, seed, numbers, tally)
        memory.append(process.memory_info().rss)
        took = time.perf_counter() - started
        print(f"{numbers.stop:>6} requests, {took:6.1f} s, {memory[-1] / MB:6.1f} MB", flush=True)
    return memory


def report(tally: Tally, memory: list[int], same: bool, logged: list[str]) -> int:
    """Print all counts and what was wrong; returns the exit code."""
    print(f"\n{'kind':<20}{'sent':>7}  statuses ('-': closed without an answer)")
    for kind, statuses in sorted(tally.statuses.items()):
        shown = ", ".join(
            f"{status or '-'}: {times}" for status, times in sorted(
                statuses.items(), key=lambda item: item[0] or 0
            )
        )  # fmt: skip
        print(f"{kind:<20}{statuses.total():>7}  {shown}")
    total = sum(tally.statuses.values(), Counter[int | None]())
    print(f"{'all':<20}{total.total():>7}")
    allowed = memory[QUARTERS // 2] * (1 + GROWTH) + SLACK
    flat = memory[-1] <= allowed
    print(
        f"\nmemory: {', '.join(f'{one / MB:.1f}' for one in memory)} MB; "
        f"at most {allowed / MB:.1f} MB in the end: {'flat' if flat else 'NOT FLAT'}"
    )
    print(f"the other tenant's answers: {'the same' if same else 'CHANGED'}")
    print(f"errors in the server's log: {len(logged)}")
    print(f"wrong answers: {len(tally.faults)}")
    for number, kind, what in tally.faults[:SHOWN]:
        print(f"  --only {number} {kind}: {what}")
    for line in logged[:SHOWN]:
        print(f"  {line[:300]}")
    return 0 if flat and same and not logged and not tally.faults else 1


if __name__ == "__main__":
    sys.exit(main())
