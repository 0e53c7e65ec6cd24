"""Servers in processes of their own, on a free port, for as long as a block runs."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN = 180.0
"""Seconds that a server may take to answer."""
STOP_WITHIN = 10.0
"""Seconds that a server may take to stop before it is killed."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers: its port on 127.0.0.1, and its process."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Where GraphQL is asked."""
        return f"http://127.0.0.1:{self.port}/graphql"


@contextmanager
def own_server(
    data_dir: Path,
    log: Path | None = None,
    *,
    factory: str = "graph.app:create_app",
    root: Path = ROOT,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """This project's server on the services of a folder, in one process.

    Args:
        data_dir: the folder.
        log: where its log goes; to standard error if nowhere.
        factory: makes the ASGI application.
        root: the checkout whose code is run.
        settings: others of the environment.
    """
    environment = {"DATA_DIR": str(data_dir.absolute()), "LOG_LEVEL": "warning"} | dict(
        settings or {}
    )
    with (
        log.open("w") if log else nullcontext() as stderr,
        _uvicorn("--factory", factory, environment, stderr, root) as server,
    ):
        yield server


@contextmanager
def stock_strawberry() -> Iterator[Server]:
    """Strawberry as it comes."""
    with _uvicorn("--lifespan=off", "tests.conformance.stock_strawberry:app", {}) as server:
        yield server


@contextmanager
def _uvicorn(
    option: str,
    app: str,
    environment: dict[str, str],
    stderr: IO[str] | None = None,
    root: Path = ROOT,
) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", option, app, f"--port={port}"]
    process = subprocess.Popen(
        [*command, "--log-level=warning", "--no-access-log"],
        cwd=root,
        env=os.environ | environment,
        stderr=stderr,
    )
    try:
        server = Server(port, process.pid)
        _await(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


def _await(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers anything. Raises RuntimeError if it ends or takes too long."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        try:
            urlopen(server.url, timeout=5).close()
        except HTTPError as refusal:
            refusal.close()
            return
        except (OSError, HTTPException):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the server did not answer within {READY_WITHIN:.0f} seconds")
