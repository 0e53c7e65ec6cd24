"""Jobs: the type of their runs."""

from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from domain.jobs import job_runs
from domain.jobs.job_runs import JobStatus
from graph.core.context import Context
from graph.core.directives import weight
from graph.core.enums import publish
from graph.core.loaders import Loaders, batched
from graph.core.nodes import Node

publish(
    JobStatus,
    "Where the run of a job stands.",
    {
        JobStatus.QUEUED: "Waits for a worker.",
        JobStatus.RUNNING: "Under way, or to be taken up again.",
        JobStatus.SUCCEEDED: "Ended well.",
        JobStatus.FAILED: "Ended with an error that would come again.",
        JobStatus.PARKED: "Kept failing and is laid aside, until somebody has it run again.",
        JobStatus.CANCELLED: "Was called off.",
    },
)

ENDED_BADLY = (JobStatus.FAILED, JobStatus.PARKED)


class JobLoaders(Loaders):
    """Loaders of jobs."""

    @batched
    async def runs(self, wanted: list[UUID]) -> list[job_runs.JobRun | None]:
        """A run by id, None if there is none."""
        async with self.context.work() as work:
            found = {row.id: row for row in await job_runs.get_many(work, wanted)}
        return [found.get(run_id) for run_id in wanted]


@strawberry.type
class JobRun(Node, rows=(job_runs.JobRun,)):
    """A run of a job: a training or a reindex, for example."""

    row: strawberry.Private[job_runs.JobRun]
    function: str = strawberry.field(
        description="Name of the job: `train_twin` or `reindex`, for example."
    )
    arguments: JSON = strawberry.field(
        description="What was asked for, by the function's names.", directives=[weight(1)]
    )
    status: JobStatus = strawberry.field(description="Where it stands.")
    progress: float = strawberry.field(description="How much of it is done, 0 to 1.")
    message: str | None = strawberry.field(description="What it does now, for people.")
    error: str | None = strawberry.field(description="Why it failed; null unless it did.")
    result: JSON | None = strawberry.field(
        description="What it says of its work, by the function's names; null until it ended well.",
        directives=[weight(2)],
    )
    attempt: int = strawberry.field(
        description="How often it was begun, without the times when it was interrupted or put off."
    )
    created_at: datetime = strawberry.field(description="When it was asked for.")
    started_at: datetime = strawberry.field(
        description="When it was last begun; until it is, when it was asked for."
    )
    finished_at: datetime | None = strawberry.field(description="When it ended; null until then.")

    @classmethod
    def of(cls, row: job_runs.JobRun) -> Self:
        """A run as a client sees it: its error column is not for clients."""
        failed = row.status in ENDED_BADLY
        return cls.made_of(
            row,
            arguments=JSON(row.arguments),
            error=(row.message or job_runs.UNEXPLAINED) if failed else None,
            result=None if row.result is None else JSON(row.result),
        )

    @classmethod
    async def read(cls, context: Context, row_id: UUID) -> job_runs.JobRun | None:
        """See ``Node.read``."""
        return await context.loaders(JobLoaders).runs.load(row_id)

    @classmethod
    def permit(cls, context: Context, row_id: UUID, *field: str) -> None:  # noqa: ARG003
        """Check that the caller may see jobs. Raises DomainError FORBIDDEN."""
        context.require_privileged("Only analysts and admins may see jobs.")
