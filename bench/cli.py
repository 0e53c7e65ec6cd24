"""How long commands take from their start to their end: `bench.cli`.

`twin --help` and `twin users list` run as processes of their own, in turn, on embedded services
that run already. Each checkout has services of its own, in a temporary folder, with a tenant that
its own commands load, so that `--beside CHECKOUT` measures an older one, too, whatever its
migrations. CPU is that of the command alone: PostgreSQL works in processes of its own.
"""

import argparse
import gzip
import os
import platform
from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.checkouts import Checkout, Run, add_beside, checkouts

TENANT = "king-county"
USERS = 200
COMMANDS = (("--help",), ("users", "list", "--tenant", TENANT))


def fill(checkout: Checkout) -> None:
    """Load a tenant and its users."""
    houses, acts = (checkout.data_dir / f"{name}.csv.gz" for name in ("houses", "acts"))
    with gzip.open(houses, "wt") as file:
        file.write("external_id\nhouse\n")
    with gzip.open(acts, "wt") as file:
        file.write("property,user,kind,occurred_at\n")
        for number in range(USERS):
            file.write(f"house,user-{number:03}@example.com,VIEW,2024-05-01T09:30:00Z\n")
    into = ("--tenant", TENANT)
    checkout.run("import", "properties", str(houses), *into, "--create-tenant")
    checkout.run("import", "interactions", str(acts), *into, "--create-users")


def measure(sources: Sequence[Checkout], rounds: int) -> None:
    """Run each command of each checkout that many times, in turn, and print the medians."""
    measured: dict[tuple[tuple[str, ...], Checkout], list[Run]] = {
        (command, one): [] for command in COMMANDS for one in sources
    }
    for number in range(rounds + 1):
        for (command, checkout), runs in measured.items():
            run = checkout.run(*command)
            # The first compiles what was never imported, and reads the files.
            if number:
                runs.append(run)
    table = Table("command", "checkout", "wall, ms", "at least", "CPU, ms")
    for (command, checkout), runs in measured.items():
        wall = [run.wall for run in runs]
        shown = (median(wall), min(wall), median(run.cpu for run in runs))
        table.add_row(
            " ".join(("twin", *command)),
            str(checkout.root),
            *(f"{1000 * one:.0f}" for one in shown),
        )
    Console(width=120).print(table)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="of each command and checkout")
    add_beside(parser)
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}\n")
    with checkouts(asked) as sources:
        for checkout in sources:
            fill(checkout)
        measure(sources, asked.rounds)


if __name__ == "__main__":
    main()
