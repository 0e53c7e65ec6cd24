"""Subscriptions over processes of their own: two servers, a worker, and a Redis that restarts."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect

import embedded
import runtime
from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.jobs import job_runs
from domain.tenants.tenants import Tenant
from graph.core.nodes import global_id
from graph.identity import mint
from tests.cli.conftest import StartTwin
from tests.factories import add_property, add_user

pytestmark = pytest.mark.slow

LIST = "subscription { recommendationsChanged { causes } }"
JOBS = "subscription { jobProgress { function status } }"
THUMB = """mutation ($house: ID!, $way: Sentiment!) {
    submitFeedback(input: {propertyId: $house, sentiment: $way}) { errors { code } } }"""
REINDEX = "mutation { startReindex(input: {}) { errors { code } } }"


@asynccontextmanager
async def following(address: str, token: str, *queries: str) -> AsyncIterator[ClientConnection]:
    """A socket on which those are subscribed to, by their place as id."""
    options: Any = {"subprotocols": ["graphql-transport-ws"]}
    async with connect(f"ws://{address}/graphql", **options) as opened:
        authorization = {"Authorization": f"Bearer {token}"}
        await opened.send(json.dumps({"type": "connection_init", "payload": authorization}))
        for place, query in enumerate(queries):
            asked = {"type": "subscribe", "id": str(place), "payload": {"query": query}}
            await opened.send(json.dumps(asked))
        yield opened


async def until(opened: ClientConnection, field: str, wanted: Callable[[Any], bool]) -> None:
    """Read on until a field's event is as wanted."""
    async with asyncio.timeout(60):
        while True:
            message = json.loads(await opened.recv())
            assert message["type"] != "error", message
            data = message.get("payload", {}).get("data", {})
            if field in data and wanted(data[field]):
                return


def caused_by(cause: str) -> Callable[[Any], bool]:
    return lambda event: cause in event["causes"]


def reindexed(event: Any) -> bool:
    return bool(event == {"function": job_runs.REINDEX, "status": "SUCCEEDED"})


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def answering(address: str) -> None:
    async with asyncio.timeout(120), httpx.AsyncClient() as client:
        while True:
            try:
                assert (await client.get(f"http://{address}/healthz")).status_code == 200
                return
            except httpx.TransportError:
                await asyncio.sleep(0.1)


@pytest.fixture
def start(
    start_twin: StartTwin,
    services: runtime.Services,
    service_environment: dict[str, str],
    tmp_path: Path,
) -> Callable[..., psutil.Popen]:
    """Starts a command on the tests' services but for a Redis of its own."""
    redis_url = embedded.ensure(tmp_path, postgres=False, qdrant=False).redis_url
    assert redis_url is not None
    return lambda *arguments: start_twin(*arguments, **service_environment, REDIS_URL=redis_url)


async def test_what_happens_in_one_process_is_told_by_the_others(
    start: Callable[..., psutil.Popen],
    services: runtime.Services,
    database: Database,
    tenant: Tenant,
    tmp_path: Path,
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work, role=Role.ADMIN)
        house = await add_property(work)
    token = mint(services.jwt_secret, tenant.id, user.id, [Role.ADMIN], timedelta(hours=1))
    a, b = free_address(), free_address()
    first, second = (start("api", *one.split(":"), "1") for one in (a, b))
    worker = start("worker", "--queue=indexing")
    await asyncio.gather(answering(a), answering(b))

    async def mutate(address: str, query: str, variables: dict[str, str], field: str) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            response = await client.post(
                f"http://{address}/graphql",
                json={"query": query, "variables": variables},
                headers={"Authorization": f"Bearer {token}"},
            )
        assert response.json()["data"] == {field: {"errors": []}}

    async def thumb(address: str, way: str) -> None:
        variables = {"house": global_id("Property", house.id), "way": way}
        await mutate(address, THUMB, variables, "submitFeedback")

    async with (
        following(a, token, LIST, JOBS) as on_a,
        following(b, token, JOBS) as on_b,
    ):
        await until(on_a, "recommendationsChanged", caused_by("SUBSCRIBED"))
        await thumb(b, "THUMBS_UP")
        await until(on_a, "recommendationsChanged", caused_by("FEEDBACK"))
        await mutate(b, REINDEX, {}, "startReindex")
        await until(on_a, "jobProgress", reindexed)
        await until(on_b, "jobProgress", reindexed)

        redis = embedded.status(tmp_path)["redis"].pid
        assert redis is not None
        os.kill(redis, signal.SIGKILL)
        await until(on_a, "recommendationsChanged", caused_by("MISSED"))
        await thumb(b, "THUMBS_DOWN")
        await until(on_a, "recommendationsChanged", caused_by("FEEDBACK"))

        second.kill()
        await on_b.wait_closed()
        await thumb(a, "THUMBS_UP")
        await until(on_a, "recommendationsChanged", caused_by("FEEDBACK"))

        first.terminate()
        await on_a.wait_closed()
        assert on_a.close_code == 1001
    assert await asyncio.to_thread(first.wait, 20) in (0, -signal.SIGTERM)
    assert worker.poll() is None
    said = (tmp_path / "out.log").read_text()
    assert "did not end in time" not in said
    assert "Task was destroyed" not in said
