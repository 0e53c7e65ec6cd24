"""Operations as streams of events, over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import Role
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from graph import subscriptions
from graph.app import build
from graph.identity import mint
from graph.server.http import sse
from runtime import Runtime
from settings import Settings
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn, property_id
from tests.graph.live import serving

ME = "{ me { id } }"
FOLLOW = "subscription { recommendationsChanged { causes } }"
THUMB = """mutation ($house: ID!) { submitFeedback(input: {
    propertyId: $house, sentiment: THUMBS_UP}) { errors { code } } }"""
STREAM = "text/event-stream"
Events = AsyncIterator[tuple[str, Any]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "PACE", 0.0)


@pytest.fixture(scope="module")
async def server(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(app) as address, client_of(address) as opened:
        yield opened


@pytest.fixture
async def session(rt: Runtime, tenant: Tenant, sign_in: SignIn) -> Session:
    async with rt.database.work(tenant.id) as work:
        user = await add_user(work)
    return sign_in(tenant, user.id)


def client_of(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{address}", timeout=20)


@asynccontextmanager
async def streamed(
    server: httpx.AsyncClient,
    token: str | None,
    query: str,
    *,
    method: str = "POST",
    accept: str = STREAM,
    **variables: Any,
) -> AsyncIterator[tuple[httpx.Response, Events]]:
    headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
    asked: dict[str, Any] = {"json": {"query": query, "variables": variables}}
    if method == "GET":
        asked = {"params": {"query": query}}
    async with server.stream(method, "/graphql", headers=headers, **asked) as response:
        yield response, events(response)


async def events(response: httpx.Response) -> Events:
    """Name and data of each event; comments count as events without a name."""
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
            yield name, json.loads(data) if data else None
        elif line == ":":
            yield "", None


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_subscription_is_a_stream(
    rt: Runtime, server: httpx.AsyncClient, tenant: Tenant, session: Session, method: str
) -> None:
    async with streamed(server, session.token, FOLLOW, method=method) as (response, answers):
        assert response.status_code == 200
        assert response.headers["content-type"] == f"{STREAM}; charset=utf-8"
        assert response.headers["cache-control"] == "private, no-store"
        name, body = await anext(answers)
        assert (name, body["data"]) == (
            "next",
            {"recommendationsChanged": {"causes": ["SUBSCRIBED"]}},
        )
        assert body["extensions"]["cost"]["actual"] > 0
        async with rt.database.work(tenant.id) as work:
            await buy_boxes.state(work, session.user_id, BuyBox(cities=("Kent",)))
        _, body = await anext(answers)
        assert body["data"] == {"recommendationsChanged": {"causes": ["BUY_BOX"]}}
    async with asyncio.timeout(60):
        while tenant.id in rt.broker._channels:  # noqa: ASYNC110 - the server finds out by itself
            await asyncio.sleep(0.02)


async def test_queries_and_mutations_are_streams_of_one_answer(
    rt: Runtime, server: httpx.AsyncClient, tenant: Tenant, session: Session
) -> None:
    async with rt.database.work(tenant.id) as work:
        house = property_id((await add_property(work)).id)
    async with streamed(server, session.token, ME) as (_, answers):
        heard = [one async for one in answers]
    assert [name for name, _ in heard] == ["next", "complete"]
    assert heard[0][1]["data"]["me"]["id"]
    async with streamed(server, session.token, THUMB, house=house) as (_, answers):
        assert (await anext(answers))[1]["data"] == {"submitFeedback": {"errors": []}}
    async with streamed(server, session.token, THUMB, method="GET") as (response, _):
        assert response.status_code == 405


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (FOLLOW.replace("Changed", 'Changed(userId: "x")'), "INVALID_INPUT"),
    ],
)
async def test_what_is_refused_is_the_only_event(
    server: httpx.AsyncClient, session: Session, query: str, code: str
) -> None:
    async with streamed(server, session.token, query) as (response, answers):
        assert response.status_code == 200
        heard = [one async for one in answers]
    assert [name for name, _ in heard] == ["next", "complete"]
    assert [one["extensions"]["code"] for one in heard[0][1]["errors"]] == [code]
    assert "data" not in heard[0][1]


async def test_without_a_token_nothing_is_followed(server: httpx.AsyncClient) -> None:
    async with streamed(server, None, FOLLOW) as (_, answers):
        heard = [one async for one in answers]
    assert heard[0][1]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_which_answers_are_streams(server: httpx.AsyncClient, session: Session) -> None:
    """Who accepts both gets a stream for a subscription and JSON for the others."""
    both = f"application/json, {STREAM}"
    async with streamed(server, session.token, ME, accept=both) as (response, _):
        assert response.headers["content-type"].startswith("application/json")
    async with streamed(server, session.token, FOLLOW, accept=both) as (response, _):
        assert response.headers["content-type"].startswith(STREAM)
    async with streamed(server, session.token, FOLLOW, accept="*/*") as (response, _):
        body = json.loads(await response.aread())
    assert body["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    for method, content, status in [("HEAD", None, 406), ("POST", [{"query": ME}], 400)]:
        headers = {"Accept": STREAM, "Authorization": f"Bearer {session.token}"}
        response = await server.request(method, "/graphql", headers=headers, json=content)
        assert response.status_code == status


async def test_a_silent_stream_shows_that_it_lives(
    server: httpx.AsyncClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "BEAT_EVERY", 0.02)
    async with streamed(server, session.token, FOLLOW) as (_, answers):
        heard = [(await anext(answers))[0] for _ in range(4)]
    assert heard.count("") >= 3


async def test_a_stream_ends_with_its_token(
    rt: Runtime, server: httpx.AsyncClient, tenant: Tenant, session: Session
) -> None:
    secret = rt.services.jwt_secret
    token = mint(secret, tenant.id, session.user_id, [Role.VIEWER], timedelta(seconds=2))
    async with streamed(server, token, FOLLOW) as (_, answers):
        async with asyncio.timeout(60):
            heard = [name async for name, _ in answers]
    assert heard == ["next"]
    assert tenant.id not in rt.broker._channels


async def test_streams_are_limited_and_end_with_the_server(
    rt: Runtime, settings: Settings, session: Session
) -> None:
    few = settings.model_copy(update={"connection_limit": 1})
    app = build(lambda: nullcontext(rt), few)
    async with (
        app.router.lifespan_context(app),
        serving(app) as address,
        client_of(address) as server,
        streamed(server, session.token, FOLLOW) as (_, answers),
    ):
        await anext(answers)
        async with streamed(server, session.token, FOLLOW) as (refused, _):
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            (error,) = json.loads(await refused.aread())["errors"]
        assert error["extensions"]["code"] == "TOO_MANY_CONNECTIONS"
        await app.state.connections.close()
        assert [one async for one in answers] == []
    assert session.tenant_id not in rt.broker._channels
