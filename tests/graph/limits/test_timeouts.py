"""Operations that take too long, and clients that leave, over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.types import Message

from domain.core.database import Database
from domain.tenants.tenants import Tenant
from graph.app import build
from runtime import Runtime
from settings import Settings
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn, property_id
from tests.graph.limits.test_cancellation import until

QUERY = "query ($id: ID!) { property(id: $id) { id } me { id } }"
LIST = "query { properties(first: 1) { edges { node { id } } } me { id } }"


@pytest.fixture
async def impatient(rt: Runtime, settings: Settings) -> AsyncIterator[Starlette]:
    """A server that gives an operation half a second."""
    server = build(lambda: nullcontext(rt), settings.model_copy(update={"operation_timeout": 0.5}))
    async with server.router.lifespan_context(server):
        yield server


@pytest.fixture
async def investor(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    return sign_in(tenant, user.id)


@pytest.fixture
async def house(tenant: Tenant, database: Database) -> str:
    async with database.work(tenant.id) as work:
        return property_id((await add_property(work)).id)


@pytest.fixture(params=[QUERY, LIST], ids=["reading", "working"])
async def slow(
    request: pytest.FixtureRequest, database: Database, house: str
) -> AsyncIterator[str]:
    """A query that waits in the database, for nothing reads properties for now."""
    async with database.work(None) as work:
        await work.session.execute(text("LOCK TABLE properties"))
        yield request.param


async def waiting(database: Database) -> int:
    """How many statements wait for a lock."""
    async with database.work(None) as work:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return await work.session.scalar(text(f"{query} AND datname = current_database()")) or 0


async def test_an_operation_that_takes_too_long_is_ended_in_the_database_too(
    impatient: Starlette, investor: Session, house: str, database: Database, slow: str
) -> None:
    transport = httpx.ASGITransport(impatient)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.post(
            "/graphql",
            json={"query": slow, "variables": {"id": house}},
            headers={"Authorization": f"Bearer {investor.token}"},
        )
    body = response.json()
    assert body["data"] is None
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "TIMEOUT"
    assert "0.5 s" in error["message"]
    # Nobody knows how far it came, so all of it is paid.
    assert body["extensions"]["cost"]["actual"] == body["extensions"]["cost"]["asked"] > 0

    async def ended() -> bool:
        return await waiting(database) == 0

    await until(ended)


class Client:
    """Sends one request straight to ASGI, and may leave before the answer."""

    def __init__(self, session: Session, query: str, variables: dict[str, Any]) -> None:
        self._body = json.dumps({"query": query, "variables": variables}).encode()
        self._token = session.token
        self._sent = False
        self.left = asyncio.Event()
        self.received: list[Message] = []

    async def ask(self, server: Starlette) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/graphql",
            "query_string": b"",
            "http_version": "1.1",
            "headers": [
                (b"authorization", f"Bearer {self._token}".encode()),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(self._body)).encode()),
                (b"host", b"localhost"),
            ],
        }
        await server(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.received.append(message)


async def test_what_nobody_waits_for_is_ended_in_the_database_too(
    app: Starlette, investor: Session, house: str, database: Database, slow: str
) -> None:
    client, before = Client(investor, slow, {"id": house}), asyncio.all_tasks()
    asking = asyncio.create_task(client.ask(app))

    def backends(count: int) -> Callable[[], Awaitable[bool]]:
        async def found() -> bool:
            return await waiting(database) == count

        return found

    await until(backends(1))
    client.left.set()
    async with asyncio.timeout(60):
        await asking
    await until(backends(0))
    assert client.received == []

    async def quiet() -> bool:
        return asyncio.all_tasks() <= before

    # No loader, no watcher: nothing of it is left.
    await until(quiet)


async def test_who_stays_is_answered(app: Starlette, investor: Session, house: str) -> None:
    client, before = Client(investor, QUERY, {"id": house}), asyncio.all_tasks()
    await client.ask(app)
    body = json.loads(client.received[1]["body"])
    assert body["data"]["property"]["id"] == house
    assert asyncio.all_tasks() <= before
