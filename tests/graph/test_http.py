"""What goes over the wire around GraphQL: tokens, errors, limits, media types and health."""

import json
import logging
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from starlette.applications import Starlette

from domain.database import Database
from domain.recommendations import Recommender
from domain.tenants import Tenant
from domain.vocabulary import Role
from graph.app import build
from graph.http.view import MAX_BODY
from graph.identity import mint
from graph.limits.shape import MAX_ALIASES, MAX_DEPTH
from runtime import Runtime
from settings import Settings
from tests.factories import add_user
from tests.graph.conftest import Session, SignIn, user_id

PRODUCTION = Settings.model_construct(environment="production")

ME = "{ me { id externalId email name role } }"


@pytest.fixture
async def analyst(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    return sign_in(tenant, user.id)


async def ask(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.post("/graphql", json={"query": query}, headers=headers)


async def test_a_token_names_who_asks(analyst: Session) -> None:
    answer = await analyst.data(ME)
    assert answer["me"]["id"] == user_id(analyst.user_id)


def claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "sub": str(uuid4()),
        "tenant": str(uuid4()),
        "roles": ["analyst"],
        "iat": now,
        "exp": now + timedelta(minutes=1),
    } | changes


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": LONG_AGO, "iat": LONG_AGO}, "expired"),
        ({"iat": datetime.now(UTC) + timedelta(hours=1)}, "not valid yet"),
        *(({name: None}, name) for name in ("sub", "tenant", "exp", "iat")),
        ({"tenant": str(uuid4())}, "tenant is unknown"),
        ({"roles": ["owner"]}, "'roles' names none of"),
    ],
)
async def test_bad_claims_are_refused(
    rt: Runtime, client: httpx.AsyncClient, changes: dict[str, Any], says: str
) -> None:
    values = {name: value for name, value in claims(**changes).items() if value is not None}
    token = jwt.encode(values, rt.services.jwt_secret, algorithm="HS256")
    (error,) = (await ask(client, ME, Authorization=f"Bearer {token}")).json()["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    assert says in error["message"]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "Send a token"),
        ("", "Send a token"),
        ("Basic abc", "Bearer <token>"),
        ("Bearer", "malformed"),
        ("Bearer x.y.z", "malformed"),
        ("Bearer " + jwt.encode(claims(), "x" * 40, algorithm="HS256"), "not signed"),
        ("Bearer " + jwt.encode(claims(), "", algorithm="none"), "algorithm"),
        ("Bearer " + jwt.encode(claims(), "x" * 64, algorithm="HS512"), "algorithm"),
    ],
)
async def test_without_a_trusted_token_nothing_is_read(
    client: httpx.AsyncClient, header: str | None, says: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    for query in (ME, "mutation { deleteProperty(input: {propertyId: 7}) { errors { code } } }"):
        body = (await ask(client, query, **headers)).json()
        assert body["data"] is None
        assert body["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        assert says in body["errors"][0]["message"]
    assert (await ask(client, "{ __typename }", **headers)).json()["data"] is not None


async def test_the_strongest_of_several_roles_counts(
    rt: Runtime, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    async with rt.database.work(tenant.id) as work:
        user = await add_user(work)
    roles = [Role.VIEWER, Role.ADMIN]
    token = mint(rt.services.jwt_secret, tenant.id, user.id, roles, timedelta(minutes=1))
    query = f'{{ user(id: "{user_id(uuid4())}") {{ id }} }}'
    (error,) = (await ask(client, query, Authorization=f"Bearer {token}")).json()["errors"]
    assert error["extensions"]["code"] == "NOT_FOUND"


async def test_unexpected_errors_are_masked_and_logged_with_the_request(
    analyst: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(Recommender, "recommend", broken)
    query = "{ a: recommendations { edges { cursor } } b: recommendations { edges { cursor } } }"
    response = await analyst.client.post(
        "/graphql",
        json={"query": query},
        headers={"Authorization": f"Bearer {analyst.token}", "X-Request-ID": "abc-1"},
    )
    assert response.headers["X-Request-ID"] == "abc-1"
    assert "hunter2" not in response.text
    error = response.json()["errors"][0]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "abc-1"}
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(failures) == 1
    assert "abc-1" in failures[0].getMessage()
    assert "hunter2" in str(failures[0].exc_info)


@pytest.mark.parametrize("sent", ["", "line\\nbreak", "x" * 200, "spaces in it"])
async def test_odd_request_ids_are_replaced(client: httpx.AsyncClient, sent: str) -> None:
    response = await client.get("/healthz", headers={"X-Request-ID": sent})
    assert len(response.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ("{ me { id ", "GRAPHQL_PARSE_FAILED", "Syntax Error"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED", "Cannot query field 'nothing'"),
        ("{ properties(first: 1.5) { totalCount } }", "GRAPHQL_VALIDATION_FAILED", "Int cannot"),
        ("query ($id: ID!) { node(id: $id) { id } }", "GRAPHQL_VALIDATION_FAILED", "$id"),
        ("{" + "a " * 4000 + "}", "GRAPHQL_PARSE_FAILED", "token"),
        ("#" + "x" * 60_000 + "\n{ me { id } }", "GRAPHQL_PARSE_FAILED", "50000"),
        ("{ me {" * 1000, "GRAPHQL_PARSE_FAILED", ""),
    ],
)
async def test_errors_of_the_document_keep_their_message(
    client: httpx.AsyncClient, query: str, code: str, says: str
) -> None:
    for _ in range(2):  # From the caches too.
        response = await ask(client, query)
        assert response.status_code == 200
        error = response.json()["errors"][0]
        assert error["extensions"]["code"] == code
        assert says in error["message"]
    modern = await ask(client, query, Accept="application/graphql-response+json")
    assert modern.status_code == 400
    assert modern.headers["content-type"].startswith("application/graphql-response+json")
    assert "data" not in modern.json()


async def test_depth_and_aliases_are_bounded(client: httpx.AsyncClient) -> None:
    levels = MAX_DEPTH
    deep = "{ me " + "{ recommendations { edges { node { user " * levels + "{ id }"
    deep += "} } } }" * levels + "}"
    error = (await ask(client, deep)).json()["errors"][0]
    assert "depth" in error["message"]
    wide = "{ me {" + " ".join(f"a{n}: id" for n in range(MAX_ALIASES + 1)) + "} }"
    error = (await ask(client, wide)).json()["errors"][0]
    assert "aliases" in error["message"]


async def test_introspection_fits_the_limits(client: httpx.AsyncClient) -> None:
    from graphql import get_introspection_query

    body = (await ask(client, get_introspection_query())).json()
    assert "errors" not in body


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"7", "application/json"),
        (b"\xff\xfe\xfa", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"{}", "application/json"),
        (b'{"query": 7}', "application/json"),
        (b'{"query": "{ me { id } }"}', "text/plain"),
        (b'{"query": "{ me { id } }", "variables": []}', "application/json"),
    ],
)
async def test_what_is_no_graphql_request_is_told_so(
    client: httpx.AsyncClient, content: bytes, content_type: str
) -> None:
    headers = {"Content-Type": content_type}
    response = await client.post("/graphql", content=content, headers=headers)
    expected = {
        "application/json": (400, "BAD_REQUEST"),
        "text/plain": (415, "UNSUPPORTED_MEDIA_TYPE"),
    }
    code = response.json()["errors"][0]["extensions"]["code"]
    assert (response.status_code, code) == expected[content_type]


async def test_queries_may_come_by_get_and_mutations_may_not(analyst: Session) -> None:
    headers = {"Authorization": f"Bearer {analyst.token}"}
    response = await analyst.client.get("/graphql", params={"query": ME}, headers=headers)
    assert response.json()["data"]["me"]["id"] == user_id(analyst.user_id)
    query = "mutation { deleteProperty(input: {propertyId: 7}) { errors { code } } }"
    response = await analyst.client.get("/graphql", params={"query": query}, headers=headers)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


async def test_large_bodies_are_refused(client: httpx.AsyncClient) -> None:
    body = json.dumps({"query": ME, "variables": {"x": "y" * MAX_BODY}})
    headers = {"Content-Type": "application/json"}
    response = await client.post("/graphql", content=body, headers=headers)
    assert response.status_code == 413


async def test_health_and_readiness(client: httpx.AsyncClient, tenant: Tenant) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    response = await client.get("/readyz")
    assert response.status_code == 200
    parts = response.json()["parts"]
    assert {name: part["status"] for name, part in parts.items()} == dict.fromkeys(
        ("database", "redis", "qdrant", "model", "migrations"), "ok"
    )
    assert parts["migrations"]["revision"] == parts["migrations"]["expected"] is not None
    assert parts["model"]["found"]["tenants"] >= 1
    assert tenant.slug not in response.text


async def test_readiness_fails_with_a_part(
    rt: Runtime, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise ConnectionError("redis://:secret@host")

    monkeypatch.setattr(rt.queue, "ping", refuse)
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["redis"] == {"status": "failed"}
    assert "secret" not in response.text


async def test_a_failure_outside_graphql_is_masked_too(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def opened() -> Any:
        yield rt

    server: Starlette = build(opened, PRODUCTION)
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        # Not started: there is no runtime yet.
        response = await client.get("/readyz")
    assert response.status_code == 500
    assert response.json()["errors"][0]["extensions"]["code"] == "INTERNAL"


async def test_production_has_no_page(rt: Runtime) -> None:
    server = build(lambda: nullcontext(rt), PRODUCTION)
    async with server.router.lifespan_context(server):
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            page = await client.get("/graphql", headers={"Accept": "text/html"})
            asset = await client.get("/graphql/assets/start.js")
    assert (page.status_code, asset.status_code) == (406, 404)
