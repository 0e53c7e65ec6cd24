"""Checkouts of the code to measure beside one another, each on embedded services of its own."""

import io
import os
import re
import subprocess
import sys
import tarfile
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

_HOLD = """
import pathlib, sys
import embedded
embedded.ensure(pathlib.Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""
"""Has the services of a folder run until its standard input is closed."""


class Run(NamedTuple):
    """One run of a command: seconds, its own CPU seconds, and what it printed."""

    wall: float
    cpu: float
    output: bytes


@dataclass(frozen=True, slots=True)
class Checkout:
    """The code in a folder, and the data folder of its services.

    Commands run in the checkout's own ``.venv``, or in this process's where there is none.
    """

    root: Path
    data_dir: Path

    def run(self, *arguments: str) -> Run:
        """Run ``twin`` with these arguments. Raises CalledProcessError if it fails."""
        # Its own package comes first on the path, for that is the working directory.
        return self._run("-m", "cli", *arguments)

    def script(self, path: Path, *arguments: str) -> Run:
        """Run a file, of whatever checkout, on the modules of this one.

        Raises:
            CalledProcessError: it failed.
        """
        # Without the folder of the file on the path, whose modules are named like packages.
        return self._run("-P", str(path), *arguments)

    @contextmanager
    def services(self) -> Iterator[None]:
        """Start the services as this checkout has them, and stop them in the end."""
        command = [self._python, "-c", _HOLD, str(self.data_dir)]
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdout is not None
            if not holder.stdout.readline():
                raise RuntimeError(f"{self.root}: the services did not start")
            try:
                yield
            finally:
                holder.communicate()
                # Until nothing writes to their folder any more.
                wait_until(lambda: not embedded.status(self.data_dir))

    @property
    def _python(self) -> str:
        own = self.root / ".venv/bin/python"
        return str(own if own.exists() else sys.executable)

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {"DATA_DIR": str(self.data_dir), "PYTHONPATH": str(self.root)}

    def _run(self, *arguments: str) -> Run:
        command = [self._python, *arguments]
        began = time.perf_counter()
        with subprocess.Popen(
            command, cwd=self.root, env=self._environment, stdout=subprocess.PIPE
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
    parser.add_argument("--beside", help="folder of another checkout, or a revision, to measure")


@contextmanager
def checkouts(asked: Namespace, data: Path | None = None) -> Iterator[Sequence[Checkout]]:
    """This checkout and the one that ``--beside`` names, their services up.

    The services listen for these checkouts alone.

    Args:
        asked: the parsed command line.
        data: where the services keep their data, to be used again; a temporary folder if None.

    Raises:
        SystemExit: ``--beside`` names neither a folder nor a revision.
    """
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "REDIS_URL", "QDRANT_URL"):
        os.environ.pop(name, None)
    with TemporaryDirectory(prefix="twin-bench-") as folder, ExitStack() as stack:
        kept = (data or Path(folder) / "data").absolute()
        found = [Checkout(ROOT, kept / "this")]
        if asked.beside:
            root = _root(asked.beside, Path(folder) / "beside")
            found.append(Checkout(root, kept / re.sub(r"\W+", "-", asked.beside).strip("-")))
        for checkout in found:
            checkout.data_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(checkout.services())
        yield found


def _root(beside: str, target: Path) -> Path:
    """The folder that is named, or the target with the files of the revision that is named."""
    if Path(beside).is_dir():
        return Path(beside).resolve()
    archive = subprocess.run(
        ["git", "archive", "--format=tar", beside], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode != 0:
        raise SystemExit(
            f"error: --beside {beside}: name the folder of a checkout, or a revision of this one "
            f"({archive.stderr.decode().strip()})"
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(target, filter="data")
    return target
