"""Connections that stay open: how many of strangers, and when they end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Message
from websockets.exceptions import InvalidStatus

import runtime
from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.core.errors import ErrorCode
from domain.tenants.tenants import Tenant
from domain.users import users
from graph.app import build
from graph.core.context import Context
from graph.identity import Principal, mint
from graph.server.http import connections, sse
from graph.server.http.connections import end_of_token
from runtime import Runtime
from settings import Settings
from tests.factories import add_user
from tests.graph.conftest import Session, SignIn
from tests.graph.live import closed, open_socket, serving
from tests.graph.server.test_sse import streamed
from tests.graph.server.test_websocket import ask, hear, init, signed_in

FOLLOW = "subscription { recommendationsChanged { causes } }"
UPSERT = """mutation ($user: UserInput!) {
    upsertUsers(input: {users: [$user]}) { errors { message } } }"""
CHANGED = "What you may do has changed; connect again."


@pytest.fixture
async def session(database: Database, tenant: Tenant, sign_in: SignIn, rt: Runtime) -> Session:
    """An analyst by its user alone: the token names no role."""
    async with database.work(tenant.id) as work:
        user = await add_user(work, role=Role.ANALYST)
    token = mint(rt.services.jwt_secret, tenant.id, user.id, [], timedelta(minutes=5))
    return Session(sign_in(tenant, user.id).client, token, tenant.id, user.id)


async def demote(app: Starlette, database: Database, session: Session) -> None:
    async with database.work(session.tenant_id) as work:
        (await users.get(work, session.user_id)).role = Role.VIEWER
    app.state.authenticator._known.clear()


async def test_who_never_says_who_it_is_takes_few_places(
    rt: Runtime, settings: Settings, session: Session
) -> None:
    app = build(lambda: nullcontext(rt), settings.model_copy(update={"connection_limit": 20}))
    async with (
        app.router.lifespan_context(app),
        serving(app) as address,
        open_socket(address),
        open_socket(address) as second,
    ):
        with pytest.raises(InvalidStatus, match="503"):
            async with open_socket(address):
                pass
        # Who is known makes place for others.
        await init(second, session.token)
        assert await hear(second) == {"type": "connection_ack"}
        async with signed_in(address, session.token), open_socket(address):
            pass


async def test_a_socket_ends_with_what_its_user_may_do(
    app: Starlette, database: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "RECHECK_EVERY", 0.05)
    monkeypatch.setattr(connections, "RECHECKED_AFTER", 0.05)
    async with serving(app) as address, signed_in(address, session.token) as socket:
        await ask(socket, "1", FOLLOW)
        await hear(socket)
        await demote(app, database, session)
        assert await closed(socket) == (4403, f"Forbidden: {CHANGED}")


async def test_a_stream_ends_with_what_its_user_may_do(
    app: Starlette, database: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "RECHECK_EVERY", 0.05)
    monkeypatch.setattr(connections, "RECHECKED_AFTER", 0.05)
    async with (
        serving(app) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as server,
        streamed(server, session.token, FOLLOW) as (_, answers),
    ):
        await anext(answers)
        await demote(app, database, session)
        async with asyncio.timeout(60):
            assert [name async for name, _ in answers] == []


@pytest.fixture
async def elsewhere(
    settings: Settings, services: runtime.Services
) -> AsyncIterator[tuple[Starlette, str]]:
    """Another server on the same services, and its address; it shares no memory with the first."""
    async with runtime.connect(settings, services) as other:
        server = build(lambda: nullcontext(other), settings)
        async with server.router.lifespan_context(server), serving(server) as address:
            yield server, address


@pytest.mark.parametrize(
    ("change", "named"), [({"role": "VIEWER"}, [Role.ADMIN]), ({"active": False}, [])]
)
async def test_what_an_admin_takes_away_ends_sockets_in_other_servers(
    elsewhere: tuple[Starlette, str], database: Database, tenant: Tenant, sign_in: SignIn,
    rt: Runtime, change: dict[str, Any], named: list[Role],
) -> None:  # fmt: skip
    async with database.work(tenant.id) as work:
        admin = await add_user(work, role=Role.ADMIN)
        ann = await add_user(work, role=Role.ADMIN)
    token = mint(rt.services.jwt_secret, tenant.id, ann.id, named, timedelta(hours=1))
    async with signed_in(elsewhere[1], token) as socket:
        await ask(socket, "1", "subscription { jobProgress { id } }")
        await ask(socket, "2", "{ me { role } }")
        assert (await hear(socket))["payload"]["data"] == {"me": {"role": "ADMIN"}}
        await sign_in(tenant, admin.id, Role.ADMIN).data(
            UPSERT, user={"externalId": ann.external_id} | change
        )
        code, reason = await closed(socket)
    assert (code, CHANGED in (reason or "")) == (4403, "role" in change)


def context(rt: Runtime, principal: Principal) -> Context:
    return Context(rt.database, rt.recommender, rt.broker, principal, "1")


async def test_a_failure_to_look_again_ends_nothing_before_the_token_does(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "RECHECK_EVERY", 0.01)
    monkeypatch.setattr(connections, "RECHECKED_AFTER", 0.01)
    until = datetime.now(UTC) + timedelta(seconds=2)
    principal = Principal(uuid4(), uuid4(), Role.ADMIN, until)

    async def fail() -> Any:
        raise ConnectionError("the database is gone")

    async with asyncio.timeout(60):
        error = await end_of_token(context(rt, principal), fail)
    assert (error.code, datetime.now(UTC) >= until) == (ErrorCode.UNAUTHENTICATED, True)
    assert len(caplog.records) > 1

    async def succeed() -> Context:
        return context(rt, Principal(uuid4(), uuid4(), Role.ADMIN, until))

    later = datetime.now(UTC) + timedelta(minutes=5)
    stays = Principal(principal.tenant_id, principal.user, principal.role, later)
    assert (await end_of_token(context(rt, stays), succeed)).message == CHANGED


async def test_a_stream_that_nobody_reads_is_cut_off(
    app: Starlette, rt: Runtime, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "SEND_WITHIN", 0.05)
    before = app.state.connections._open
    headers = {
        "host": "localhost",
        "accept": "text/event-stream",
        "content-type": "application/json",
        "authorization": f"Bearer {session.token}",
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "state": {},
    }
    never = asyncio.Event()

    async def messages() -> AsyncIterator[Message]:
        body = json.dumps({"query": FOLLOW}).encode()
        yield {"type": "http.request", "body": body, "more_body": False}
        await never.wait()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await never.wait()

    received = messages()
    async with asyncio.timeout(60):
        await app(scope, received.__anext__, send)
    assert app.state.connections._open == before
    assert session.tenant_id not in rt.broker._channels
