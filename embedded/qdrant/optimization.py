"""Optimising a shard in another process: `python -m embedded.qdrant.optimization SHARD FILE PID`.

Edge's `optimize` builds the graphs of large segments and drops deleted points. It takes from
seconds to minutes and holds the interpreter's lock throughout, so that a thread of it would stop
every call. It is given a copy of the shard instead; the changes made meanwhile are made again to
the result before it takes the shard's place.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import qdrant_edge as edge
from google.protobuf import json_format

from embedded.processes import signal_on_death_of
from embedded.qdrant.messages import skip_client
from embedded.qdrant.refusal import refusal_of

logger = logging.getLogger(__name__)

_BLOCK = 1 << 20
_HOLE = bytes(_BLOCK)
_POLL = 0.1  # seconds
_NOTHING_TO_DO = 3  # exit status


class Optimization:
    """One optimisation, from the copy of a flushed shard that nobody changes during this call.

    The result is as the collection's file has it: what changed of its parameters is made good.
    """

    def __init__(self, source: Path, target: Path, creation: Path) -> None:
        self.target = target
        self._creation = creation
        self.missed: list[edge.UpdateOperation] = []
        for path in sorted(source.rglob("*")):
            copied = target / path.relative_to(source)
            if path.is_dir():
                copied.mkdir(parents=True)
            else:
                copied.parent.mkdir(parents=True, exist_ok=True)
                _copy_sparse(path, copied)

    def run(self, stopping: threading.Event) -> bool:
        """Optimise the copy, and make up for most of what it missed; whether that was of use."""
        process = subprocess.Popen(  # noqa: S603 - this module
            [
                sys.executable,
                "-m",
                __name__,
                str(self.target),
                str(self._creation),
                str(os.getpid()),
            ]
        )
        while process.poll() is None:
            if stopping.wait(_POLL):
                process.kill()
        if process.returncode not in {0, _NOTHING_TO_DO} and not stopping.is_set():
            logger.error("optimising %s failed with status %d", self.target, process.returncode)
        if process.returncode != 0:
            return False
        self._shard = edge.EdgeShard.load(str(self.target))
        self._catch_up()
        return True

    def finish(self) -> edge.EdgeShard:
        """Make up for the rest, while nobody changes the original; the new shard is durable."""
        self._catch_up()
        self._shard.flush()
        return self._shard

    def _catch_up(self) -> None:
        while self.missed:
            operation = self.missed.pop(0)
            try:
                self._shard.update(operation)
            except Exception as error:
                if refusal_of(error) is None:  # else it was refused the first time, too
                    raise


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy a file without its holes: Edge reserves far more than it writes."""
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(_BLOCK):
            if block == _HOLE[: len(block)]:
                writer.seek(len(block), os.SEEK_CUR)
            else:
                writer.write(block)
        writer.truncate()


def main() -> None:
    """Optimise the shard given on the command line, at low priority."""
    path, creation, parent = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    signal_on_death_of(parent, signal.SIGKILL)
    os.nice(10)
    skip_client()
    from qdrant_client import grpc as messages

    from embedded.qdrant.creation import read_creation

    wanted = json_format.Parse(creation.read_text(), messages.CreateCollection())
    shard = edge.EdgeShard.load(path, read_creation(wanted))
    optimized = shard.optimize()
    shard.flush()
    shard.close()
    sys.exit(0 if optimized else _NOTHING_TO_DO)


if __name__ == "__main__":
    main()
