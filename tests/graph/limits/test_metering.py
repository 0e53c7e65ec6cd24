"""What operations cost and may cost, as clients see it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from typing import Any

import httpx
import pytest

from domain.core.database import Database
from domain.tenants.tenants import Tenant
from graph.app import build
from runtime import Runtime
from settings import Settings, SettingsError, load
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn

RESPONSE_TYPE = "application/graphql-response+json"
PAGE = "query ($n: Int) { properties(first: $n) { edges { node { id affinity } } } }"
"""11 points, and 3 for each property."""

Serve = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def serve(rt: Runtime, settings: Settings) -> AsyncIterator[Serve]:
    """Makes servers, each with limits of its own."""
    async with AsyncExitStack() as stack:

        async def start(**limits: Any) -> httpx.AsyncClient:
            server = build(lambda: nullcontext(rt), settings.model_copy(update=limits))
            await stack.enter_async_context(server.router.lifespan_context(server))
            transport = httpx.ASGITransport(server)
            client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
            return await stack.enter_async_context(client)

        yield start


async def member(database: Database, tenant: Tenant, sign_in: SignIn, houses: int = 0) -> Session:
    async with database.work(tenant.id) as work:
        for _ in range(houses):
            await add_property(work)
        return sign_in(tenant, (await add_user(work)).id)


@pytest.fixture
async def investor(database: Database, tenant: Tenant, sign_in: SignIn) -> Session:
    """In a tenant of three properties."""
    return await member(database, tenant, sign_in, houses=3)


async def ask(
    client: httpx.AsyncClient,
    session: Session | None,
    query: str,
    accept: str = "",
    **variables: Any,
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {session.token}"} if session else {}
    content = {"query": query, "variables": variables}
    return await client.post(
        "/graphql", json=content, headers=headers | {"Accept": accept or "*/*"}
    )


async def test_each_answer_says_what_it_cost(serve: Serve, investor: Session) -> None:
    client = await serve(cost_limit=5000, rate_limit_capacity=10_000, rate_limit_refill=1)
    body = (await ask(client, investor, PAGE, n=50)).json()
    cost = body["extensions"]["cost"]
    assert (cost["asked"], cost["actual"], cost["limit"]) == (11 + 3 * 50, 11 + 3 * 3, 5000)
    assert 9980 <= cost["remaining"] <= 9985
    body = (await ask(client, investor, "{ me { id } me { name } }")).json()
    assert 9979 <= body["extensions"]["cost"].pop("remaining") <= 9989
    assert body["extensions"]["cost"] == {"asked": 1, "actual": 1, "limit": 5000}


@pytest.mark.parametrize("accept", ["application/json", RESPONSE_TYPE])
async def test_what_costs_too_much_is_refused_before_it_runs(
    serve: Serve, investor: Session, statements: list[str], accept: str
) -> None:
    client = await serve(cost_limit=100)
    assert "errors" not in (await ask(client, investor, PAGE, accept, n=29)).json()
    statements.clear()
    response = await ask(client, investor, PAGE, accept, n=30)
    assert statements == []
    assert response.status_code == (400 if accept == RESPONSE_TYPE else 200)
    assert response.json() == {
        "errors": [
            {
                "message": "cost 101: at most 100; ask for fewer items or fields",
                "extensions": {"code": "COST_LIMIT_EXCEEDED"},
            }
        ],
        "extensions": {"cost": {"asked": 101, "limit": 100}},
    }


@pytest.mark.parametrize("accept", ["application/json", RESPONSE_TYPE])
async def test_a_tenant_that_has_spent_its_points_is_told_when_to_come_back(
    serve: Serve,
    investor: Session,
    database: Database,
    other_tenant: Tenant,
    sign_in: SignIn,
    statements: list[str],
    accept: str,
) -> None:
    limits = {"cost_limit": 300, "rate_limit_capacity": 300, "rate_limit_refill": 1}
    one, other = await serve(**limits), await serve(**limits)
    spent = [await ask(client, investor, PAGE, n=96) for client in (one, other) for _ in range(30)]
    assert any("errors" in response.json() for response in spent)
    statements.clear()
    response = await ask(other, investor, PAGE, accept, n=96)
    assert statements == []
    body = response.json()
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert "cost 299:" in error["message"]
    assert "of 300, which gain 1 a second" in error["message"]
    cost = body["extensions"]["cost"]
    # It gains a point a second, and needs what lacks.
    wait = error["extensions"]["retryAfter"]
    assert 299 - cost["remaining"] <= wait + 10
    assert response.headers["Retry-After"] == str(wait)
    assert response.status_code == (429 if accept == RESPONSE_TYPE else 200)
    # What another tenant may spend is its own.
    stranger = await member(database, other_tenant, sign_in)
    assert "errors" not in (await ask(other, stranger, PAGE, n=96)).json()


async def test_what_was_not_spent_is_given_back(serve: Serve, investor: Session) -> None:
    limits = {"cost_limit": 300, "rate_limit_capacity": 300, "rate_limit_refill": 1}
    client = await serve(**limits)
    # Each asks for nearly all that there is, and uses 20 of it.
    for _ in range(2):
        body = (await ask(client, investor, PAGE, n=80)).json()
        assert body["extensions"]["cost"]["actual"] == 20
    # Variables that do not fit cost nothing.
    for _ in range(30):
        body = (await ask(client, investor, PAGE, n="many")).json()
        assert body["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    body = (await ask(client, investor, "{ me { id } }")).json()
    assert body["extensions"]["cost"]["remaining"] >= 250


async def test_who_is_not_known_spends_nobodys_points(serve: Serve) -> None:
    client = await serve(cost_limit=300, rate_limit_capacity=300, rate_limit_refill=1)
    for _ in range(3):
        body = (await ask(client, None, PAGE, n=90)).json()
        assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert body["extensions"]["cost"] == {"asked": 281, "actual": 10, "limit": 300}


async def test_the_rate_need_not_be_limited(serve: Serve, investor: Session) -> None:
    client = await serve(cost_limit=300, rate_limit_capacity=300, rate_limit_refill=0)
    for _ in range(20):
        body = (await ask(client, investor, PAGE, n=96)).json()
        assert body["extensions"]["cost"] == {"asked": 299, "actual": 20, "limit": 300}


async def test_the_schema_is_not_told_in_production(serve: Serve, investor: Session) -> None:
    development = await serve()
    production = await serve(environment="production", redis_url="unix:///nowhere")
    told = await serve(environment="production", introspection=True, suggestions=True)
    for client, answers in ((development, True), (production, False), (told, True)):
        body = (await ask(client, investor, "{ __schema { queryType { name } } }")).json()
        assert ("data" in body) is answers
        (error,) = (await ask(client, investor, "{ mee }")).json()["errors"]
        assert ("Did you mean" in error["message"]) is answers


def test_a_bucket_must_hold_the_dearest_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COST_LIMIT", "300")
    monkeypatch.setenv("RATE_LIMIT_CAPACITY", "299")
    with pytest.raises(SettingsError, match=r"RATE_LIMIT_CAPACITY 299: use at least .* 300"):
        load()
