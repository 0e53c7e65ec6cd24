"""Errors as they go over the wire: expected ones say what they are, all others are masked."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query

from domain.recommendations.recommender import Recommender
from graph.app import build
from graph.limits.shape import MAX_ALIASES, MAX_DEPTH
from runtime import Runtime
from settings import Settings
from tests.graph.conftest import Session


async def ask(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.post("/graphql", json={"query": query}, headers=headers)


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
    body = (await ask(client, get_introspection_query())).json()
    assert "errors" not in body


async def test_a_failure_outside_graphql_is_masked_too(rt: Runtime, settings: Settings) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Runtime]:
        yield rt

    server = build(opened, settings)
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        # Not started: there is no runtime yet.
        response = await client.get("/readyz")
    assert response.status_code == 500
    assert response.json()["errors"][0]["extensions"]["code"] == "INTERNAL"
