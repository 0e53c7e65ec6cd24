"""The log in both formats, and a configuration that cannot work."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import telemetry
from domain import log_context, tracing
from settings import Settings, SettingsError

ROOT = Path(__file__).parents[1]


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger as a process begins with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    theirs = [logging.getLogger(name) for name in telemetry.THEIRS]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in theirs]
    root.handlers = []
    yield root
    root.handlers = handlers
    root.setLevel(level)
    for logger, own, propagate, own_level in before:
        logger.handlers, logger.propagate = own, propagate
        logger.setLevel(own_level)


def configured(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


def logged(capsys: pytest.CaptureFixture[str], **given: Any) -> list[str]:
    """What is written of a warning about a request and of an error."""
    with bare_root():
        telemetry.configure(configured(**given), "test")
        with log_context.about(request_id="r-1"):
            log_context.note(tenant_id="t-1")
            logger = logging.getLogger("graph")
            logger.warning("slow: %s", 'a "name"\nand a line', extra={"ms": 1.5})
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("jobs").exception("failed")
    return capsys.readouterr().err.splitlines()


def test_text_says_what_a_line_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    first, *_, last = logged(capsys, log_format="text")
    assert "WARNING graph request_id=r-1 tenant_id=t-1 slow: a " in first
    assert last == "ValueError: no"


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in logged(capsys, log_format="json")]
    slow, failed = lines
    assert slow.pop("timestamp") <= failed.pop("timestamp")
    assert slow == {
        "level": "WARNING",
        "logger": "graph",
        "message": 'slow: a "name"\nand a line',
        "ms": 1.5,
        "request_id": "r-1",
        "tenant_id": "t-1",
    }
    assert failed["message"] == "failed"
    assert failed["exc_info"].endswith("ValueError: no")
    assert "request_id" not in failed


def test_production_logs_json_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    production: dict[str, Any] = {
        "environment": "production",
        "jwt_secret": "s" * 32,
        "database_url": "postgresql+asyncpg://h/d",
        "redis_url": "redis://h",
        "qdrant_url": "http://h",
    }
    assert logged(capsys, **production)[0].startswith("{")
    assert not logged(capsys, **production, log_format="text")[0].startswith("{")


def test_a_log_that_is_set_up_stays() -> None:
    own = logging.NullHandler()
    with bare_root() as root:
        root.addHandler(own)
        telemetry.configure(configured(log_format="json"), "test")
        assert root.handlers == [own]


def test_a_line_of_another_task_is_about_something_else() -> None:
    with log_context.about(request_id="outer"):
        with log_context.about(run_id="inner"):
            assert log_context.fields() == {"request_id": "outer", "run_id": "inner"}
        assert log_context.fields() == {"request_id": "outer"}
    assert log_context.fields() == {}


def test_a_collector_without_opentelemetry_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"portfolio-twin\[telemetry\]"):
        telemetry.configure(configured(otel_exporter_otlp_endpoint="http://localhost:4318"), "test")
    assert not tracing.on()


def test_a_collector_needs_a_url() -> None:
    with pytest.raises(ValueError, match="begin it with http"):
        configured(otel_exporter_otlp_endpoint="localhost:4317")


def test_nothing_of_opentelemetry_is_imported_without_a_collector() -> None:
    code = (
        "import sys, settings, telemetry\n"
        "telemetry.configure(settings.Settings(_env_file=None), 'test')\n"
        "from domain import tracing\n"
        "with tracing.span('x'): assert tracing.traceparent() is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_spans_reach_a_collector_as_a_process_ends() -> None:
    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    code = (
        "import settings, telemetry\n"
        "from domain import tracing\n"
        "telemetry.configure(settings.Settings(_env_file=None), 'server')\n"
        "with tracing.span('going on', rows=3): pass"
    )
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        url = f"http://127.0.0.1:{collector.server_port}/"
        listening = threading.Thread(target=collector.serve_forever)
        listening.start()
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        command = [sys.executable, "-c", code]
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        collector.shutdown()
        listening.join()
    assert ended.returncode == 0, ended.stderr
    ((path, body),) = got
    assert path == "/v1/traces"
    # Protobuf leaves text as it is; the exporter compresses only if it is told to.
    assert all(part in body for part in (b"going on", b"twin-server", b"twin.rows"))
