"""A data folder of these tests' own, apart from the session's: they kill what runs in it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from qdrant_client import AsyncQdrantClient

import embedded

ROOT = Path(embedded.__file__).parent.parent


def client_of(url: str) -> AsyncQdrantClient:
    """A client of the gRPC endpoint at a URL."""
    parts = urlsplit(url)
    return AsyncQdrantClient(
        host=parts.hostname, grpc_port=parts.port or 0, prefer_grpc=True, check_compatibility=False
    )


@pytest.fixture(scope="module")
def qdrant_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data_dir = tmp_path_factory.mktemp("qdrant")
    url = embedded.ensure(data_dir, postgres=False, redis=False).qdrant_url
    assert url is not None
    yield url
    embedded.release(data_dir)


@pytest.fixture(scope="module")
async def remote(qdrant_url: str) -> AsyncIterator[AsyncQdrantClient]:
    client = client_of(qdrant_url)
    yield client
    await client.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose keeper, if it still runs, is stopped at the end."""
    path = tmp_path / "data"
    yield path
    embedded.release(path)
    wait_until(lambda: not embedded.status(path))


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


@pytest.fixture
def start_user() -> Iterator[Callable[..., User]]:
    """Start processes that use a folder; those left are killed."""
    users: list[User] = []

    def start(data_dir: Path, services: str = "") -> User:
        users.append(User(data_dir, services))
        return users[-1]

    yield start
    for user in users:
        if user.process.poll() is None:
            user.kill()


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
