"""Commands that try a version of a tenant's twin on some of its investors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import JsonOption, awaitable, progress, say, say_json, table
from cli.lazy import group
from cli.session import TenantOption, read_in_tenant, run, run_in_tenant, tenant_id

if TYPE_CHECKING:
    from domain.core.work import Work
    from domain.model_registry.comparison import Arm
    from domain.tenants.experiments import Experiment
    from runtime import Runtime, Services

experiments = group("Two versions of a tenant's twin on its own investors.")


@experiments.command()
def start(
    tenant: TenantOption,
    treatment: Annotated[int, typer.Option(min=1, help="Number of the version to try.")],
    control: Annotated[
        int | None,
        typer.Option(min=1, help="Number of the other version; the active one if not given."),
    ] = None,
    share: Annotated[float, typer.Option(help="Share of the investors in the treatment.")] = 0.5,
    as_json: JsonOption = False,
) -> None:
    """Split the investors between two versions.

    The experiment ends with `stop`, or when a version is activated. A version that is not in the
    index is indexed first.
    """

    async def body(rt: "Runtime") -> int:
        from domain.model_registry import comparison, model_versions
        from domain.model_registry.model_versions import SpaceState
        from jobs.reindexing.indexer import Indexer

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
            return (await model_versions.get(work, found.control_id)).number

    base = run(body)
    if as_json:
        say_json({"treatment": treatment, "control": base, "share": share})
    else:
        say(f"{share:.0%} of the investors get version {treatment} now, the others version {base}.")


@experiments.command()
def show(tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Print the figures of the running or the latest experiment."""

    async def body(work: "Work", _: "Services") -> "tuple[Experiment, tuple[Arm, Arm]]":
        from domain.core.errors import not_found
        from domain.model_registry import comparison
        from domain.tenants import experiments as kept

        found = await kept.latest(work)
        if found is None:
            raise not_found("experiment")
        return found, await comparison.outcomes(work, found)

    experiment, (control, treatment) = read_in_tenant(tenant, body)
    figures: list[dict[str, Any]] = [
        dict(zip(_COLUMNS, one, strict=True)) for one in _figures(control, treatment)
    ]
    if as_json:
        say_json({
            "created_at": experiment.created_at,
            "ended_at": experiment.ended_at,
            "share": experiment.share,
            "treatment": treatment.number,
            "control": control.number,
            "figures": figures,
        })  # fmt: skip
        return
    until = f"until {experiment.ended_at:%Y-%m-%d %H:%M}" if experiment.ended_at else "running"
    say(
        f"Since {experiment.created_at:%Y-%m-%d %H:%M}, {until}: version {treatment.number} for "
        f"{experiment.share:.0%} of the investors, version {control.number} for the others."
    )
    columns = ("figure", "control", "treatment", "difference", "95% from", "to")
    table(columns, map(_texts, figures))
    say("Investors are those who had approved of anything when it began. What they were")
    say("shown is not recorded: figures are of all that they did, asked for or not.")


@experiments.command()
def stop(tenant: TenantOption, as_json: JsonOption = False) -> None:
    """End the experiment: the active version answers all again."""

    async def body(work: "Work", _: "Services") -> bool:
        from domain.tenants import experiments as kept

        return await kept.stop(work)

    ended = run_in_tenant(tenant, body)
    if as_json:
        say_json({"stopped": ended})
    else:
        say("The active version answers everybody again." if ended else "No experiment runs.")


_COLUMNS = ("figure", "control", "treatment", "difference", "low", "high")


def _texts(figure: dict[str, Any]) -> list[object]:
    """A figure for people: rates with three digits, differences with their sign."""
    name, *values = figure.values()
    digits = (".3f", ".3f", "+.3f", "+.3f", "+.3f")
    return [
        name.replace("_", " "),
        *(
            format(value, form) if isinstance(value, float) else value
            for value, form in zip(values, digits, strict=True)
        ),
    ]


def _figures(control: "Arm", treatment: "Arm") -> Iterator[tuple[object, ...]]:
    """What the investors of both did: counts are whole numbers, rates are not."""
    import numpy as np

    from ml.measures.intervals import rate_difference_interval

    yield "investors", len(control), len(treatment), None, None, None
    for name in ("approvals", "rejections", "thumbs_up", "thumbs_down", "deals"):
        sums = (int(getattr(arm, name).sum()) for arm in (control, treatment))
        yield (name, *sums, None, None, None)
    rates = {
        "acceptance": [
            (arm.approvals, arm.approvals + arm.rejections) for arm in (control, treatment)
        ],
        "share_of_thumbs_up": [
            (arm.thumbs_up, arm.thumbs_up + arm.thumbs_down) for arm in (control, treatment)
        ],
        "deals_per_investor": [(arm.deals, np.ones(len(arm))) for arm in (control, treatment)],
    }
    for name, pairs in rates.items():
        base, group = (np.stack(pair, axis=1) for pair in pairs)
        told = [
            float(counts[0] / counts[1]) if counts[1] else None
            for counts in (base.sum(axis=0), group.sum(axis=0))
        ]
        interval = rate_difference_interval(group, base)
        bounds = (interval.value, interval.low, interval.high) if interval else (None,) * 3
        yield (name, *told, *(None if one is None else float(one) for one in bounds))
