"""The trace of who asked for a job: over the queue into the worker, and from there into a child."""

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from domain import tracing
from domain.tenants import Tenant
from jobs.child import run_cli
from jobs.runs import Run
from tests.jobs.conftest import Ask
from tests.jobs.working import MakeWorker, finish
from tests.tracing import PARENT, TRACE, collecting, trace_of

pytestmark = pytest.mark.slow


async def test_a_job_goes_on_with_the_trace_of_who_asked_for_it(
    exporter: InMemorySpanExporter, ask: Ask, make_worker: MakeWorker, tenant: Tenant
) -> None:
    async def body(run: Run) -> None:
        with tracing.span("inside"):
            await run.report(0.5, "half-way")

    with tracing.span("asking", parent=PARENT):
        await ask(tenant.id, "job")
    await finish(make_worker(body))

    spans = {span.name: span for span in exporter.get_finished_spans()}
    asking, job, inside = (spans[name] for name in ("asking", "job job", "inside"))
    assert {trace_of(span) for span in (asking, job, inside)} == {TRACE}
    assert job.context is not None
    assert inside.parent is not None
    assert inside.parent.span_id == job.context.span_id


@pytest.mark.usefixtures("environment")
async def test_a_child_goes_on_with_the_trace_of_its_job(
    exporter: InMemorySpanExporter, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with tracing.span("job", parent=PARENT):
            run = "00000000-0000-4000-8000-000000000000"
            # There is too little to train from.
            said = await run_cli(["train", f"--tenant={tenant.slug}", f"--job-run={run}"])
    assert said.keys() == {"refused"}

    job = exporter.get_finished_spans()[-1]
    assert job.context is not None
    body = b"".join(part for _, part in got)
    assert b"twin-training" in body
    assert bytes.fromhex(TRACE) in body
    assert job.context.span_id.to_bytes(8, "big") in body
