"""Routine jobs, which leave no run while they work: the one that is kept while they do not."""

from sqlalchemy import func, update

from domain.core.events import Event, Topic
from domain.core.work import Work
from domain.jobs.job_runs import UNEXPLAINED, UNFINISHED, JobRun, JobStatus
from domain.tenants import tenants


async def lay_aside(work: Work, function: str, error: str) -> None:
    """Record that a routine, which otherwise leaves no run, keeps failing: once until it works."""
    await tenants.lock(work, "routines")
    known = await work.session.scalar(
        update(JobRun)
        .where(JobRun.function == function, JobRun.status.in_((*UNFINISHED, JobStatus.PARKED)))
        .values(error=error)
        .returning(JobRun.id)
    )
    if known is None:
        run = JobRun(tenant_id=work.tenant_id, function=function, arguments={}, attempt=1)
        run.status, run.error, run.message = JobStatus.PARKED, error, UNEXPLAINED
        run.finished_at = func.now()
        work.session.add(run)
        await work.session.flush()
        work.publish(Event(Topic.JOB, run.id))


async def works_again(work: Work, function: str) -> None:
    """Note that a routine that was laid aside has done what it could not do then."""
    recovered = await work.session.scalars(
        update(JobRun)
        .where(JobRun.function == function, JobRun.status == JobStatus.PARKED)
        .values(status=JobStatus.SUCCEEDED, progress=1.0, message=None, finished_at=func.now())
        .returning(JobRun.id)
    )
    for run_id in recovered:
        work.publish(Event(Topic.JOB, run_id))
