"""Commands for the runs of a tenant's jobs: which there are, and calling them off or up again."""

import json
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli.console import table
from cli.session import TenantOption, run_in_tenant

if TYPE_CHECKING:
    from domain.job_runs import JobRun
    from domain.work import Work
    from runtime import Services


class Status(StrEnum):
    """``domain.job_runs.JobStatus``, which takes a while to import."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARKED = "parked"
    CANCELLED = "cancelled"


RunArgument = Annotated[UUID, typer.Argument(metavar="RUN", help="Id of the run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_SHOWN = (
    "id", "function", "arguments", "status", "progress", "attempt", "failures", "created_at",
    "started_at", "heartbeat_at", "finished_at", "cancel_requested", "message", "error", "result",
)  # fmt: skip

jobs = typer.Typer(help="The runs of a tenant's jobs.", no_args_is_help=True)


@jobs.command("list")
def list_runs(
    tenant: TenantOption,
    status: Annotated[
        list[Status] | None, typer.Option(help="Standing at this; more than once for any of them.")
    ] = None,
    function: Annotated[
        list[str] | None, typer.Option(help="Of this job; more than once for any of them.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Print the runs, the newest first."""

    async def body(work: "Work", _: "Services") -> "list[JobRun]":
        from domain import run_list
        from domain.job_runs import JobStatus

        statuses = tuple(JobStatus(one) for one in status or ())
        where = run_list.RunFilter(tuple(function or ()), statuses)
        return list(await run_list.page(work, where, limit))

    found = run_in_tenant(tenant, body)
    if as_json:
        typer.echo(json.dumps([_fields(run) for run in found], indent=2, default=str))
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
    """Print all that is known of a run."""

    async def body(work: "Work", _: "Services") -> "JobRun":
        from domain import job_runs

        return await job_runs.get(work, run)

    fields = _fields(run_in_tenant(tenant, body))
    if as_json:
        typer.echo(json.dumps(fields, indent=2, default=str))
        return
    for name, value in fields.items():
        if value is not None:
            text = json.dumps(value) if isinstance(value, dict) else value
            typer.echo(f"{name.replace('_', ' ')}: {text}")


@jobs.command()
def retry(tenant: TenantOption, run: RunArgument) -> None:
    """Have a run that failed, was parked or called off run again."""

    async def body(work: "Work", _: "Services") -> "JobRun":
        from domain import job_runs

        return await job_runs.requeue(work, run)

    typer.echo(f"Run {run} of {run_in_tenant(tenant, body).function} waits for a worker.")


@jobs.command()
def cancel(tenant: TenantOption, run: RunArgument) -> None:
    """Call a run off: at once while it waits or is parked, soon where a worker is at it."""

    async def body(work: "Work", _: "Services") -> "JobRun":
        from domain import job_runs

        return await job_runs.cancel(work, run)

    found = run_in_tenant(tenant, body)
    if found.cancel_requested:
        typer.echo(f"Run {run} of {found.function} is told to stop.")
    else:
        typer.echo(f"Run {run} of {found.function} is called off.")


def _fields(run: "JobRun") -> dict[str, Any]:
    return {name: getattr(run, name) for name in _SHOWN}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _line(text: str | None) -> str | None:
    """The text's last line, which says most of an error with its traceback, cut to fit."""
    lines = (text or "").strip().splitlines()
    return lines[-1][:120] if lines else None
