"""Traces, where they are configured: spans of what takes time, over tasks, queues and processes.

OpenTelemetry is an extra that most installations do without. Until ``use`` is given a tracer,
nothing of it is imported and a span costs a call.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

from domain.contract import log_context

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

Kind = Literal["INTERNAL", "SERVER", "PRODUCER", "CONSUMER"]

HEADER = "traceparent"
"""Where W3C's Trace Context says what a request is part of."""

ENVIRONMENT = "TRACEPARENT"
"""The variable that says it to a child process."""

_OFF: AbstractContextManager[None] = nullcontext()
_tracer: "Tracer | None" = None


def use(tracer: "Tracer | None") -> None:
    """Have spans made by this tracer from now on; by None for none."""
    global _tracer  # noqa: PLW0603 - one for the process, as the log has one root
    _tracer = tracer


def on() -> bool:
    """Whether there are traces."""
    return _tracer is not None


def span(
    name: str, *, parent: str | None = None, kind: Kind = "INTERNAL", **attributes: str | int
) -> AbstractContextManager[None]:
    """Time the block as a part of what goes on in this task; an error's type is noted, no more.

    Args:
        name: what it is: one of few, without anybody's input.
        parent: a ``traceparent`` from elsewhere that it belongs to; one that is malformed counts
            as none.
        kind: OpenTelemetry's.
        attributes: further facts. Those of the log's context are added.
    """
    return _OFF if _tracer is None else _span(_tracer, name, parent, kind, attributes)


@contextmanager
def _span(
    tracer: "Tracer", name: str, parent: str | None, kind: Kind, attributes: dict[str, str | int]
) -> Iterator[None]:
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({HEADER: parent}) if parent else None
    known: dict[str, str | int] = {**log_context.fields(), **attributes}
    with tracer.start_as_current_span(
        name,
        context,
        SpanKind[kind],
        {f"twin.{key}": value for key, value in known.items()},
        # The text of an error may hold anybody's data, such as a row that the database refused.
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield
        except Exception as error:
            kind_of = type(error)
            made.set_attribute("error.type", f"{kind_of.__module__}.{kind_of.__qualname__}")
            made.set_status(StatusCode.ERROR)
            raise


def traceparent() -> str | None:
    """What goes on in this task, for another process to go on with; None without a trace."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(HEADER)


def environment() -> dict[str, str]:
    """What a child process needs in its environment to go on with the trace."""
    parent = traceparent()
    return {} if parent is None else {ENVIRONMENT: parent}
