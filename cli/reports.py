"""Writes out the report that is kept with a version of a tenant's twin."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import settings
from cli.console import JsonOption, say, say_json
from cli.evaluate import require_extra
from cli.session import TenantOption, VersionArgument, run_on_database, tenant_id

if TYPE_CHECKING:
    from domain.core.database import Database
    from runtime import Services


def report(
    tenant: TenantOption,
    version: VersionArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html; reports/TENANT/VERSION if not given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a version's report: a page, JSON and figures.

    The report was made when the version was trained. If that failed, it is made now.
    """
    require_extra("twin models report")

    async def body(database: "Database", _: "Services") -> dict[str, Any]:
        from domain.model_registry import model_versions
        from jobs.model_registry.reports import make_report
        from jobs.model_registry.training import load
        from ml.evaluation.protocols import EvaluationError
        from ml.twin.artifacts import ArtifactError

        owner = await tenant_id(database, tenant)
        async with database.work(owner) as work:
            found = await model_versions.by_number(work, version)
        device = settings.load().device
        try:
            return await make_report(
                database, owner, found.id, lambda: load(database, owner), device
            )
        except (ArtifactError, EvaluationError) as error:
            raise EvaluationError(f"version {version} has no report: {error}") from error

    kept = run_on_database(body)

    from ml.evaluation.kept import restore
    from ml.evaluation.report import write

    folder = out or Path("reports") / tenant / str(version)
    files = write(restore(kept), folder, f"{tenant}, version {version}")
    if as_json:
        say_json({"files": files})
    else:
        say(f"See {files[0]}")
