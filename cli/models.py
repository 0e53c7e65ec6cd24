"""Commands for a tenant's twin: train it, index what it knows, or have the workers do so."""

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

import settings
from cli.console import JsonOption, awaitable, progress, say, say_json
from cli.jobs import say_run
from cli.session import SupervisedOption, TenantOption, run, run_in_tenant, tenant_id
from cli.supervision import end_with_parent

if TYPE_CHECKING:
    from domain.core.work import Work
    from domain.jobs.job_runs import JobRun
    from jobs.reindexing.comparison import Differences
    from jobs.reindexing.passes import Report
    from jobs.reindexing.reindex import SpaceResult
    from runtime import Runtime, Services


class QueuedJob(StrEnum):
    """What ``twin enqueue`` can ask for."""

    TRAIN = "train"
    REINDEX = "reindex"


def train(
    tenant: TenantOption,
    epochs: Annotated[int | None, typer.Option(help="Most passes over the examples.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate at the start.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    lookback_days: Annotated[
        int | None, typer.Option(help="Age of the oldest interactions to learn from.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random numbers.")] = None,
    warm: Annotated[
        bool,
        typer.Option("--warm", help="Continue from the version that answers: far less work."),
    ] = False,
    as_json: JsonOption = False,
    job_run: Annotated[str | None, typer.Option(hidden=True)] = None,
    supervised: SupervisedOption = False,
) -> None:
    """Train the tenant's twin, put the new version into the index and let it answer."""
    if supervised:
        end_with_parent()
    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "device": device or settings.load().device,
        "lookback_days": lookback_days,
        "seed": seed,
    }
    if warm:
        # What is said of epochs and steps is meant for this kind of training.
        given |= {f"warm_{name}": given.pop(name) for name in ("epochs", "learning_rate")}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    run_id = None if job_run is None else UUID(job_run)

    async def body(rt: "Runtime") -> dict[str, Any]:
        from domain.core.errors import DomainError
        from jobs.model_registry.training import train_tenant
        from jobs.queue.runs import Run
        from jobs.reindexing.indexer import Indexer
        from ml.training.config import TrainingConfig, TrainingError
        from ml.twin.device import DeviceError

        async def trained(report: "Report") -> dict[str, Any]:
            config = TrainingConfig(**options)
            indexer = await Indexer.open(rt.database, rt.index, rt.twin)
            return asdict(
                await train_tenant(
                    indexer, trained_id, config, report, run_id=run_id, warm=warm,
                    # Whoever waits for it in a terminal can ask for one: twin models report.
                    with_report=run_id is not None,
                    # Whoever supervises it starts it again after it was killed.
                    patient=supervised,
                )
            )  # fmt: skip

        trained_id = await tenant_id(rt.database, tenant)
        if run_id is None:
            with progress("Training") as update:
                return await trained(awaitable(update))
        try:
            done = await trained(Run(rt.database, trained_id, run_id).report)
        except (DomainError, TrainingError, DeviceError) as error:
            # For the tenant, unlike what goes to stderr.
            return {"refused": str(error)}
        # Long, and with the version already.
        return {name: done[name] for name in done if name not in ("metrics", "gates")}

    if run_id is not None:
        import telemetry

        with telemetry.child(settings.load(), "training", tenant=tenant, run_id=str(run_id)):
            done = run(body)
        # For the worker that started this process.
        typer.echo(json.dumps(done, default=str))
    else:
        done = run(body)
        if as_json:
            say_json(done)
        else:
            say(*_summary(done))
        if done["refusal"]:
            raise typer.Exit(1)


_SHOWN = ("twin", "active", "mix", "popularity")
"""What is shown of the rankings among the metrics."""


def _summary(done: dict[str, Any]) -> list[str]:
    """The fields of ``Training`` for people, with what it is compared with beside."""
    metrics, number = done["metrics"], done["number"]
    if done["refusal"]:
        lines = [f"Version {number} was refused: {done['refusal']}."]
    elif done["waits_for"]:
        lines = [f"Version {number} is in the index, but {done['waits_for']}."]
    else:
        lines = [
            f"Version {number} answers now: {done['properties']:,} properties and "
            f"{done['users']:,} investors are in its index."
        ]
    shown = [name for name in _SHOWN if name in metrics]
    if not shown:
        return lines
    return [
        *lines,
        f"On what {metrics['test_investors']:,} investors approved of later in time "
        f"({metrics['test_approvals']:,} approvals, never trained on):",
        " " * 12 + "".join(f"{name:>12}" for name in shown),
        *(
            f"{metric:12}" + "".join(f"{metrics[name][metric]:>12.3f}" for name in shown)
            for metric in metrics["twin"]
        ),
        f"F1 {metrics['f1']:.3f} and accuracy {metrics['accuracy']:.3f} on {metrics['pairs']:,} "
        "pairs, half of them approvals.",
    ]


def reindex(
    tenant: TenantOption,
    full: Annotated[bool, typer.Option("--full", help="Write everything again.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare every vector; mark differences for the workers."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the index up to date with the database, or compare the two.

    What is missing is written, or everything if much is missing. With --check the exit code is 1 if
    anything differs.
    """

    async def body(rt: "Runtime") -> "list[SpaceResult] | dict[int, Differences]":
        from domain.core.errors import DomainError, ErrorCode
        from domain.tenants import tenants
        from jobs.reindexing.indexer import Indexer

        indexed_id = await tenant_id(rt.database, tenant)
        async with rt.database.work(indexed_id) as work:
            if await tenants.active_version_id(work) is None:
                problem = f"tenant {tenant!r} has no twin yet: run `twin train --tenant {tenant}`"
                raise DomainError(ErrorCode.NO_ACTIVE_MODEL, problem)
        indexer = await Indexer.open(rt.database, rt.index, rt.twin)
        if check:
            await indexer.index_marked(indexed_id)
            return {
                one.number: await indexer.differences(indexed_id, one.id)
                for one in await indexer.complete_versions(indexed_id)
            }
        with progress("Indexing") as update:
            return (await indexer.reindex(indexed_id, awaitable(update), full=full)).spaces

    done = run(body)
    if isinstance(done, dict):
        _say_differences(done, as_json)
        if any(done.values()):
            raise typer.Exit(1)
    elif as_json:
        say_json([one.to_json() for one in done])
    else:
        say(*(
            f"Version {one.version}, {one.mode}: {one.written:,} properties and {one.users:,} "
            f"investors written, {one.removed:,} properties removed; {one.verified:.2%} of the "
            f"database's properties are in the index."
            for one in done
        ))  # fmt: skip


def _say_differences(done: "dict[int, Differences]", as_json: bool) -> None:
    if as_json:
        say_json([
            {
                "version": number,
                "compared": found.compared,
                "properties": sorted(found.properties),
                "extra": sorted(found.extra),
                "users": sorted(found.users),
            }
            for number, found in done.items()
        ])  # fmt: skip
        return
    for number, found in done.items():
        say(
            f"Version {number}: of {found.compared:,} properties and investors compared, "
            f"{len(found.properties):,} properties are missing or differ, {len(found.extra):,} "
            f"are left over, {len(found.users):,} investors differ."
        )


def enqueue(job: QueuedJob, tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Have the workers do a job for a tenant."""

    async def body(work: "Work", _: "Services") -> "JobRun":
        from domain.jobs import job_runs

        function = job_runs.TRAIN if job is QueuedJob.TRAIN else job_runs.REINDEX
        return await job_runs.request(work, function)

    asked = run_in_tenant(tenant, body)
    say_run(asked, "runs" if asked.status == "running" else "waits for a worker", as_json)
