"""Commands for the versions of a tenant's twin: which there are, and which one answers."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import table
from cli.session import TenantOption, run_in_tenant

if TYPE_CHECKING:
    from domain.model_versions import ModelVersion
    from domain.work import Work
    from runtime import Services

VersionArgument = Annotated[int, typer.Argument(min=1, help="Number of the version.")]

models = typer.Typer(help="The versions of a tenant's twin.", no_args_is_help=True)


@models.command("list")
def list_versions(tenant: TenantOption) -> None:
    """Print the versions, the newest first."""

    async def body(work: "Work", _: "Services") -> "list[ModelVersion]":
        from domain import model_versions

        return list(await model_versions.page(work, 1000))

    columns = ("version", "status", "index", "NDCG@10", "trained", "activated", "refusal")
    table(
        columns,
        (
            (
                one.number,
                one.status,
                one.space,
                _ndcg(one),
                f"{one.created_at:%Y-%m-%d %H:%M}",
                one.activated_at and f"{one.activated_at:%Y-%m-%d %H:%M}",
                one.refusal,
            )
            for one in run_in_tenant(tenant, body)
        ),
    )


@models.command()
def show(tenant: TenantOption, version: VersionArgument) -> None:
    """Print all that is known of a version: its gates, its figures and the drift since."""

    async def body(work: "Work", _: "Services") -> list[str]:
        from domain import drift, model_versions, policies

        found = await model_versions.by_number(work, version)
        measured = (await drift.latest(work, [found.id])).get(found.id)
        lines = [
            f"version {found.number}: {found.status}, index {found.space}",
            f"trained {found.created_at:%Y-%m-%d %H:%M}, id {found.id}",
        ]
        if found.refusal:
            lines.append(f"refused: {found.refusal}")
        waits = drift.hold(await policies.get(work), found.metrics)
        if waits and found.status is model_versions.ModelStatus.INDEXED:
            lines.append(f"waits: {waits}")
        for gate in found.gates:
            passed = "passed" if gate["passed"] else "FAILED"
            lines.append(f"gate {gate['gate']}: {gate['value']} ({gate['bound']}) {passed}")
        if why := found.metrics.get("active_left_out"):
            lines.append(f"not compared with the active version: {why}")
        for ranker, figures in found.metrics.items():
            if isinstance(figures, dict):
                told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
                lines.append(f"{ranker}: {told}")
        if measured:
            worst = sorted(measured.features.items(), key=lambda item: -item[1])[:5]
            told = ", ".join(f"{name} {value:.3f}" for name, value in worst)
            lines.append(
                f"drift {measured.created_at:%Y-%m-%d}: {measured.level}, "
                f"score {measured.score}, {told}"
            )
        return lines

    typer.echo("\n".join(run_in_tenant(tenant, body)))


@models.command()
def activate(tenant: TenantOption, version: VersionArgument) -> None:
    """Have a version answer: at once if its vectors are in the index, else after a job."""

    async def body(work: "Work", _: "Services") -> str:
        from domain import model_versions

        return await _promote(work, await model_versions.by_number(work, version))

    typer.echo(run_in_tenant(tenant, body))


@models.command()
def rollback(tenant: TenantOption) -> None:
    """Have the version answer that did before the active one; a second time takes that back."""

    async def body(work: "Work", _: "Services") -> str:
        from domain import model_versions
        from domain.errors import invalid

        before = await model_versions.previous(work)
        if before is None:
            raise invalid(f"tenant {tenant!r} has no version from before the active one")
        return await _promote(work, before)

    typer.echo(run_in_tenant(tenant, body))


async def _promote(work: "Work", version: "ModelVersion") -> str:
    from domain.promotion import promote

    run = await promote(work, version.id)
    if run is None:
        return f"Version {version.number} answers now."
    return (
        f"Version {version.number} is not in the index: run {run.id} puts it there, "
        "and then it answers."
    )


def _ndcg(version: "ModelVersion") -> str | None:
    value = version.metrics.get("twin", {}).get("ndcg@10")
    return None if value is None else f"{value:.3f}"
