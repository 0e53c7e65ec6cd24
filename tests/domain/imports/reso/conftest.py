"""A service to read from, and a client that waits for nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from domain.imports.reso.client import BearerToken, Client, ClientCredentials
from domain.imports.reso.resource import Resource
from domain.imports.reso.transport import Transport
from tests.reso_server import CLIENT_ID, CLIENT_SECRET, ResoHost, ResoServer, reso_host

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="session")
async def host() -> AsyncIterator[ResoHost]:
    """A port for all services."""
    async with reso_host() as host:
        yield host


@pytest.fixture
def server(host: ResoHost) -> ResoServer:
    """A service without records."""
    return host.fresh()


@pytest.fixture
def slept() -> list[float]:
    """How long the client would have slept, each time; no pause is drawn at random."""
    return []


@pytest.fixture
def connect(server: ResoServer, slept: list[float]) -> Connect:
    """A client of the service, by a token or, with ``grant``, by its id and secret."""

    @asynccontextmanager
    async def connect(
        query: str = "", *, grant: bool = False, page_size: int = 1_000, **options: Any
    ) -> AsyncIterator[Client]:
        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        credentials = (
            ClientCredentials(
                CLIENT_ID, SecretStr(CLIENT_SECRET), f"http://{server.address}/token", "api"
            )
            if grant
            else BearerToken(SecretStr(server.token))
        )
        usual: dict[str, Any] = {"rate": 1e9, "sleep": sleep, "draw": lambda: 1.0}
        async with Transport(**(usual | options)) as transport:
            resource = Resource(server.url + query)
            yield Client(resource, credentials, transport, page_size=page_size)

    return connect
