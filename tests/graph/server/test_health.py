"""Whether the process lives, and whether it can answer."""

from contextlib import nullcontext

import httpx
import pytest

from domain.tenants.tenants import Tenant
from graph.app import build
from runtime import Runtime
from settings import Settings

PRODUCTION = Settings.model_construct(environment="production")


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


async def test_production_has_no_page(rt: Runtime) -> None:
    server = build(lambda: nullcontext(rt), PRODUCTION)
    async with server.router.lifespan_context(server):
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            page = await client.get("/graphql", headers={"Accept": "text/html"})
            asset = await client.get("/graphql/assets/start.js")
    assert (page.status_code, asset.status_code) == (406, 404)
