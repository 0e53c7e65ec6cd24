"""Processes that use embedded services, and ways to end processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from qdrant_client import AsyncQdrantClient

import embedded

ROOT = Path(embedded.__file__).parent.parent


def client_of(url: str) -> AsyncQdrantClient:
    """A client of the gRPC endpoint at a URL."""
    parts = urlsplit(url)
    return AsyncQdrantClient(
        host=parts.hostname, grpc_port=parts.port or 0, prefer_grpc=True, check_compatibility=False
    )


class User:
    """Another process that uses the services of a folder until told to stop."""

    def __init__(self, data_dir: Path, services: str = "") -> None:
        script = f"""
            import pathlib, sys
            import embedded
            try:
                print(embedded.ensure(pathlib.Path({str(data_dir)!r}){services}), flush=True)
            except embedded.EmbeddedError as error:
                print("error:", error, flush=True)
            sys.stdin.readline()
        """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def answer(self) -> str:
        """What `ensure` returned or raised."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def leave(self) -> None:
        """End in an orderly way."""
        self.process.communicate("\n")

    def kill(self) -> None:
        """End without a chance to clean up."""
        self.process.kill()
        self.process.communicate()


def wait_until(condition: Callable[[], bool], limit: float = 60.0) -> None:
    """Wait for something other processes do."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def kill(pid: int | None) -> None:
    """SIGKILL, and wait until the process is gone."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not runs(pid))


def runs(pid: int | None) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
