"""The server on a port of its own, in the tests' event loop, for what needs a real connection."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect

from graph.server.http.messages import MAX_MESSAGE


class Server(uvicorn.Server):
    """Uvicorn without its hands on the tests' signals."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """Serve an application whose lifespan has begun; yields host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # asyncio does so for its own sockets alone; else an answer in two parts takes 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
        )
        server = Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            # Also where a test failed: the next one's server would wait for this one.
            server.should_exit = True
            await running


def open_socket(address: str, **options: Any) -> connect:
    """``async with open_socket(address) as socket``: no connection_init is sent yet."""
    options = {"subprotocols": ["graphql-transport-ws"], "compression": None, **options}
    return connect(f"ws://{address}/graphql", **options)


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """The code and reason that the server closes with, once it does."""
    async with asyncio.timeout(60):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason
