"""Commands for the runs of a tenant's jobs: which there are, and calling them off or up again."""

import json
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli.console import JsonOption, say, say_json, table
from cli.lazy import group
from cli.session import TenantOption, read_in_tenant, run_in_tenant

if TYPE_CHECKING:
    from domain.core.work import Work
    from domain.jobs.job_runs import JobRun
    from runtime import Services


class Status(StrEnum):
    """``domain.jobs.job_runs.JobStatus``, which takes a while to import."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARKED = "parked"
    CANCELLED = "cancelled"


RunArgument = Annotated[UUID, typer.Argument(metavar="RUN", help="Id of the run.")]

_SHOWN = (
    "id", "function", "arguments", "status", "progress", "attempt", "failures", "created_at",
    "started_at", "heartbeat_at", "finished_at", "cancel_requested", "message", "error", "result",
)  # fmt: skip

jobs = group("The runs of a tenant's jobs.")


@jobs.command("list")
def list_runs(
    tenant: TenantOption,
    status: Annotated[
        list[Status] | None, typer.Option(help="Only runs with this status; may be repeated.")
    ] = None,
    function: Annotated[
        list[str] | None, typer.Option(help="Only runs of this job; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most runs to print.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Print the runs, the newest first."""

    async def body(work: "Work", _: "Services") -> "list[JobRun]":
        from domain.jobs import run_list
        from domain.jobs.job_runs import JobStatus

        statuses = tuple(JobStatus(one) for one in status or ())
        where = run_list.RunFilter(tuple(function or ()), statuses)
        return list(await run_list.page(work, where, limit))

    found = read_in_tenant(tenant, body)
    if as_json:
        say_json([fields(run) for run in found])
        return
    columns = ("run", "job", "status", "done", "attempt", "asked for", "ended", "says")
    table(
        columns,
        (
            (
                run.id,
                run.function,
                run.status,
                f"{run.progress:.0%}",
                run.attempt,
                _moment(run.created_at),
                _moment(run.finished_at),
                _line(run.error or run.message),
            )
            for run in found
        ),
    )


@jobs.command()
def show(tenant: TenantOption, run: RunArgument, as_json: JsonOption = False) -> None:
    """Print one run in full."""

    async def body(work: "Work", _: "Services") -> "JobRun":
        from domain.jobs import job_runs

        return await job_runs.get(work, run)

    shown = fields(read_in_tenant(tenant, body))
    if as_json:
        say_json(shown)
        return
    for name, value in shown.items():
        if value is not None:
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            # A traceback has several lines: those after the first cannot pass for fields.
            first, *others = text.splitlines() or [""]
            say(f"{name.replace('_', ' ')}: {first}", *(f"  {line}" for line in others))


@jobs.command()
def retry(tenant: TenantOption, run: RunArgument, as_json: JsonOption = False) -> None:
    """Run again what failed, was parked or was cancelled."""

    async def body(work: "Work", _: "Services") -> "JobRun":
        from domain.jobs import job_runs

        return await job_runs.requeue(work, run)

    say_run(run_in_tenant(tenant, body), "waits for a worker", as_json)


@jobs.command()
def cancel(tenant: TenantOption, run: RunArgument, as_json: JsonOption = False) -> None:
    """Cancel a run.

    A run that is queued or parked ends at once, a running one soon after.
    """

    async def body(work: "Work", _: "Services") -> "JobRun":
        from domain.jobs import job_runs

        return await job_runs.cancel(work, run)

    found = run_in_tenant(tenant, body)
    say_run(found, "is told to stop" if found.cancel_requested else "is called off", as_json)


def say_run(run: "JobRun", standing: str, as_json: bool) -> None:
    """Print how a run stands now, or all that is known of it as JSON."""
    if as_json:
        say_json(fields(run))
    else:
        say(f"Run {run.id} of {run.function} {standing}.")


def fields(run: "JobRun") -> dict[str, Any]:
    """What is shown of a run, as ``--json`` prints it."""
    return {name: getattr(run, name) for name in _SHOWN}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _line(text: str | None) -> str | None:
    """The text's last line, which says most of an error with its traceback, cut to fit."""
    lines = (text or "").strip().splitlines()
    return lines[-1][:120] if lines else None
