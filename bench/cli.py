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
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

import embedded
from tests.conformance.servers import ROOT

TENANT = "king-county"
USERS = 200
COMMANDS = (("--help",), ("users", "list", "--tenant", TENANT))


@dataclass(slots=True)
class Runs:
    """What each run of a command took, in seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Checkout:
    """The code in a folder, and the data folder of its services."""

    root: Path
    data_dir: Path

    def run(self, arguments: Sequence[str], runs: Runs) -> None:
        """Run a command once. Raises CalledProcessError if it fails."""
        # Its own package comes first on the path, for that is the working directory.
        command = [sys.executable, "-m", "cli", *arguments]
        environment = os.environ | {"DATA_DIR": str(self.data_dir)}
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=self.root, env=environment, stdout=subprocess.DEVNULL
        )
        # For its CPU seconds, which Popen does not tell.
        _, status, usage = os.wait4(process.pid, 0)
        runs.wall.append(time.perf_counter() - began)
        runs.cpu.append(usage.ru_utime + usage.ru_stime)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)

    @contextmanager
    def services(self) -> Iterator[None]:
        """Keep the services up, with a tenant and its users in the database."""
        embedded.ensure(self.data_dir)
        try:
            houses, acts = (self.data_dir / f"{name}.csv.gz" for name in ("houses", "acts"))
            with gzip.open(houses, "wt") as file:
                file.write("external_id\nhouse\n")
            with gzip.open(acts, "wt") as file:
                file.write("property,user,kind,occurred_at\n")
                for number in range(USERS):
                    file.write(f"house,user-{number:03}@example.com,VIEW,2024-05-01T09:30:00Z\n")
            into = ("--tenant", TENANT)
            for arguments in (
                ("import", "properties", str(houses), *into, "--create-tenant"),
                ("import", "interactions", str(acts), *into, "--create-users"),
            ):
                self.run(arguments, Runs())
            yield
        finally:
            embedded.release(self.data_dir)


def measure(checkouts: Sequence[Checkout], rounds: int) -> None:
    """Run each command of each checkout that many times, in turn, and print the medians."""
    measured = {(command, one): Runs() for command in COMMANDS for one in checkouts}
    for number in range(rounds + 1):
        for (command, checkout), runs in measured.items():
            # The first compiles what was never imported, and reads the files.
            checkout.run(command, runs if number else Runs())
    table = Table("command", "checkout", "wall, ms", "at least", "CPU, ms")
    for (command, checkout), runs in measured.items():
        shown = (median(runs.wall), min(runs.wall), median(runs.cpu))
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
    parser.add_argument("--beside", type=Path, help="another checkout to run the same commands of")
    asked = parser.parse_args()
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "REDIS_URL", "QDRANT_URL"):
        os.environ.pop(name, None)
    roots = [ROOT, *([asked.beside.resolve()] if asked.beside else [])]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}\n")
    with TemporaryDirectory(prefix="twin-bench-") as folder:
        checkouts = [
            Checkout(root, Path(folder) / str(number)) for number, root in enumerate(roots)
        ]
        with ExitStack() as stack:
            for checkout in checkouts:
                stack.enter_context(checkout.services())
            measure(checkouts, asked.rounds)


if __name__ == "__main__":
    main()
