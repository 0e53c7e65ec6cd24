"""Checkouts of the code to measure beside one another, each on embedded services of its own."""

import os
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import embedded
from tests.conformance.servers import ROOT
from tests.embedded.processes import wait_until


class Run(NamedTuple):
    """One run of a command: seconds, its own CPU seconds, and what it printed."""

    wall: float
    cpu: float
    output: bytes


@dataclass(frozen=True, slots=True)
class Checkout:
    """The code in a folder, and the data folder of its services."""

    root: Path
    data_dir: Path

    def run(self, *arguments: str) -> Run:
        """Run ``twin`` with these arguments. Raises CalledProcessError if it fails.

        It runs in the checkout's own ``.venv``, or in this process's where there is none.
        """
        python = self.root / ".venv/bin/python"
        # Its own package comes first on the path, for that is the working directory.
        command = [str(python if python.exists() else sys.executable), "-m", "cli", *arguments]
        environment = os.environ | {"DATA_DIR": str(self.data_dir)}
        began = time.perf_counter()
        with subprocess.Popen(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            output = process.stdout.read()
            # For its CPU seconds, which Popen does not tell.
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command, output)
        return Run(wall, usage.ru_utime + usage.ru_stime, output)


def add_beside(parser: ArgumentParser) -> None:
    """Add the option that names another checkout."""
    parser.add_argument("--beside", type=Path, help="another checkout to run the same commands of")


@contextmanager
def checkouts(asked: Namespace) -> Iterator[Sequence[Checkout]]:
    """This checkout and the one that ``--beside`` names, their services up.

    The services listen for these checkouts alone and keep their data in a temporary folder.
    """
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "REDIS_URL", "QDRANT_URL"):
        os.environ.pop(name, None)
    roots = [ROOT, *([asked.beside.resolve()] if asked.beside else [])]
    with TemporaryDirectory(prefix="twin-bench-") as folder, ExitStack() as stack:
        found = [Checkout(root, Path(folder) / str(number)) for number, root in enumerate(roots)]
        for checkout in found:
            stack.callback(_stop, checkout.data_dir)
            embedded.ensure(checkout.data_dir)
        yield found


def _stop(data_dir: Path) -> None:
    """Stop the services and wait until nothing writes to their folder any more."""
    embedded.release(data_dir)
    wait_until(lambda: not embedded.status(data_dir))
