"""Data folders of these tests' own, apart from the session's: they kill what runs in them."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

import embedded
from tests.embedded.processes import User, client_of, wait_until


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
