"""The log in both formats, and a configuration that cannot work."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import telemetry
from domain.contract import log_context, tracing
from settings import Settings, SettingsError
from tests.tracing import PARENT, collecting

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


@pytest.mark.integration
def test_nothing_of_opentelemetry_is_imported_without_a_collector() -> None:
    code = (
        "import sys, settings, telemetry\n"
        "telemetry.configure(settings.Settings(_env_file=None), 'test')\n"
        "from domain.contract import tracing\n"
        "with tracing.span('x'): assert tracing.traceparent() is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def sent(folder: Path, dotenv: str = "") -> list[tuple[str, bytes]]:
    """What a process sends that ends after one span, part of a trace that its caller samples.

    It runs in the folder, with these lines in its ``.env``.
    """
    code = (
        "import settings, telemetry\n"
        "from domain.contract import tracing\n"
        "telemetry.configure(settings.load(), 'server')\n"
        f"with tracing.span('going on', parent={PARENT!r}, rows=3): pass"
    )
    with collecting() as (url, got):
        (folder / ".env").write_text(f"OTEL_EXPORTER_OTLP_ENDPOINT={url}\n{dotenv}")
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    return got


@pytest.mark.integration
def test_spans_reach_a_collector_as_a_process_ends(tmp_path: Path) -> None:
    ((path, body),) = sent(tmp_path)
    assert path == "/v1/traces"
    # Protobuf leaves text as it is; the exporter compresses only if it is told to.
    assert all(part in body for part in (b"going on", b"twin-server", b"twin.rows"))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("sampler", "kept"), [("traceidratio", False), ("parentbased_traceidratio", True)]
)
def test_who_samples_is_a_setting_like_all_others(tmp_path: Path, sampler: str, kept: bool) -> None:
    lines = f"OTEL_TRACES_SAMPLER={sampler}\nOTEL_TRACES_SAMPLER_ARG=0\n"
    assert bool(sent(tmp_path, lines)) is kept


@pytest.mark.parametrize(
    "wrong", [{"otel_traces_sampler": "sometimes"}, {"otel_traces_sampler_arg": 1.5}]
)
def test_a_sampler_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        configured(**wrong)
