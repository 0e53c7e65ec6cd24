"""Writes out the report that is kept with a version of a tenant's twin."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.evaluate import require_extra
from cli.session import TenantOption, run_in_tenant
from cli.versions import VersionArgument

if TYPE_CHECKING:
    from domain.work import Work
    from runtime import Services


def report(
    tenant: TenantOption,
    version: VersionArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html; reports/TENANT/VERSION if not given."),
    ] = None,
) -> None:
    """Write the evaluation made when the version was trained as a page, JSON and figures."""
    require_extra("twin models report")

    async def body(work: "Work", _: "Services") -> dict[str, Any]:
        from domain import evaluations, model_versions
        from domain.errors import DomainError, ErrorCode

        found = await model_versions.by_number(work, version)
        kept = await evaluations.kept(work, found.id)
        if kept is None:
            raise DomainError(
                ErrorCode.NOT_FOUND,
                f"version {version} has no report: when it was trained, too little came later to "
                "measure it on, or measuring failed, and then the worker's log says why",
            )
        return kept

    kept = run_in_tenant(tenant, body)

    from ml.evaluation.kept import restore
    from ml.evaluation.report import write

    folder = out or Path("reports") / tenant / str(version)
    typer.echo(f"See {write(restore(kept), folder, f'{tenant}, version {version}')[0]}")
