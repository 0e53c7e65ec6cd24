"""Job runs: what was asked of the queue, how far it got and how it ended.

A run is written in the transaction that asks for it, and reaches the queue after the commit. So
the queue may lose a job, and the sweep puts it there again. How a run ended stands, whatever a
worker reports that was thought dead: only ``requeue`` begins it anew.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Text, cast, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from domain.contract import tracing
from domain.core.base import Base, TenantScoped, one_of, vocabulary
from domain.core.errors import invalid, not_found
from domain.core.events import Event, Topic
from domain.core.work import Work

UNEXPLAINED = "Something went wrong on our side; quote the run's id to support."
CALLED_OFF = "called off"

# The functions that are recorded.
TRAIN = "train_twin"
REINDEX = "reindex"
ACTIVATE = "activate_model"
DRIFT = "measure_drift"
PURGE = "purge_changes"

_MORE: Mapping[str, frozenset[str]] = {REINDEX: frozenset({"full"})}
"""Arguments by which a run of a function does all that one without them does, and more."""


class JobStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARKED = "parked"
    CANCELLED = "cancelled"


UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)
AGAIN = (JobStatus.FAILED, JobStatus.PARKED, JobStatus.CANCELLED)
_BEGUN = (JobStatus.RUNNING,)
_OF_ATTEMPTS = ("message", "error", "finished_at", "heartbeat_at")


class JobRun(TenantScoped, Base):
    """One run of a job, over all its attempts; its id is the queue's too.

    ``attempt`` counts how often it was begun and not interrupted, ``failures`` those of them that
    ended with an error; what is left are the last one, and those whose worker died.
    ``message`` is for the tenant: what the run does now, or why it failed. ``error`` is for those
    who operate the server, and may name what the tenant must not see. ``started_at`` is when it
    was begun last, or asked for until it is begun. ``trace`` is the W3C trace context of who asked.
    """

    __tablename__ = "job_runs"
    __table_args__ = (
        Index("ix_job_runs_newest", "tenant_id", text("created_at DESC")),
        # Who asks for what waits already gets that.
        Index(
            "uq_job_runs_waiting",
            "tenant_id",
            "function",
            unique=True,
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "ix_job_runs_unfinished",
            "tenant_id",
            "created_at",
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        one_of("status", JobStatus),
    )

    function: Mapped[str] = mapped_column(Text)
    arguments: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[JobStatus] = mapped_column(vocabulary(JobStatus))
    attempt: Mapped[int] = mapped_column(server_default="0")
    failures: Mapped[int] = mapped_column(server_default="0")
    progress: Mapped[float] = mapped_column(server_default="0")
    message: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default="false")
    trace: Mapped[str | None] = mapped_column(Text)


async def request(work: Work, function: str, arguments: Mapping[str, Any] | None = None) -> JobRun:
    """Have a job run after the commit.

    Jobs read the state of the database when they run, so one that waits or runs already is returned
    instead, if it does as much as is asked for: a full reindex does what another one would, and all
    other arguments count for nothing. One that waits and would do less is made to do more; where
    such a one runs, another waits behind it.
    """
    wanted = dict(arguments or {})
    more = _MORE.get(function, frozenset())
    under_way = (
        select(JobRun)
        .where(JobRun.function == function, JobRun.status.in_(UNFINISHED))
        .order_by(JobRun.created_at.desc())
        .execution_options(populate_existing=True)
    )
    while True:
        waits = False
        for run in await work.session.scalars(under_way):
            if all(run.arguments.get(one) for one in more if wanted.get(one)):
                return run
            waits = waits or run.status is JobStatus.QUEUED
        asked: JobRun | None = await work.session.scalar(
            update(JobRun)
            .where(JobRun.function == function, JobRun.status == JobStatus.QUEUED)
            .values(arguments=JobRun.arguments.op("||")(cast(wanted, JSONB)))
            .returning(JobRun)
            .execution_options(populate_existing=True)
            if waits
            else insert(JobRun)
            .values(
                tenant_id=work.tenant_id,
                function=function,
                arguments=wanted,
                status=JobStatus.QUEUED,
                trace=tracing.traceparent(),
            )
            .on_conflict_do_nothing()
            .returning(JobRun)
        )
        # Else another transaction was faster: what waited has begun, or another waits.
        if asked is not None:
            work.enqueue(function, asked.id)
            work.publish(Event(Topic.JOB, asked.id))
            return asked


async def start(work: Work, run_id: UUID) -> JobRun | None:
    """Note that a run was begun, or begun again; None if it has ended, or was called off."""
    run: JobRun | None = await work.session.scalar(
        update(JobRun)
        .where(JobRun.id == run_id, JobRun.status.in_(UNFINISHED), ~JobRun.cancel_requested)
        .values(
            status=JobStatus.RUNNING,
            attempt=JobRun.attempt + 1,
            progress=0.0,
            error=None,
            started_at=func.now(),
            heartbeat_at=func.now(),
        )
        .returning(JobRun)
    )
    if run is not None:
        work.publish(Event(Topic.JOB, run.id))
        return run
    called_off = select(JobRun.id).where(
        JobRun.id == run_id, JobRun.status.in_(UNFINISHED), JobRun.cancel_requested
    )
    # While it waited for a further attempt.
    if await work.session.scalar(called_off.with_for_update()):
        await cancelled(work, run_id)
    return None


async def postpone(work: Work, run_id: UUID, message: str, error: str | None = None) -> None:
    """Note that a run stopped before its end and will be taken up again.

    With an error the attempt was a failure. Without it counts as none: the job was not at fault.
    """
    if error is None:
        await _write(work, run_id, message=message, attempt=JobRun.attempt - 1)
    else:
        await _write(work, run_id, message=message, error=error, failures=JobRun.failures + 1)


async def progress(work: Work, run_id: UUID, share: float, message: str) -> None:
    """Note how far a run got: a share in [0, 1] and what it does now."""
    await _write(work, run_id, progress=share, message=message, heartbeat_at=func.now())


async def succeed(work: Work, run_id: UUID, result: dict[str, Any]) -> None:
    """Note that a run ended well."""
    await _end(work, run_id, JobStatus.SUCCEEDED, progress=1.0, result=result)


async def fail(work: Work, run_id: UUID, error: str, message: str = UNEXPLAINED) -> None:
    """Note that a run ended with an error that would come again; the tenant gets the message."""
    await _end(work, run_id, JobStatus.FAILED, error=error, message=message)


async def park(work: Work, run_id: UUID, error: str, message: str = UNEXPLAINED) -> None:
    """Note that a run kept failing and is laid aside; ``requeue`` takes it up again."""
    await _end(work, run_id, JobStatus.PARKED, error=error, message=message)


async def cancel(work: Work, run_id: UUID, *field: str) -> JobRun:
    """Call a run off: at once while it waits or is parked, in seconds where it runs.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT if it ended otherwise. Both blame ``field``.
    """
    run = await _locked(work, run_id, *field)
    if run.status is JobStatus.RUNNING:
        run.cancel_requested = True
    elif run.status in (JobStatus.QUEUED, JobStatus.PARKED):
        await _end(work, run_id, JobStatus.CANCELLED, (run.status,), message=CALLED_OFF)
    else:
        allowed = "queued, running or parked"
        raise invalid(f"run {run_id} is {run.status}: only one that is {allowed}", *field)
    await work.session.flush()
    await work.session.refresh(run)
    return run


async def cancelled(work: Work, run_id: UUID) -> None:
    """Note that a run was called off."""
    await _end(work, run_id, JobStatus.CANCELLED, UNFINISHED, message=CALLED_OFF)


async def requeue(work: Work, run_id: UUID, *field: str) -> JobRun:
    """Have a run that failed, was parked or called off run again, with all its attempts.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT if it did not end so, or another of its function
            waits already. Both blame ``field``.
    """
    run = await _locked(work, run_id, *field)
    if run.status not in AGAIN:
        raise invalid(f"run {run_id} is {run.status}: only one that is {', '.join(AGAIN)}", *field)
    try:
        async with work.session.begin_nested():
            await work.session.execute(
                update(JobRun)
                .where(JobRun.id == run_id)
                .values(
                    dict.fromkeys(_OF_ATTEMPTS)
                    | {"status": JobStatus.QUEUED, "cancel_requested": False}
                    | {"attempt": 0, "failures": 0, "progress": 0.0, "started_at": func.now()}
                )
            )
    except IntegrityError:
        # Only one of a function waits; the other may be of a transaction that just committed.
        raise invalid(f"another run of {run.function} waits already", *field) from None
    await work.session.refresh(run)
    work.enqueue(run.function, run.id)
    work.publish(Event(Topic.JOB, run.id))
    return run


async def asked_since(work: Work, function: str, moment: datetime) -> bool:
    """Whether anybody asked for a job since then."""
    query = select(JobRun.id).where(JobRun.function == function, JobRun.created_at >= moment)
    return await work.session.scalar(query.limit(1)) is not None


async def heartbeat(work: Work, run_id: UUID) -> bool:
    """Note that a run is alive; whether it is to go on."""
    go_on: bool | None = await work.session.scalar(
        update(JobRun)
        .where(JobRun.id == run_id, JobRun.status == JobStatus.RUNNING)
        .values(heartbeat_at=func.now())
        .returning(~JobRun.cancel_requested)
    )
    return bool(go_on)


async def enqueue_unfinished(work: Work, silent_since: datetime) -> int:
    """Enqueue what should be in the queue or running and gave no sign since; how many that is.

    The queue ignores those that it still has.
    """
    rows = await work.session.scalars(
        select(JobRun).where(
            JobRun.status.in_(UNFINISHED),
            func.coalesce(JobRun.heartbeat_at, JobRun.created_at) < silent_since,
        )
    )
    found = list(rows)
    for run in found:
        work.enqueue(run.function, run.id)
    return len(found)


async def forget(work: Work, before: datetime) -> None:
    """Delete the runs that ended before then."""
    await work.session.execute(delete(JobRun).where(JobRun.finished_at < before))


async def recent(work: Work, limit: int = 100) -> list[JobRun]:
    """The newest runs first."""
    query = select(JobRun).order_by(JobRun.created_at.desc(), JobRun.id).limit(limit)
    return list(await work.session.scalars(query))


async def unfinished(work: Work, limit: int = 100) -> list[JobRun]:
    """The runs that wait or are under way, the newest first."""
    query = (
        select(JobRun)
        .where(JobRun.status.in_(UNFINISHED))
        .order_by(JobRun.created_at.desc(), JobRun.id)
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


async def _locked(work: Work, run_id: UUID, *field: str) -> JobRun:
    run = await work.session.scalar(select(JobRun).where(JobRun.id == run_id).with_for_update())
    if run is None:
        raise not_found("job run", field)
    return run


async def _end(
    work: Work,
    run_id: UUID,
    status: JobStatus,
    standing: Sequence[JobStatus] = _BEGUN,
    **values: Any,
) -> None:
    await _write(work, run_id, standing, status=status, finished_at=func.now(), **values)


async def _write(
    work: Work, run_id: UUID, standing: Sequence[JobStatus] = _BEGUN, **values: Any
) -> None:
    written = await work.session.scalar(
        update(JobRun)
        .where(JobRun.id == run_id, JobRun.status.in_(standing))
        .values(**values)
        .returning(JobRun.id)
    )
    if written is not None:
        work.publish(Event(Topic.JOB, run_id))
