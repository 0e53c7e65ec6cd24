"""Having another version answer: at once where its vectors are there, else after a job."""

from uuid import UUID

from domain import job_runs, model_versions
from domain.errors import invalid
from domain.job_runs import JobRun
from domain.model_versions import ModelStatus, SpaceState
from domain.work import Work


async def promote(work: Work, version_id: UUID, *field: str) -> JobRun | None:
    """Have a version answer.

    Returns:
        None if it answers from the commit on; else the run of the job that first puts everything
        of the tenant into its space.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT if it was refused, or another version is on its way.
            All blame ``field``.
    """
    version = await model_versions.get(work, version_id, *field)
    if version.status is ModelStatus.REFUSED:
        raise invalid(f"version {version.number} was refused: {version.refusal}", *field)
    if version.space is SpaceState.COMPLETE:
        await model_versions.activate(work, version_id)
        return None
    run = await job_runs.request(work, job_runs.ACTIVATE, {"version_id": str(version_id)})
    if run.arguments.get("version_id") != str(version_id):
        raise invalid(f"another version is being activated by run {run.id}: wait for it", *field)
    return run
