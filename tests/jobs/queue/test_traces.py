"""The trace of who asked for a job goes over the queue into the worker.

``test_child`` follows it from there into a child.
"""

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from domain.contract import tracing
from domain.tenants.tenants import Tenant
from jobs.queue.runs import Run
from tests.jobs.conftest import Ask
from tests.jobs.working import MakeWorker, finish
from tests.tracing import PARENT, TRACE, trace_of


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
