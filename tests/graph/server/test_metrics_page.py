"""What the page shows of the database and the queues, to whom, and what it does when they fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import Metric
from pydantic import SecretStr
from sqlalchemy import update
from starlette.applications import Starlette
from starlette.routing import Route

from domain.core.database import Database
from domain.core.work import Work
from domain.jobs import index_outbox, job_runs
from domain.jobs.index_outbox import IndexMark, Marked
from domain.jobs.job_runs import JobRun
from domain.model_registry import drift, model_versions
from domain.model_registry.model_versions import ModelVersion
from domain.monitoring import collector
from domain.monitoring.collector import Collector, Read, read_database, read_queues
from domain.tenants.tenants import Tenant
from graph.app import build
from graph.server.metrics_page import MetricsPage
from runtime import Runtime
from settings import Settings
from tests.factories import add_property, add_user
from tests.graph.server.page import Page, scrape

TOKEN = "sixteen-or-more-characters"
GATES: list[dict[str, Any]] = [
    {"gate": "f1", "value": 0.7, "bound": 0.6, "passed": True},
    {"gate": "finite", "value": None, "bound": None, "passed": False},
]


@asynccontextmanager
async def served(
    rt: Runtime, settings: Settings, address: str | None = "127.0.0.1", **given: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A server of its own, which has read nothing yet, and who asks it from that address."""
    server = build(lambda: nullcontext(rt), settings.model_copy(update=given))
    async with server.router.lifespan_context(server):
        client_address = None if address is None else (address, 4711)
        transport = httpx.ASGITransport(server, client=client_address)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


@asynccontextmanager
async def served_with(rt: Runtime, read: Read) -> AsyncIterator[httpx.AsyncClient]:
    """The page alone, where the database is read in this way."""
    queues = partial(read_queues, rt.queue.state)
    page = MetricsPage(Collector({"database": read, "redis": queues}), None)
    server = Starlette(routes=[Route("/metrics", page.__call__)])
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await page.close()


async def page_of(rt: Runtime, settings: Settings) -> Page:
    async with served(rt, settings) as client:
        return await scrape(client)


async def add_version(work: Work, refusal: str | None = None) -> Any:
    version = await model_versions.add(work, b"weights", {}, {})
    await model_versions.judge(work, version.id, GATES, refusal)
    return version


async def test_index_lag_of_each_tenant(
    rt: Runtime, settings: Settings, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        await index_outbox.mark(work, Marked.PROPERTY, [uuid4(), uuid4()])
        long_ago = datetime.now(UTC) - timedelta(minutes=5)
        await work.session.execute(update(IndexMark).values(created_at=long_ago))
        await index_outbox.mark(work, Marked.USER, [uuid4()])
    page = await page_of(rt, settings)
    assert page("twin_index_marks", tenant=tenant.slug) == 3
    assert 300 <= (page("twin_index_oldest_mark_seconds", tenant=tenant.slug) or 0) < 400
    assert page("twin_index_marks", tenant=other_tenant.slug) == 0
    assert page("twin_index_oldest_mark_seconds", tenant=other_tenant.slug) == 0
    assert (page("twin_tenants") or 0) >= 2
    assert page("twin_scrape_success", source="database") == 1


async def test_versions_gates_and_drift_of_each_tenant(
    rt: Runtime, settings: Settings, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        first = await add_version(work)
        await model_versions.begin_filling(work, first.id)
        await model_versions.complete(work, first.id)
        await model_versions.activate(work, first.id)
        await drift.record(work, first.id, {"price": 0.3, "age": 0.05, "days_on_market": 9.0}, 0.02)
        await add_version(work, "worse than before")
    page = await page_of(rt, settings)
    of = {"tenant": tenant.slug}
    assert page("twin_model_version", **of) == 1
    trained = page("twin_model_trained_timestamp_seconds", **of)
    assert trained == pytest.approx(datetime.now(UTC).timestamp(), abs=120)
    assert page("twin_model_refused", **of) == 1
    assert page("twin_model_gate_passed", gate="f1", **of) == 1
    assert page("twin_model_gate_value", gate="f1", **of) == 0.7
    assert page("twin_model_gate_bound", gate="f1", **of) == 0.6
    assert page("twin_model_gate_passed", gate="finite", **of) == 0
    assert page("twin_model_gate_value", gate="finite", **of) is None
    assert page("twin_drift_level", **of) == 2
    assert page("twin_drift_score", **of) == 0.02
    assert page("twin_drift_features", **of) == 0.3
    unknown = {one["tenant"] for name in page.names for one in page.labels(name) if "tenant" in one}
    assert other_tenant.slug in unknown
    for name in ("twin_model_version", "twin_model_refused", "twin_drift_level"):
        assert page(name, tenant=other_tenant.slug) is None
    judged = {one["tenant"] for one in page.labels("twin_model_gate_passed")}
    assert tenant.slug in judged
    assert other_tenant.slug not in judged


async def test_job_runs_of_all_tenants_together(
    rt: Runtime, settings: Settings, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    before = await page_of(rt, settings)
    for one in (tenant, other_tenant):
        async with database.work(one.id) as work:
            run = await job_runs.request(work, job_runs.REINDEX)
            await job_runs.start(work, run.id)
            await job_runs.succeed(work, run.id, {})
            started = datetime.now(UTC) - timedelta(seconds=40)
            await work.session.execute(update(JobRun).values(started_at=started))
    async with database.work(tenant.id) as work:
        old = await job_runs.request(work, job_runs.TRAIN)
        await job_runs.start(work, old.id)
        await job_runs.park(work, old.id, "kept failing")
        long_ago = datetime.now(UTC) - timedelta(days=9)
        await work.session.execute(
            update(JobRun)
            .where(JobRun.id == old.id)
            .values(created_at=long_ago, finished_at=long_ago)
        )
        gone = await job_runs.request(work, job_runs.TRAIN)
        await job_runs.start(work, gone.id)
        await job_runs.fail(work, gone.id, "failed")
        await work.session.execute(
            update(JobRun).where(JobRun.id == gone.id).values(finished_at=long_ago)
        )
    page = await page_of(rt, settings)

    def more(name: str, **labels: str) -> float:
        return (page(name, **labels) or 0) - (before(name, **labels) or 0)

    assert more("twin_job_runs", function="reindex", status="succeeded") == 2
    assert more("twin_job_runs", function="train_twin", status="parked") == 1
    assert more("twin_job_runs", function="train_twin", status="failed") == 0
    assert more("twin_job_seconds_bucket", function="reindex", le="15.0") == 0
    assert more("twin_job_seconds_bucket", function="reindex", le="60.0") == 2
    assert more("twin_job_seconds_bucket", function="reindex", le="+Inf") == 2
    assert more("twin_job_seconds_gsum", function="reindex") == pytest.approx(80, abs=10)


async def test_queues_and_their_workers(
    rt: Runtime, settings: Settings, tenant: Tenant, database: Database
) -> None:
    redis = rt.queue._redis
    now = datetime.now(UTC).timestamp() * 1000
    # Other tests of the session may have left jobs that no worker takes.
    await redis.delete("twin:training")
    await redis.zadd("twin:training", {"due": now - 1000, "later": now + 3_600_000})
    await redis.set("twin:training:health-check", "alive")
    try:
        page = await page_of(rt, settings)
    finally:
        await redis.delete("twin:training", "twin:training:health-check")
    assert page("twin_queue_jobs", queue="twin:training") == 1
    assert page("twin_queue_workers_alive", queue="twin:training") == 1
    assert page("twin_queue_workers_alive", queue="twin:indexing") == 0


async def test_nothing_of_a_tenants_rows_is_told(
    rt: Runtime, settings: Settings, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        house = await add_property(work, address="1 Hidden Lane", city="Nowhere-on-Sea")
        user = await add_user(work, email="somebody@hidden.example")
        version = await add_version(work, "a reason for the tenant alone")
        run = await job_runs.request(work, job_runs.TRAIN, {"seed": 4711_4711_4711})
        await job_runs.start(work, run.id)
        await job_runs.fail(work, run.id, "an error for the operator's log", "why")
    page = await page_of(rt, settings)
    rows = [house.id, user.id, version.id, run.id, tenant.id]
    told = ["Hidden", "hidden.example", "a reason", "an error", "471147114711", *map(str, rows)]
    assert [secret for secret in told if secret in page.text] == []
    labels = {label for name in page.names for one in page.labels(name) for label in one}
    assert labels <= {
        *(
            "transport",
            "status",
            "operation",
            "kind",
            "code",
            "place",
            "loader",
            "le",
            "method",
            "answer",
        ),
        *("device", "search", "tenant", "gate", "function", "queue", "source", "generation"),
        *("implementation", "major", "minor", "patchlevel", "version"),
    }


async def test_who_may_ask(rt: Runtime, settings: Settings) -> None:
    production: dict[str, Any] = {"environment": "production"}
    async with served(rt, settings, **production) as client:
        assert (await client.get("/metrics")).status_code == 404
    for given in ({"metrics_token": SecretStr(TOKEN)}, {}):
        options: dict[str, Any] = {"metrics_token": SecretStr(TOKEN)}
        async with served(rt, settings, **options, **(production if given else {})) as client:
            for wrong in ("", TOKEN, f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}", "Bearer é"):
                sent = {b"Authorization": wrong.encode()} if wrong else {}
                refused = await client.get("/metrics", headers=sent)
                assert refused.status_code == 401, wrong
                assert "twin_" not in refused.text
            assert (await scrape(client, TOKEN)).names
            assert (await client.post("/metrics")).status_code == 405


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", None])
async def test_without_a_token_this_machine_may_ask_in_development(
    rt: Runtime, settings: Settings, address: str | None
) -> None:
    async with served(rt, settings, address) as client:
        assert (await scrape(client)).names


@pytest.mark.parametrize("address", ["10.0.0.1", "fe80::1", "::ffff:10.0.0.1", "localhost", ""])
async def test_without_a_token_nobody_else_may(
    rt: Runtime, settings: Settings, address: str
) -> None:
    async with served(rt, settings, address) as client:
        assert (await client.get("/metrics")).status_code == 404
    async with served(rt, settings, address, metrics_token=SecretStr(TOKEN)) as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await scrape(client, TOKEN)).names


async def test_a_tenant_that_cannot_be_read_hides_no_other(
    rt: Runtime,
    settings: Settings,
    database: Database,
    tenant: Tenant,
    other_tenant: Tenant,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with database.work(tenant.id) as work:
        version = await add_version(work)
        await work.session.execute(update(ModelVersion).values(gates=[{"unheard": "of"}]))
    try:
        page = await page_of(rt, settings)
    finally:
        async with database.work(tenant.id) as work:
            await work.session.execute(
                update(ModelVersion).where(ModelVersion.id == version.id).values(gates=GATES)
            )
    assert page("twin_tenants_unread") == 1
    assert page("twin_index_marks", tenant=tenant.slug) is None
    assert page("twin_index_marks", tenant=other_tenant.slug) == 0
    assert page("twin_scrape_success", source="database") == 1
    assert str(tenant.id) in caplog.text
    assert (await page_of(rt, settings))("twin_tenants_unread") == 0


async def test_a_source_that_fails_is_told_and_leaves_no_figures(
    rt: Runtime, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = False

    async def read() -> list[Metric]:
        if down:
            raise ConnectionError("postgresql://twin_app:secret@host")
        return await read_database(rt.database)

    monkeypatch.setattr(collector, "MIN_REUSE", 0.0)
    monkeypatch.setattr(collector, "COST", 0)
    async with served_with(rt, read) as client:
        page = await scrape(client)
        assert page("twin_index_marks", tenant=tenant.slug) == 0
        down = True
        page = await scrape(client)
        assert page("twin_scrape_success", source="database") == 0
        assert page("twin_scrape_success", source="redis") == 1
        assert page("twin_tenants") is None
        assert not page.labels("twin_index_marks")
        assert page("twin_queue_jobs", queue="twin:indexing") is not None
        assert "secret" not in page.text
        down = False
        page = await scrape(client)
        assert page("twin_index_marks", tenant=tenant.slug) == 0


async def test_a_source_that_hangs_holds_nobody_up(
    rt: Runtime, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()
    readings = 0

    async def read() -> list[Metric]:
        nonlocal readings
        readings += 1
        await released.wait()
        return await read_database(rt.database)

    monkeypatch.setattr(collector, "PATIENCE", 0.01)
    async with served_with(rt, read) as client:
        pages = await asyncio.gather(*(scrape(client) for _ in range(3)))
        assert [page("twin_scrape_success", source="database") for page in pages] == [0, 0, 0]
        assert readings == 1
        monkeypatch.setattr(collector, "PATIENCE", 30.0)
        released.set()
        page = await scrape(client)
        assert page("twin_index_marks", tenant=tenant.slug) == 0
        assert readings == 1


async def test_what_is_read_is_kept_for_a_while(rt: Runtime) -> None:
    readings = 0

    async def read() -> list[Metric]:
        nonlocal readings
        readings += 1
        return await read_database(rt.database)

    async with served_with(rt, read) as client:
        await scrape(client)
        await scrape(client)
    assert readings == 1
