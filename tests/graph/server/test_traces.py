"""Spans from the request down to the index, by OpenTelemetry's own SDK."""

import asyncio
import json
from uuid import uuid4

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import telemetry
from domain.contract import log_context, tracing
from domain.core.database import Database
from domain.jobs import job_runs
from domain.tenants.tenants import Tenant
from settings import Settings
from tests.factories import Town
from tests.graph.conftest import SignIn, user_id
from tests.graph.server.page import scrape
from tests.tracing import PARENT, TRACE, trace_of


def path(span: ReadableSpan, spans: dict[int, ReadableSpan]) -> list[str]:
    """The names from the outermost span to this one."""
    names = []
    found: ReadableSpan | None = span
    while found is not None:
        names.append(found.name)
        found = spans.get(found.parent.span_id) if found.parent else None
    return names[::-1]


async def test_a_request_is_a_tree_of_spans(
    exporter: InMemorySpanExporter, town: Town, sign_in: SignIn, client: httpx.AsyncClient
) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    response = await client.post(
        "/graphql",
        content=json.dumps({"query": "query Secret { recommendations { edges { cursor } } }"}),
        headers={
            "Authorization": f"Bearer {session.token}",
            "Content-Type": "application/json",
            "X-Request-ID": "mine",
            "traceparent": PARENT,
        },
    )
    assert "errors" not in response.json()
    finished = exporter.get_finished_spans()
    spans = {span.context.span_id: span for span in finished if span.context}
    paths = {" > ".join(path(span, spans)) for span in finished}
    below = "request > query recommendations"
    assert {"request", below, f"{below} > database read", f"{below} > twin rank"} <= paths
    assert f"{below} > twin rank > index candidates" in paths
    assert {trace_of(span) for span in finished} == {TRACE}
    (ranked,) = (span for span in finished if span.name == "twin rank")
    assert ranked.attributes == {
        "twin.request_id": "mine",
        "twin.tenant_id": str(town.tenant.id),
    }
    assert not [span.name for span in finished if "Secret" in span.name]


@pytest.mark.parametrize("query", ["{ me { id } }", "query ($id: ID!) { user(id: $id) { id } }"])
async def test_looking_up_a_user_opens_no_session(
    exporter: InMemorySpanExporter, town: Town, sign_in: SignIn, query: str
) -> None:
    session = sign_in(town.tenant, town.southerners[0])
    await session.post(query, **({"id": user_id(session.user_id)} if "$id" in query else {}))
    names = {span.name for span in exporter.get_finished_spans()}
    assert "database read" in names
    assert "database work" not in names


@pytest.mark.parametrize("sent", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
async def test_a_malformed_parent_begins_a_trace_of_its_own(
    exporter: InMemorySpanExporter, client: httpx.AsyncClient, sent: str
) -> None:
    await client.post("/graphql", json={"query": "{ __typename }"}, headers={"traceparent": sent})
    (request,) = (one for one in exporter.get_finished_spans() if one.name == "request")
    assert request.parent is None


async def test_health_and_metrics_leave_no_spans(
    exporter: InMemorySpanExporter, client: httpx.AsyncClient
) -> None:
    await client.get("/healthz")
    assert exporter.get_finished_spans() == ()
    await scrape(client)
    assert {span.name for span in exporter.get_finished_spans()} <= {
        "database work",
        "database read",
    }


async def test_without_a_trace_a_job_has_none(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        assert (await job_runs.request(work, job_runs.REINDEX)).trace is None


def test_a_child_goes_on_with_the_trace_and_says_its_run(
    exporter: InMemorySpanExporter, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracing.span("job", parent=PARENT):
        given = tracing.environment()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    run = str(uuid4())
    with telemetry.child(settings, "training", run_id=run):
        assert log_context.fields() == {"run_id": run}
    span = exporter.get_finished_spans()[-1]
    assert (span.name, trace_of(span)) == ("training", TRACE)
    assert span.attributes == {"twin.run_id": run}


async def test_tasks_have_traces_of_their_own(exporter: InMemorySpanExporter) -> None:
    async def one(name: str) -> str | None:
        with tracing.span(name):
            await asyncio.sleep(0)
            return tracing.traceparent()

    first, second = await asyncio.gather(one("a"), one("b"))
    assert first
    assert second
    assert first.split("-")[1] != second.split("-")[1]
    assert tracing.traceparent() is None


def test_an_error_is_noted_in_its_span_by_its_type_alone(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ZeroDivisionError), tracing.span("dividing"):
        _ = 1 / 0
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert span.attributes == {"error.type": "builtins.ZeroDivisionError"}
    assert (span.status.description, span.events) == (None, ())


async def test_no_value_of_a_row_is_in_an_error_of_the_database_or_its_span(
    exporter: InMemorySpanExporter, database: Database, tenant: Tenant
) -> None:
    failing = text("SELECT CAST(:address AS text), 1 / 0")
    with pytest.raises(DBAPIError, match="division by zero") as failed:
        async with database.work(tenant.id) as work:
            await work.session.execute(failing, {"address": "1 Hidden Lane"})
    span = exporter.get_finished_spans()[-1]
    assert "Hidden" not in str(failed.value)
    assert "Hidden" not in span.to_json()
    assert (span.attributes or {})["error.type"] == "sqlalchemy.exc.DBAPIError"
