"""How fast files load: ``python -m bench.imports [--rows N] [--rounds N] [--beside CHECKOUT]``.

Each round fills a new tenant by ``twin import``, each file in one checkout right after the other:
new properties, the same with another price in every row, that file again, then as many interactions
of new users. The command is what stays the same from one checkout to the next. What it takes to
start is measured by a file of one row and subtracted. Each checkout has services of its own, in a
temporary folder. CPU, of the command and PostgreSQL, tells the cost of a row on a busy machine too.
"""

import argparse
import csv
import json
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.checkouts import Checkout, add_beside, checkouts
from bench.generate_properties import open_text, write
from bench.processes import cpu, service

FIRST_ACT = datetime(2024, 1, 1, tzinfo=UTC)
ACTS_OF_A_USER = 50


class Load(NamedTuple):
    """A file to import, and what its rows count as in the report: "inserted", say."""

    name: str
    noun: str
    path: Path
    counted: str


class Cost(NamedTuple):
    """What an import took, in seconds."""

    wall: float
    command: float
    postgres: float

    @property
    def cpu(self) -> float:
        """CPU seconds of both."""
        return self.command + self.postgres


def loads(folder: Path, rows: int) -> tuple[Load, Sequence[Load]]:
    """Write the files: that of one row, and those that are measured, in the order of their use."""
    one, new, changed, acts = (
        folder / f"{name}.csv" for name in ("one", "new", "changed", "interactions")
    )
    write(one, 1)
    write(new, rows)
    with new.open(newline="") as source, open_text(changed) as file:
        reader = csv.DictReader(source)
        writer = csv.DictWriter(file, reader.fieldnames or (), lineterminator="\n")
        writer.writeheader()
        for row in reader:
            writer.writerow(row | {"listing_price": float(row["listing_price"]) + 1000})
    with open_text(acts) as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("property", "user", "kind", "occurred_at"))
        lines.writerows(interactions(rows))
    return Load("start", "properties", one, "inserted"), (
        Load("new properties", "properties", new, "inserted"),
        Load("all changed", "properties", changed, "updated"),
        Load("unchanged", "properties", changed, "unchanged"),
        Load("new interactions", "interactions", acts, "inserted"),
    )


def interactions(rows: int) -> Iterator[tuple[str, ...]]:
    """Yield a view of each property, each at a time of its own."""
    for number in range(rows):
        # A prime step, so that a user's acts are spread over the properties.
        place = number * 7919 % rows
        user = f"user-{number // ACTS_OF_A_USER}@example.com"
        yield (
            f"bench-{place:09d}",
            user,
            "VIEW",
            (FIRST_ACT + timedelta(seconds=number)).isoformat(),
        )


def load(checkout: Checkout, tenant: str, what: Load, rows: int) -> Cost:
    """Import a file. Raises RuntimeError if the report counts another number of rows."""
    extra = "--create-users" if what.noun == "interactions" else "--create-tenant"
    postgres = service(checkout.data_dir, "postgres")
    before = cpu(postgres)
    run = checkout.run(
        "import", what.noun, str(what.path), "--tenant", tenant, extra, "--json"
    )  # fmt: skip
    report = json.loads(run.output)
    if report[what.counted] != rows:
        raise RuntimeError(f"{checkout.root}: {what.name}: {rows} rows, but {report}")
    return Cost(run.wall, run.cpu, cpu(postgres) - before)


def measure(sources: Sequence[Checkout], rows: int, rounds: int) -> None:
    """Import each file in each checkout that many times, and print the medians."""
    with TemporaryDirectory(prefix="twin-bench-") as name:
        start, files = loads(Path(name), rows)
        costs: dict[tuple[Load, Checkout], list[Cost]] = {
            (what, one): [] for what in (start, *files) for one in sources
        }
        for checkout in sources:
            # Compiles what was never imported.
            load(checkout, "warm-up", start, 1)
        for number in range(rounds):
            for what in (start, *files):
                for checkout in sources:
                    tenant = f"start-{number}" if what is start else f"round-{number}"
                    cost = load(checkout, tenant, what, 1 if what is start else rows)
                    costs[what, checkout].append(cost)
    medians = {
        key: Cost(*(median(one) for one in zip(*found, strict=True)))
        for key, found in costs.items()
    }
    for checkout in sources:
        began = medians[start, checkout]
        print(f"{checkout.root} starts in {began.wall:.2f} s ({began.command:.2f} s of CPU)")
    table = Table("import", "checkout", "rows/s", "CPU of the command", "of PostgreSQL")
    if len(sources) > 1:
        table.add_column("rate beside the last")
        table.add_column("CPU beside the last")
    for what in files:
        net = [beyond(medians[what, one], medians[start, one]) for one in sources]
        for checkout, cost in zip(sources, net, strict=True):
            shares = (net[-1].wall / cost.wall, cost.cpu / net[-1].cpu)
            table.add_row(
                what.name,
                str(checkout.root),
                f"{rows / cost.wall:,.0f}",
                *(f"{1e6 * one / rows:.0f} us a row" for one in (cost.command, cost.postgres)),
                *(f"{share:.0%}" for share in shares if len(sources) > 1),
            )
    Console(width=140).print(table)


def beyond(cost: Cost, start: Cost) -> Cost:
    """What an import took on top of starting."""
    return Cost(*(one - other for one, other in zip(cost, start, strict=True)))


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="of each file")
    parser.add_argument("--rounds", type=int, default=3, help="each with a new tenant")
    add_beside(parser)
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {asked.rows:,} rows\n")
    with checkouts(asked) as sources:
        measure(sources, asked.rows, asked.rounds)


if __name__ == "__main__":
    main()
