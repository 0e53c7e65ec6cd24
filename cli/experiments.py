"""Commands that try a version of a tenant's twin on some of its investors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import awaitable, progress, table
from cli.session import TenantOption, run, run_in_tenant, tenant_id

if TYPE_CHECKING:
    from domain.comparison import Arm
    from domain.experiments import Experiment
    from domain.work import Work
    from runtime import Runtime, Services

experiments = typer.Typer(
    help="Two versions of a tenant's twin on its own investors.", no_args_is_help=True
)


@experiments.command()
def start(
    tenant: TenantOption,
    treatment: Annotated[int, typer.Option(min=1, help="Number of the version to be tried.")],
    control: Annotated[
        int | None, typer.Option(min=1, help="Number of the other; the active one if not given.")
    ] = None,
    share: Annotated[float, typer.Option(help="Of the investors who get the treatment.")] = 0.5,
) -> None:
    """Split the investors between two versions until `stop`, or until a version is activated.

    A version that is not in the index is put there first.
    """

    async def body(rt: "Runtime") -> str:
        from domain import comparison, model_versions
        from domain.model_versions import SpaceState
        from jobs.reindexing import Indexer

        split_id = await tenant_id(rt.database, tenant)
        async with rt.database.work(split_id) as work:
            await comparison.require_possible(work, share)
            numbers = [treatment] if control is None else [treatment, control]
            versions = [await model_versions.by_number(work, number) for number in numbers]
        for version in versions:
            if version.space is not SpaceState.COMPLETE:
                indexer = await Indexer.open(rt.database, rt.index, rt.twin)
                with progress(f"Indexing version {version.number}") as update:
                    await indexer.fill(split_id, version.id, awaitable(update))
        async with rt.database.work(split_id) as work:
            found = await comparison.start(work, treatment, control, share)
            base = await model_versions.get(work, found.control_id)
        return (
            f"{share:.0%} of the investors get version {treatment} now, "
            f"the others version {base.number}."
        )

    typer.echo(run(body))


@experiments.command()
def show(tenant: TenantOption) -> None:
    """Print what followed from the experiment that runs, or from the one that ended last."""

    async def body(work: "Work", _: "Services") -> "tuple[Experiment, tuple[Arm, Arm]]":
        from domain import comparison
        from domain import experiments as kept
        from domain.errors import not_found

        found = await kept.latest(work)
        if found is None:
            raise not_found("experiment")
        return found, await comparison.outcomes(work, found)

    experiment, (control, treatment) = run_in_tenant(tenant, body)
    until = f"until {experiment.ended_at:%Y-%m-%d %H:%M}" if experiment.ended_at else "running"
    typer.echo(
        f"Since {experiment.created_at:%Y-%m-%d %H:%M}, {until}: version {treatment.number} for "
        f"{experiment.share:.0%} of the investors, version {control.number} for the others."
    )
    columns = ("figure", "control", "treatment", "difference", "95% from", "to")
    table(columns, (line for line in _figures(control, treatment)))
    typer.echo("Investors are those who had approved of anything when it began. What they were")
    typer.echo("shown is not recorded: figures are of all that they did, asked for or not.")


@experiments.command()
def stop(tenant: TenantOption) -> None:
    """Have the active version answer everybody again."""

    async def body(work: "Work", _: "Services") -> bool:
        from domain import experiments as kept

        return await kept.stop(work)

    ended = run_in_tenant(tenant, body)
    typer.echo("The active version answers everybody again." if ended else "No experiment runs.")


def _figures(control: "Arm", treatment: "Arm") -> Iterator[tuple[object, ...]]:
    import numpy as np

    from ml.evaluation.intervals import rate_difference_interval

    yield "investors", len(control), len(treatment), None, None, None
    for name in ("approvals", "rejections", "thumbs_up", "thumbs_down", "deals"):
        sums = (int(getattr(arm, name).sum()) for arm in (control, treatment))
        yield (name.replace("_", " "), *sums, None, None, None)
    rates = {
        "acceptance": [
            (arm.approvals, arm.approvals + arm.rejections) for arm in (control, treatment)
        ],
        "share of thumbs up": [
            (arm.thumbs_up, arm.thumbs_up + arm.thumbs_down) for arm in (control, treatment)
        ],
        "deals per investor": [(arm.deals, np.ones(len(arm))) for arm in (control, treatment)],
    }
    for name, pairs in rates.items():
        base, group = (np.stack(pair, axis=1) for pair in pairs)
        told = [
            f"{counts[0] / counts[1]:.3f}" if counts[1] else None
            for counts in (base.sum(axis=0), group.sum(axis=0))
        ]
        interval = rate_difference_interval(group, base)
        bounds = (interval.value, interval.low, interval.high) if interval else (None,) * 3
        yield (name, *told, *(None if one is None else f"{one:+.3f}" for one in bounds))
