"""The real server in this process, spoken to over HTTP with real tokens."""

import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import event
from starlette.applications import Starlette

from domain.contract.vocabulary import Role
from domain.core.reading import Reading, Statement
from domain.tenants.tenants import Tenant
from graph.app import build
from graph.core.nodes import global_id
from graph.identity import mint
from runtime import Runtime
from settings import Settings


@dataclasses.dataclass(frozen=True)
class Session:
    """A user with a token."""

    client: httpx.AsyncClient
    token: str
    tenant_id: UUID
    user_id: UUID

    async def post(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole body of the response, which is 200."""
        response = await self.client.post(
            "/graphql",
            content=json.dumps({"query": query, "variables": variables}),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
        )
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a response without errors."""
        body = await self.post(query, **variables)
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    async def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The extensions of the one error of a response."""
        body = await self.post(query, **variables)
        (error,) = body["errors"]
        found: dict[str, Any] = error["extensions"] | {"message": error["message"]}
        return found


SignIn = Callable[..., Session]


@pytest.fixture(scope="session")
async def app(rt: Runtime, settings: Settings) -> AsyncIterator[Starlette]:
    """The server on the session's services."""
    server = build(lambda: nullcontext(rt), settings)
    async with server.router.lifespan_context(server):
        yield server


@pytest.fixture(scope="session")
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP without a token."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


@pytest.fixture(scope="session")
def sign_in(rt: Runtime, client: httpx.AsyncClient) -> SignIn:
    """Makes sessions: ``sign_in(tenant, user_id, role)``."""

    def make(tenant: Tenant, user_id: UUID, role: Role = Role.ANALYST) -> Session:
        secret = rt.services.jwt_secret
        token = mint(secret, tenant.id, user_id, [role], timedelta(minutes=5))
        return Session(client, token, tenant.id, user_id)

    return make


@pytest.fixture
async def statements(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The SQL that the server runs in this test, but for setting tenants and checking tokens."""
    noted: list[str] = []
    aside = ("set_config", "tenants.slug = ", "users.external_id = ")

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not any(part in statement for part in aside):
            noted.append(statement)

    fetch = Reading.fetch

    async def noted_fetch(reading: Reading, statement: Statement, **values: Any) -> Any:
        note(None, None, statement.text)
        return await fetch(reading, statement, **values)

    monkeypatch.setattr(Reading, "fetch", noted_fetch)
    engine = rt.database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield noted
    event.remove(engine, "before_cursor_execute", note)


def property_id(value: UUID) -> str:
    """The global id of a property."""
    return global_id("Property", value)


def user_id(value: UUID) -> str:
    """The global id of a user."""
    return global_id("User", value)
