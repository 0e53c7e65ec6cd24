"""Job runs: what was asked of the queue, how far it got and how it ended."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Text, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.base import Base, TenantScoped, one_of, vocabulary
from domain.errors import not_found
from domain.events import Event, Topic
from domain.work import Work

UNEXPLAINED = "Something went wrong on our side; quote the run's id to support."


class JobStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class JobRun(TenantScoped, Base):
    """One run of a job. ``job_id`` is the queue's; a job taken up again keeps its run.

    ``message`` is for the tenant: what the run does now, or why it failed. ``error`` is for those
    who operate the server, and may name what the tenant must not see.
    """

    __tablename__ = "job_runs"
    __table_args__ = (
        Index(None, "tenant_id", "job_id", unique=True),
        Index("ix_job_runs_newest", "tenant_id", text("created_at DESC")),
        one_of("status", JobStatus),
    )

    job_id: Mapped[str] = mapped_column(Text)
    function: Mapped[str] = mapped_column(Text)
    arguments: Mapped[list[Any]] = mapped_column(JSONB)
    status: Mapped[JobStatus] = mapped_column(vocabulary(JobStatus))
    attempt: Mapped[int] = mapped_column(server_default="1")
    progress: Mapped[float] = mapped_column(server_default="0")
    message: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


async def start(work: Work, job_id: str, function: str, arguments: list[Any]) -> JobRun:
    """Note that a job runs; one taken up again counts a further attempt."""
    run = await work.session.scalar(select(JobRun).where(JobRun.job_id == job_id))
    if run is None:
        run = JobRun(
            tenant_id=work.tenant_id,
            job_id=job_id,
            function=function,
            arguments=arguments,
            status=JobStatus.RUNNING,
        )
        work.session.add(run)
    else:
        run.status = JobStatus.RUNNING
        run.attempt += 1
        run.progress = 0.0
        run.error = run.finished_at = None
        run.started_at = func.now()
    await work.session.flush()
    work.publish(Event(Topic.JOB, run.id))
    return run


async def postpone(
    work: Work, run_id: UUID, message: str, *, error: str | None = None, counts: bool = True
) -> None:
    """Note that a run stopped before its end and will be taken up again.

    Without ``counts`` the attempt is not held against the job: it was not at fault.
    """
    attempt = JobRun.attempt if counts else JobRun.attempt - 1
    await work.session.execute(
        update(JobRun)
        .where(JobRun.id == run_id)
        .values(attempt=attempt, message=message, error=error)
    )
    work.publish(Event(Topic.JOB, run_id))


async def progress(work: Work, run_id: UUID, share: float, message: str) -> None:
    """Note how far a run got: a share in [0, 1] and what it does now."""
    await work.session.execute(
        update(JobRun).where(JobRun.id == run_id).values(progress=share, message=message)
    )
    work.publish(Event(Topic.JOB, run_id))


async def succeed(work: Work, run_id: UUID, result: dict[str, Any]) -> None:
    """Note that a run ended well."""
    await work.session.execute(
        update(JobRun)
        .where(JobRun.id == run_id)
        .values(status=JobStatus.SUCCEEDED, progress=1.0, result=result, finished_at=func.now())
    )
    work.publish(Event(Topic.JOB, run_id))


async def fail(work: Work, run_id: UUID, error: str, message: str = UNEXPLAINED) -> None:
    """Note that a run ended with an error, and what the tenant is told of it."""
    await work.session.execute(
        update(JobRun)
        .where(JobRun.id == run_id)
        .values(status=JobStatus.FAILED, error=error, message=message, finished_at=func.now())
    )
    work.publish(Event(Topic.JOB, run_id))


async def forget(work: Work, before: datetime) -> None:
    """Delete the runs that ended before then."""
    await work.session.execute(delete(JobRun).where(JobRun.finished_at < before))


async def recent(work: Work, limit: int = 100) -> list[JobRun]:
    """The newest runs first."""
    query = select(JobRun).order_by(JobRun.created_at.desc(), JobRun.id).limit(limit)
    return list(await work.session.scalars(query))


async def running(work: Work, limit: int = 100) -> list[JobRun]:
    """The runs under way, the newest first."""
    query = (
        select(JobRun)
        .where(JobRun.status == JobStatus.RUNNING)
        .order_by(JobRun.started_at.desc(), JobRun.id)
        .limit(limit)
    )
    return list(await work.session.scalars(query))


async def get(work: Work, run_id: UUID, *field: str) -> JobRun:
    """The run of that id. Raises DomainError NOT_FOUND, blaming ``field``."""
    run = await work.session.get(JobRun, (work.tenant_id, run_id))
    if run is None:
        raise not_found("job run", field)
    return run


async def get_many(work: Work, run_ids: Collection[UUID]) -> list[JobRun]:
    """The runs of those ids that exist, the one started first first."""
    query = select(JobRun).where(JobRun.id.in_(run_ids)).order_by(JobRun.started_at, JobRun.id)
    return list(await work.session.scalars(query))
