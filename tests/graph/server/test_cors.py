"""Which other sites' pages may ask, by the setting CORS_ORIGINS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import httpx
import pytest

from graph.app import build
from runtime import Runtime
from settings import Settings, SettingsError, load

FRIEND, STRANGER = "https://app.example.com", "https://evil.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}


@asynccontextmanager
async def server(
    rt: Runtime, *origins: str, headers: tuple[str, ...] = ()
) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(_env_file=None, cors_origins=origins, cors_headers=headers)
    app = build(lambda: nullcontext(rt), settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


async def preflight(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    return await client.options("/graphql", headers=PREFLIGHT | {"Origin": origin})


async def ask(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    query = {"query": "{ __typename }"}
    return await client.post("/graphql", json=query, headers={"Origin": origin})


async def test_by_default_no_other_site_is_let_in(rt: Runtime) -> None:
    async with server(rt) as client:
        responses = [await preflight(client, FRIEND), await ask(client, FRIEND)]
    for response in responses:
        assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_a_named_origin_is_let_in_and_no_other(rt: Runtime) -> None:
    async with server(rt, "https://other.example", FRIEND) as client:
        allowed, asked = await preflight(client, FRIEND), await ask(client, FRIEND)
        refused, unread = await preflight(client, STRANGER), await ask(client, STRANGER)
    assert allowed.status_code == 200
    for response in (allowed, asked):
        assert response.headers["Access-Control-Allow-Origin"] == FRIEND
        assert "Origin" in response.headers["Vary"]
    assert asked.json()["data"] == {"__typename": "Query"}
    exposed = {name.strip() for name in asked.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed == {"X-Request-ID", "Retry-After"}
    assert refused.status_code == 400
    for response in (refused, unread):
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("origins", [(FRIEND,), ("*",)])
async def test_credentials_are_never_allowed(rt: Runtime, origins: tuple[str, ...]) -> None:
    async with server(rt, *origins) as client:
        responses = [await preflight(client, FRIEND), await ask(client, FRIEND)]
    for response in responses:
        assert response.headers["Access-Control-Allow-Origin"] in (FRIEND, "*")
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_an_allowed_page_may_get_with_the_header_that_forces_a_preflight(
    rt: Runtime,
) -> None:
    headers = {
        "Origin": FRIEND,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "x-graphql-require-preflight",
    }
    async with server(rt, FRIEND) as client:
        response = await client.options("/graphql", headers=headers)
    assert response.status_code == 200


def test_origins_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", f" {FRIEND} , http://localhost:5173,http://[::1]:3000,")
    assert load().cors_origins == (FRIEND, "http://localhost:5173", "http://[::1]:3000")
    monkeypatch.setenv("CORS_ORIGINS", "")
    assert load().cors_origins == ()


@pytest.mark.parametrize(
    "origin", ["app.example.com", f"{FRIEND}/", f"{FRIEND}/path", "null", "https://*.example.com"]
)
def test_what_is_no_origin_is_refused_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", f"{FRIEND},{origin}")
    with pytest.raises(SettingsError, match="CORS_ORIGINS") as caught:
        load()
    assert repr(origin) in str(caught.value)
    assert "https://example.com" in str(caught.value)


CLIENTS = {
    "Apollo Client": "apollographql-client-name,apollographql-client-version,authorization,"
    "content-type,x-apollo-operation-name,apollo-require-preflight",
    "Apollo Kotlin": "accept,content-type,x-apollo-operation-id,x-apollo-operation-name,"
    "x-apollo-operation-type",
    "urql, graphql-request, Relay": "accept,authorization,content-type,graphql-preflight",
    "Hive": "content-type,graphql-client-name,graphql-client-version,x-graphql-client-name,"
    "x-graphql-client-version",
    "graphql-sse, fetch-event-source": "accept,authorization,cache-control,content-type,"
    "last-event-id",
    "axios": "authorization,content-type,x-request-id,x-requested-with",
    "Sentry": "authorization,baggage,content-type,sentry-trace,traceparent",
    "OpenTelemetry": "authorization,baggage,content-type,traceparent,tracestate",
    "Zipkin": "b3,content-type,x-b3-flags,x-b3-parentspanid,x-b3-sampled,x-b3-spanid,x-b3-traceid",
    "Jaeger": "content-type,uber-trace-id",
    "Datadog": "content-type,traceparent,tracestate,x-datadog-origin,x-datadog-parent-id,"
    "x-datadog-sampling-priority,x-datadog-trace-id",
    "New Relic": "content-type,newrelic,traceparent,tracestate",
    "Elastic APM": "content-type,elastic-apm-traceparent,traceparent,tracestate",
    "Application Insights": "content-type,request-context,request-id,traceparent",
    "CloudWatch": "content-type,x-amzn-trace-id",
}


async def asked_for(client: httpx.AsyncClient, names: str) -> httpx.Response:
    headers = PREFLIGHT | {"Origin": FRIEND, "Access-Control-Request-Headers": names}
    return await client.options("/graphql", headers=headers)


async def test_common_clients_pass_the_preflight(rt: Runtime) -> None:
    async with server(rt, FRIEND) as client:
        for name, headers in CLIENTS.items():
            response = await asked_for(client, headers)
            assert response.status_code == 200, name
            allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
            assert set(headers.split(",")) <= set(allowed), name


async def test_further_headers_pass_by_a_setting(rt: Runtime) -> None:
    async with server(rt, FRIEND) as client:
        assert (await asked_for(client, "x-my-app")).status_code == 400
    async with server(rt, FRIEND, headers=("X-My-App",)) as client:
        assert (await asked_for(client, "x-my-app,traceparent")).status_code == 200


def test_headers_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_HEADERS", " X-My-App ,x-tenant-hint,")
    assert load().cors_headers == ("X-My-App", "x-tenant-hint")
    for name in ("X My App", "*", "X-Ä", "a:b"):
        monkeypatch.setenv("CORS_HEADERS", f"X-My-App,{name}")
        with pytest.raises(SettingsError, match=r"CORS_HEADERS.*write X-My-App") as caught:
            load()
        assert repr(name) in str(caught.value)
