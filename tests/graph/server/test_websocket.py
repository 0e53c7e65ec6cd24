"""The protocol graphql-transport-ws, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from domain.contract.vocabulary import Role
from domain.tenants.tenants import Tenant
from domain.users import users
from graph import subscriptions
from graph.app import build
from graph.identity import mint
from graph.server.http import connections, messages, websocket
from runtime import Runtime
from settings import Settings
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn, property_id
from tests.graph.live import closed, open_socket, serving

ME = "{ me { id } }"
FOLLOW = "subscription { recommendationsChanged { causes } }"
THUMB = """mutation ($house: ID!) { submitFeedback(input: {
    propertyId: $house, sentiment: THUMBS_UP}) { errors { code } } }"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "PACE", 0.0)


@pytest.fixture(scope="module")
async def address(app: Starlette) -> AsyncIterator[str]:
    async with serving(app) as found:
        yield found


@pytest.fixture
async def session(rt: Runtime, tenant: Tenant, sign_in: SignIn) -> Session:
    async with rt.database.work(tenant.id) as work:
        user = await add_user(work)
    return sign_in(tenant, user.id)


@pytest.fixture
async def house(rt: Runtime, tenant: Tenant) -> str:
    async with rt.database.work(tenant.id) as work:
        return property_id((await add_property(work)).id)


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(60):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def ask(socket: ClientConnection, operation: str, query: str, **variables: Any) -> None:
    payload = {"query": query, "variables": variables}
    await say(socket, type="subscribe", id=operation, payload=payload)


async def init(socket: ClientConnection, token: str) -> None:
    await say(socket, type="connection_init", payload={"Authorization": f"Bearer {token}"})


@asynccontextmanager
async def signed_in(address: str, token: str, **options: Any) -> AsyncIterator[ClientConnection]:
    async with open_socket(address, **options) as socket:
        await init(socket, token)
        assert await hear(socket) == {"type": "connection_ack"}
        yield socket


async def test_operations_of_all_kinds_go_over_one_socket(
    address: str, session: Session, house: str
) -> None:
    async with signed_in(address, session.token) as socket:
        assert socket.subprotocol == "graphql-transport-ws"
        await ask(socket, "1", ME)
        answer = await hear(socket)
        assert (answer["id"], answer["type"]) == ("1", "next")
        assert answer["payload"]["data"]["me"]["id"]
        assert answer["payload"]["extensions"]["cost"]["actual"] > 0
        assert await hear(socket) == {"id": "1", "type": "complete"}

        await ask(socket, "2", FOLLOW)
        answer = await hear(socket)
        assert answer["payload"]["data"] == {"recommendationsChanged": {"causes": ["SUBSCRIBED"]}}
        # The id of an operation that ended is free.
        await ask(socket, "1", THUMB, house=house)
        heard = [await hear(socket) for _ in range(3)]
        by_id = {(one["id"], one["type"]): one.get("payload") for one in heard}
        assert set(by_id) == {("1", "next"), ("1", "complete"), ("2", "next")}
        followed = by_id["2", "next"]
        assert followed is not None
        assert followed["data"] == {"recommendationsChanged": {"causes": ["FEEDBACK"]}}


async def test_a_completed_subscription_says_nothing_more_and_frees_its_id(
    address: str, session: Session, house: str, rt: Runtime
) -> None:
    async with signed_in(address, session.token) as socket:
        await ask(socket, "1", FOLLOW)
        await hear(socket)
        await say(socket, type="complete", id="1")
        await say(socket, type="complete", id="never begun")
        await ask(socket, "1", THUMB, house=house)
        assert (await hear(socket))["payload"]["data"] == {"submitFeedback": {"errors": []}}
        assert await hear(socket) == {"id": "1", "type": "complete"}
        await say(socket, type="ping", payload={"n": 1})
        assert await hear(socket) == {"type": "pong", "payload": {"n": 1}}
        # The one that tells the socket what its user may do.
        assert len(rt.broker._channels[session.tenant_id].listeners) == 1


async def test_errors_before_an_operation_runs_end_it_and_not_the_socket(
    address: str, session: Session
) -> None:
    async with signed_in(address, session.token) as socket:
        for query, code in [
            ("{", "GRAPHQL_PARSE_FAILED"),
            ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
            ('subscription { jobProgress(jobId: "x") { id } }', "INVALID_INPUT"),
        ]:
            await ask(socket, "1", query)
            answer = await hear(socket)
            assert (answer["id"], answer["type"]) == ("1", "error")
            assert [one["extensions"]["code"] for one in answer["payload"]] == [code]
        await ask(socket, "1", ME)
        assert (await hear(socket))["type"] == "next"


async def test_the_token_may_come_with_the_handshake(address: str, session: Session) -> None:
    header = {"Authorization": f"Bearer {session.token}"}
    async with open_socket(address, additional_headers=header) as socket:
        await say(socket, type="connection_init")
        assert await hear(socket) == {"type": "connection_ack"}


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("{", 4400, "A message is JSON"),
        ("[]", 4400, "A message is a JSON object"),
        (b"{}", 4400, "Send text messages"),
        ("{}", 4400, "Unknown type of message: 'None'"),
        ('{"type": "start"}', 4400, "Unknown type of message: 'start'"),
        ('{"type": "ping", "payload": 1}', 4400, "A payload is an object"),
        ('{"type": "subscribe"}', 4400, "An id is text of 1 to 128 characters"),
        ('{"type": "complete", "id": ""}', 4400, "An id is text of 1 to 128 characters"),
        ('{"type": "subscribe", "id": "1", "payload": {}}', 4400, "query: send the text of a"),
        ('{"type": "subscribe", "id": "1", "payload": {"query": 1}}', 4400, "query: expected a"),
        ('{"type": "connection_init"}', 4429, "Too many initialisation requests"),
        (f'"{"x" * messages.MAX_MESSAGE}"', 1009, ""),
    ],
)
async def test_what_breaks_the_protocol_closes_the_socket(
    address: str, session: Session, message: str | bytes, code: int, reason: str
) -> None:
    async with signed_in(address, session.token) as socket:
        await socket.send(message)
        found = await closed(socket)
    assert found[0] == code
    assert (found[1] or "").startswith(reason)


async def test_nothing_is_answered_before_who_asks_is_known(
    address: str, session: Session, rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_socket(address) as socket:
        await ask(socket, "1", ME)
        assert await closed(socket) == (4401, "Unauthorized")
    async with open_socket(address) as socket:
        await say(socket, type="connection_init")
        assert await closed(socket) == (
            4403, "Forbidden: Send a token: Authorization: Bearer <token>."
        )  # fmt: skip
    async with open_socket(address) as socket:
        await init(socket, session.token + "x")
        assert (await closed(socket))[0] == 4403
    monkeypatch.setattr(websocket, "INIT_WITHIN", 0.05)
    async with open_socket(address) as socket:
        assert await closed(socket) == (4408, "Connection initialisation timeout")


async def test_an_id_in_use_is_refused(address: str, session: Session) -> None:
    async with signed_in(address, session.token) as socket:
        await ask(socket, "one", FOLLOW)
        await ask(socket, "one", FOLLOW)
        assert await closed(socket) == (4409, "Subscriber for one already exists")


async def test_another_subprotocol_is_refused(address: str) -> None:
    async with open_socket(address, subprotocols=["graphql-ws"]) as socket:
        assert await closed(socket) == (4406, "Speak graphql-transport-ws")


async def test_operations_of_a_socket_are_limited(
    address: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_OPERATIONS", 2)
    async with signed_in(address, session.token) as socket:
        for operation in "abc":
            await ask(socket, operation, FOLLOW)
        assert await closed(socket) == (1013, "At most 2 operations at a time")


async def test_who_does_not_read_is_cut_off(
    app: Starlette, address: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SEND_WITHIN", 0.2)
    monkeypatch.setattr(websocket, "CLOSE_WITHIN", 0.1)
    before = app.state.connections._open
    # After one message the client reads no further, and the buffers between them fill.
    options = {"max_queue": 1, "close_timeout": 0.1}
    async with signed_in(address, session.token, **options) as socket:
        assert app.state.connections._open == before + 1
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(1):
                for _ in range(100):
                    await say(socket, type="ping", payload={"much": "x" * 500_000})
        async with asyncio.timeout(30):
            while app.state.connections._open > before:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)
        socket.transport.abort()


async def test_a_socket_ends_with_its_token(
    address: str, session: Session, rt: Runtime, tenant: Tenant
) -> None:
    secret = rt.services.jwt_secret
    token = mint(secret, tenant.id, session.user_id, [Role.VIEWER], timedelta(seconds=2))
    async with signed_in(address, token) as socket:
        await ask(socket, "1", FOLLOW)
        await hear(socket)
        assert await closed(socket) == (4403, "Forbidden: The token has expired.")
    assert tenant.id not in rt.broker._channels


async def test_a_socket_ends_with_its_user(
    address: str, session: Session, rt: Runtime, tenant: Tenant, monkeypatch: pytest.MonkeyPatch,
    app: Starlette,
) -> None:  # fmt: skip
    monkeypatch.setattr(connections, "RECHECK_EVERY", 0.05)
    monkeypatch.setattr(connections, "RECHECKED_AFTER", 0.05)
    async with signed_in(address, session.token) as socket:
        async with rt.database.work(tenant.id) as work:
            await work.session.delete(await users.get(work, session.user_id))
        app.state.authenticator._known.clear()
        code, reason = await closed(socket)
        assert code == 4403
        assert "does not exist" in (reason or "")


async def test_heartbeats(address: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_EVERY", 0.05)
    monkeypatch.setattr(websocket, "PONG_WITHIN", 0.3)
    async with signed_in(address, session.token) as socket:
        assert await hear(socket) == {"type": "ping"}
        await say(socket, type="pong")
        assert await hear(socket) == {"type": "ping"}
        assert await closed(socket) == (4408, "No pong")
    monkeypatch.setattr(websocket, "IDLE_AFTER", 0.0)
    async with signed_in(address, session.token) as socket:
        await ask(socket, "1", FOLLOW)
        while (await hear(socket))["type"] != "ping":
            pass
        await say(socket, type="complete", id="1")
        assert await closed(socket) == (1000, "Idle")


async def test_pages_of_other_sites_may_not_connect_unless_they_are_named(
    rt: Runtime, settings: Settings, address: str
) -> None:
    with pytest.raises(InvalidStatus, match="403") as caught:
        async with open_socket(address, origin="http://evil.example"):
            pass
    assert caught.value.response.headers["X-Content-Type-Options"] == "nosniff"
    async with open_socket(address, origin=f"http://{address}"):
        pass
    named = settings.model_copy(update={"cors_origins": ("https://app.example",)})
    other = build(lambda: nullcontext(rt), named)
    async with other.router.lifespan_context(other), serving(other) as found:
        async with open_socket(found, origin="https://app.example"):
            pass
        with pytest.raises(InvalidStatus, match="403"):
            async with open_socket(found, origin="https://app.example.evil.example"):
                pass


async def test_connections_are_limited_by_tenant_and_together(
    rt: Runtime, settings: Settings, session: Session, other_tenant: Tenant, sign_in: SignIn
) -> None:
    async with rt.database.work(other_tenant.id) as work:
        other = sign_in(other_tenant, (await add_user(work)).id)
    few = settings.model_copy(update={"connection_limit": 2, "tenant_connection_limit": 1})
    app = build(lambda: nullcontext(rt), few)
    async with app.router.lifespan_context(app), serving(app) as address:
        async with signed_in(address, session.token):
            async with open_socket(address) as socket:
                await init(socket, session.token)
                assert await closed(socket) == (1013, "Your tenant has 1 connections; close some")
            async with signed_in(address, other.token):
                with pytest.raises(InvalidStatus, match="503"):
                    async with open_socket(address):
                        pass
        async with signed_in(address, session.token):
            pass


async def test_when_the_server_stops_sockets_are_told_and_nothing_is_left(
    rt: Runtime, settings: Settings, session: Session
) -> None:
    app = build(lambda: nullcontext(rt), settings)
    async with app.router.lifespan_context(app), serving(app) as address:
        tasks = asyncio.all_tasks()
        async with signed_in(address, session.token) as socket:
            await ask(socket, "1", FOLLOW)
            await hear(socket)
            await app.state.connections.close()
            assert await closed(socket) == (1001, "The server is stopping; connect again")
            with pytest.raises(InvalidStatus, match="503"):
                async with open_socket(address):
                    pass
        assert session.tenant_id not in rt.broker._channels
        left = {one for one in asyncio.all_tasks() - tasks if "graph" in repr(one.get_coro())}
        assert not left
