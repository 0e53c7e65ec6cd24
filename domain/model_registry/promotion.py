"""Having another version answer: at once where its vectors are there, else after a job."""

from uuid import UUID

from domain.core.errors import invalid
from domain.core.work import Work
from domain.jobs import job_runs
from domain.jobs.job_runs import JobRun
from domain.model_registry import gates, model_versions
from domain.model_registry.model_versions import ModelStatus, ModelVersion
from domain.tenants import policies, tenants


async def promote(work: Work, version_id: UUID, *field: str) -> JobRun | None:
    """Have a version answer.

    One that was refused is judged again, by the tenant's rules as they are now.

    Returns:
        None if it answers from the commit on; else the run of the job that first puts everything
        of the tenant into its space.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT if it fails its gates or was not judged yet, or
            another version is on its way. All blame ``field``.
    """
    # It is neither activated, nor leaves the index, in between.
    await tenants.lock(work, "model_versions")
    version = await model_versions.get(work, version_id, *field)
    # The caller may have read it before.
    await work.session.refresh(version)
    if version.status is ModelStatus.ACTIVE:
        return None
    if version.status is ModelStatus.REFUSED:
        await _judge_again(work, version, *field)
    model_versions.require_passed(version, *field)
    if model_versions.is_ready(version):
        await model_versions.activate(work, version_id)
        return None
    run = await job_runs.request(work, job_runs.ACTIVATE, {"version_id": str(version_id)})
    if run.arguments.get("version_id") != str(version_id):
        raise invalid(f"another version is being activated by run {run.id}: wait for it", *field)
    return run


async def _judge_again(work: Work, version: ModelVersion, *field: str) -> None:
    if not version.gates:
        raise invalid(f"version {version.number} was refused: {version.refusal}", *field)
    verdicts = gates.judge(version.metrics, await policies.get(work))
    if refusal := gates.refusal(verdicts):
        raise invalid(f"version {version.number} was refused: {refusal}", *field)
    await model_versions.judge(work, version.id, [one.to_json() for one in verdicts], None)
