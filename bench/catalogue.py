"""Large tenants: ``python -m bench.catalogue [--properties N]... [--beside CHECKOUT_OR_REVISION]``.

One tenant of so many simulated properties, imported and indexed by each checkout's own code on
services of its own, with a version of one short training and 16 investors with histories
(``bench/filling.py``). Of each server: seconds of the import and of the index; seconds from the
first question to the loaded catalogue, and those of the load alone; memory of a property, as the
catalogue counts it and as the server process grew; latencies of ``recommendations(first: 20)`` over
HTTP at one connection, of all properties and with three filters; of ``propertyFacets`` with all
seven facets, and of ``properties(first: 20)`` by two words with ``totalCount``; and the share of
the ten nearest properties, found by comparing all, that ``similarProperties(first: 10)`` lists.
That is the candidate generation alone, which nothing ranks again.

The server answers for a small tenant before, so that the memory of a property includes no code and
no model. Tenants of more than 200,000 properties are not indexed, which would take minutes.
``--data DIR`` keeps the tenants.
"""

import argparse
import asyncio
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.catalogue_metrics import CatalogueMetrics, read
from bench.checkouts import Checkout, add_beside, checkouts
from bench.filling import NEAREST
from bench.graphql_served import CARD
from bench.processes import settled
from bench.recommendations import FILLING
from bench.server import Server, message, quantile, server

INDEXED_UP_TO = 200_000
RECOMMENDATIONS = (
    "query ($filter: PropertyFilter) { recommendations(first: 20, filter: $filter) "
    f"{{ edges {{ node {{ score rank property {{ {CARD} affinity }} }} }} }} }}"
)
SIMILAR = (
    f"query ($like: ID!) {{ similarProperties(propertyId: $like, first: {NEAREST}) "
    "{ modelVersion edges { node { id } } } }"
)
_VALUES = "{ values { value count } missing other }"
FACETS = (
    "query ($filter: PropertyFilter) { propertyFacets(filter: $filter) { "
    f"propertyTypes {_VALUES} listingStatuses {_VALUES} zipcodes {_VALUES} cities {_VALUES} "
    f"states {_VALUES} bedrooms {_VALUES} price {{ bands {{ min max count }} missing }} }} }}"
)
TEXT = (
    'query { properties(filter: { text: "pine sea" }, first: 20) '
    f"{{ totalCount edges {{ node {{ {CARD} }} }} }} }}"
)
THREE_FILTERS = {
    "price": {"min": 300_000, "max": 600_000},
    "propertyTypes": ["SINGLE_FAMILY", "TOWNHOUSE"],
    "cities": ["Seattle", "Renton"],
}
SHARE_COUNTED = 4
"""One request for facets or text in so many others: each takes half a second in PostgreSQL."""
_LOADED_WITHIN = 300.0


def firms(
    checkout: Checkout, count: int, properties: int, *, indexed: bool
) -> list[dict[str, Any]]:
    """Tenants in the checkout's services, as ``bench.filling.firms`` makes them."""
    options = [f"--firms={count}", f"--properties={properties}"]
    if not indexed:
        options.append("--unindexed")
    output = checkout.script(FILLING, "firms", str(checkout.data_dir), *options).output
    told: list[dict[str, Any]] = json.loads(output.splitlines()[-1])
    return told


async def loaded(one: Server, request: bytes, before: CatalogueMetrics) -> float | None:
    """Ask, and wait until another catalogue is loaded; seconds, None if the server has none."""
    start = time.perf_counter()
    await one.ask(request)
    if before.loads is None:
        return None
    async with asyncio.timeout(_LOADED_WITHIN):
        while ((await read(one.port)).loads or 0) <= before.loads:  # noqa: ASYNC110  (it tells nobody)
            await asyncio.sleep(0.02)
    return time.perf_counter() - start


async def recall(one: Server, firm: dict[str, Any]) -> float:
    """The share of each property's nearest ten that the server lists."""
    found = 0
    for like, nearest in firm["nearest"].items():
        answer = await one.ask(message(firm["tokens"][0], SIMILAR, {"like": like}))
        listed = answer["similarProperties"]
        if listed["modelVersion"] is None:
            raise RuntimeError("no model answered")
        found += len({edge["node"]["id"] for edge in listed["edges"]} & set(nearest))
    return found / (NEAREST * len(firm["nearest"]))


async def measure(
    one: Server, data_dir: Path, small: dict[str, Any], firm: dict[str, Any], count: int
) -> list[str]:
    """The cells of one server's column."""
    await one.ready()
    await settled(data_dir)
    warm = [message(token, RECOMMENDATIONS, {}) for token in small["tokens"]]
    await loaded(one, warm[0], await read(one.port))
    await one.load(warm, len(warm), 1)
    before, memory = await read(one.port), one.process.memory_info().rss
    asked = {
        name: [message(token, RECOMMENDATIONS, {"filter": where}) for token in firm["tokens"]]
        for name, where in (("all", None), ("filtered", THREE_FILTERS))
    }
    waited = await loaded(one, asked["all"][0], before)
    after = await read(one.port)
    grown = one.process.memory_info().rss - memory
    cells = [
        f"{firm['import_seconds']:.1f}",
        "-" if firm["index_seconds"] is None else f"{firm['index_seconds']:.1f}",
        _difference(after.load_seconds, before.load_seconds, 1, ".2f"),
        "-" if waited is None else f"{waited:.2f}",
        _difference(after.bytes, before.bytes, firm["count"], ",.0f"),
        f"{grown / firm['count']:,.0f}",
    ]
    for requests in asked.values():
        await one.load(requests, count // 10, 1)
        times = (await one.load(requests, count, 1)).times
        cells += [f"{quantile(times, share) * 1000:.1f}" for share in (0.5, 0.99)]
    counted = [
        message(firm["tokens"][0], query, {"filter": where} if query == FACETS else {})
        for query, where in ((FACETS, None), (FACETS, THREE_FILTERS), (TEXT, None))
    ]
    for request in counted:
        await one.load([request], 1, 1)
        times = (await one.load([request], count // SHARE_COUNTED, 1)).times
        cells.append(f"{quantile(times, 0.5) * 1000:.1f}")
    return [*cells, f"{await recall(one, firm):.4f}"]


ROWS = (
    "import, s",
    "index, s",
    "load of the catalogue, s",
    "first question to loaded, s",
    "bytes a property, counted",
    "bytes a property, process",
    "recommendations, p50, ms",
    "recommendations, p99, ms",
    "with three filters, p50, ms",
    "with three filters, p99, ms",
    "all facets, p50, ms",
    "all facets with three filters, p50, ms",
    "text with its count, p50, ms",
    f"recall@{NEAREST}",
)


def _difference(after: float | None, before: float | None, per: int, form: str) -> str:
    if after is None:
        return "-"
    return format((after - (before or 0.0)) / per, form)


def bench(sources: Sequence[Checkout], names: Sequence[str], properties: int, count: int) -> None:
    """Measure tenants of one size, and print the table."""
    columns = []
    for checkout in sources:
        small, firm = firms(checkout, 1, properties, indexed=properties <= INDEXED_UP_TO)
        # Alone, for a million properties leave no room for another.
        with server(checkout.data_dir, root=checkout.root) as one:
            columns.append(asyncio.run(measure(one, checkout.data_dir, small, firm, count)))
    table = Table(f"{properties:,} properties in one tenant")
    for name in names[: len(columns)]:
        table.add_column(name, justify="right")
    for row in zip(ROWS, *columns, strict=True):
        table.add_row(*row)
    Console(width=120).print(table)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, action="append", help="200000 if not given")
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    parser.add_argument("--data", type=Path, help="a folder to keep the tenants in")
    add_beside(parser)
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}\n")
    with checkouts(asked, asked.data) as sources:
        for properties in asked.properties or [200_000]:
            bench(sources, ("this checkout", asked.beside), properties, asked.requests)


if __name__ == "__main__":
    main()
