"""How a job in a process of its own ends, as its worker understands it."""

import stat
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from domain.contract import tracing
from domain.jobs import job_runs
from domain.jobs.job_runs import JobStatus
from domain.tenants.tenants import Tenant
from jobs.queue.child import ChildError, run_cli
from jobs.queue.queue import TRAINING_QUEUE
from jobs.queue.runs import JobError, JobPostponedError
from tests.jobs.conftest import Ask, Runs, WorkOff
from tests.tracing import PARENT, TRACE, collecting

pytestmark = pytest.mark.slow


def script(path: Path, *lines: str) -> str:
    """A program that the shell runs."""
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("ending", "kind", "message"),
    [
        ("echo no such option >&2; exit 2", JobError, "no such option"),
        ("exit 2", JobError, "ended with exit code 2"),
        ("echo twin: one trains >&2; exit 75", JobPostponedError, "one trains"),
        ("exit 75", JobPostponedError, "postponed, to be tried again"),
        ("echo twin: no route >&2; exit 1", ChildError, "twin: no route"),
        ("exit 3", ChildError, "ended with exit code 3"),
        ("kill -KILL $$", ChildError, "killed by SIGKILL"),
    ],
)
async def test_only_a_command_used_wrongly_would_fail_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    kind: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "executable", script(tmp_path / "python", ending))
    with pytest.raises(kind) as raised:
        await run_cli(["train"])
    assert (raised.type, str(raised.value)) == (kind, message)


async def test_a_training_whose_process_was_killed_is_tried_again_in_the_same_trace(
    tenant: Tenant,
    ask: Ask,
    work_off: WorkOff,
    runs: Runs,
    exporter: InMemorySpanExporter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed_once = script(
        tmp_path / "python",
        f'test -e {tmp_path}/killed && exec {sys.executable} "$@"',
        f"touch {tmp_path}/killed; kill -KILL $$",
    )
    monkeypatch.setattr(sys, "executable", killed_once)
    with collecting() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with tracing.span("asking", parent=PARENT):
            await ask(tenant.id, job_runs.TRAIN)
        await work_off(TRAINING_QUEUE)

    (run,) = await runs(tenant.id)
    # There is nothing to learn from, which the second attempt found out, and which is on record.
    assert (run.status, run.attempt, run.failures) == (JobStatus.FAILED, 2, 1)
    problem = "there are 0 positive interactions of at least 100; 0 properties of at least 50; 0"
    assert problem in (run.error or "")
    assert problem in (run.message or "")
    assert "Traceback" not in (run.error or "")

    *_, job = (one for one in exporter.get_finished_spans() if one.name == "job train_twin")
    assert job.context is not None
    told = b"".join(part for _, part in got)
    assert b"twin-training" in told
    assert bytes.fromhex(TRACE) in told
    assert job.context.span_id.to_bytes(8, "big") in told
