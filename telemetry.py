"""The log and the traces of a process, set up once by whoever runs it.

The log goes to standard error: as text for people, or as one JSON object a line. Each line says
which request, tenant and job run it is about (``domain.contract.log_context``), and which trace.
"""

import logging
import logging.config
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from domain.contract import log_context, tracing
from settings import Settings, SettingsError

EXPORT_WITHIN = 3.0
"""Seconds that spans may take to their collector, which a process waits for as it ends."""

# They configure themselves, and uvicorn would log each request a second time.
THEIRS = {
    "uvicorn": {"handlers": [], "propagate": True},
    "uvicorn.error": {"handlers": [], "propagate": True},
    "uvicorn.access": {"handlers": [], "propagate": True, "level": "WARNING"},
    "arq": {"handlers": [], "propagate": True},
}


class TextFormatter(logging.Formatter):
    """For people: what the line is about comes before the message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record as text."""
        noted = log_context.fields()
        record.about = "".join(f" {name}={value}" for name, value in noted.items())
        return super().formatMessage(record)


class JSONFormatter(JsonFormatter):
    """For programs: an object a line."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add what the line is about, and the trace that it is part of."""
        found: dict[str, Any] = {**log_data, **log_context.fields()}
        if parent := tracing.traceparent():
            _, found["trace_id"], found["span_id"], _ = parent.split("-")
        return found


def configure(loaded: Settings, process: str) -> None:
    """Set up the log, unless somebody did already, and the traces if there is a collector.

    Args:
        loaded: the settings.
        process: what traces call it, "server" for one.

    Raises:
        SettingsError: there is a collector, but OpenTelemetry is not installed.
    """
    configure_log(loaded)
    if loaded.otel_exporter_otlp_endpoint and not tracing.on():
        _trace(loaded, loaded.otel_exporter_otlp_endpoint, process)


@contextmanager
def child(loaded: Settings, process: str, **about: str) -> Iterator[None]:
    """Set up a process that another one started, and have the block go on with its trace.

    Args:
        loaded: the settings.
        process: as for ``configure``, whose errors it raises; and the block's span.
        about: what all lines of the log say.
    """
    configure(loaded, process)
    parent = os.environ.get(tracing.ENVIRONMENT)
    with log_context.about(**about), tracing.span(process, parent=parent, kind="CONSUMER"):
        yield


def configure_log(loaded: Settings) -> None:
    """Set up the log alone, unless somebody did already."""
    if logging.getLogger().handlers:
        return
    wanted = loaded.log_format or ("json" if loaded.production else "text")
    formatters: dict[str, dict[str, Any]] = {
        "text": {
            "()": TextFormatter,
            "format": "%(asctime)s %(levelname)s %(name)s%(about)s %(message)s",
        },
        "json": {
            "()": JSONFormatter,
            "fmt": "%(levelname)s %(name)s %(message)s",
            "rename_fields": {"levelname": "level", "name": "logger"},
            "timestamp": True,
        },
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": formatters,
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": wanted}},
            "root": {"handlers": ["stderr"], "level": loaded.log_level.upper()},
            "loggers": THEIRS,
        }
    )


def _trace(loaded: Settings, endpoint: str, process: str) -> None:
    if find_spec("opentelemetry.sdk") is None:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs OpenTelemetry: "
            "pip install --constraint constraints.txt 'portfolio-twin[telemetry]'"
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider, sampling
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    roots: dict[str, sampling.Sampler] = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(loaded.otel_traces_sampler_arg),
    }
    name = loaded.otel_traces_sampler
    sampler = roots[name.removeprefix("parentbased_")]
    if name.startswith("parentbased_"):
        sampler = sampling.ParentBased(sampler)
    # Its other variables OpenTelemetry reads itself, from the environment alone.
    url = f"{endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_WITHIN)
    resource = Resource.create({"service.name": f"twin-{process}"})
    provider = TracerProvider(sampler, resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracing.use(provider.get_tracer("twin"))
