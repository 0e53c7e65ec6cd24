"""Jobs: their runs, and asking for a training or a reindex."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from domain.contract.vocabulary import Role
from domain.core.base import parse_uuid
from domain.core.errors import forbidden
from domain.core.keyset import Created
from domain.jobs import job_runs, run_list
from domain.jobs.job_runs import JobStatus
from graph.core.context import INPUT, Context, Info
from graph.core.directives import weight
from graph.core.enums import publish
from graph.core.errors import UserError, refusals_into
from graph.core.nodes import Node, global_id
from graph.core.pagination import (
    After,
    Before,
    First,
    Last,
    PageInfo,
    created_cursor,
    keyset_page,
    page_size,
    parse_created,
)
from graph.core.weights import QUERY
from graph.properties.filters import bounded

if TYPE_CHECKING:
    from graph.model_registry.types import ModelVersion

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

REFUSAL = "Only analysts and admins may see jobs."

ENDED_BADLY = (JobStatus.FAILED, JobStatus.PARKED)

_VERSION = "version_id"
"""Where runs name a version."""


@strawberry.type(
    description="A run of a job: a training, a reindex, the activation of a model that is not in "
    "the index, or a measurement of drift."
)
class JobRun(Node):
    """A run of a job."""

    row: strawberry.Private[job_runs.JobRun]
    function: str = strawberry.field(
        description="What is done: `train_twin`, `reindex`, `activate_model`, `measure_drift`."
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

    @staticmethod
    def of(row: job_runs.JobRun) -> "JobRun":
        """A run as a client sees it: its error column is not for clients."""
        failed = row.status in ENDED_BADLY
        return JobRun(
            id=global_id("JobRun", row.id),
            row=row,
            function=row.function,
            arguments=JSON(row.arguments),
            status=row.status,
            progress=row.progress,
            message=row.message,
            error=(row.message or job_runs.UNEXPLAINED) if failed else None,
            result=None if row.result is None else JSON(row.result),
            attempt=row.attempt,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )

    @strawberry.field(
        description="The version that it made or has answer; null if it is about none, and of a "
        "training until it ended well.",
        directives=[weight(QUERY)],
    )
    async def model_version(
        self, info: Info
    ) -> Annotated["ModelVersion", strawberry.lazy("graph.model_registry.types")] | None:
        """Read with those of the other runs in the answer."""
        from graph.model_registry.types import ModelVersion

        # Either may hold null, or what is no id at all.
        named = (self.row.result or {}).get(_VERSION) or self.row.arguments.get(_VERSION)
        version_id = parse_uuid(named) if isinstance(named, str) else None
        if version_id is None:
            return None
        row = await info.context.loaders.versions.load(version_id)
        return ModelVersion.of(row) if row else None


@strawberry.input(description="Which runs; all conditions that are given must hold.")
class JobRunFilter:
    """Which runs."""

    functions: list[str] | None = strawberry.field(
        default=None, description="Of one of these functions."
    )
    statuses: list[JobStatus] | None = strawberry.field(
        default=None, description="Standing at one of these."
    )


@strawberry.type(description="A run in a list.")
class JobRunEdge:
    """A run in a list."""

    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    node: JobRun = strawberry.field(description="The run.")


@strawberry.type(description="A page of runs, the newest first.")
class JobRunConnection:
    """A page of runs."""

    where: strawberry.Private[run_list.RunFilter]
    edges: list[JobRunEdge] = strawberry.field(description="The page's runs, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")

    @strawberry.field(
        description="How many runs match in all; counted only if asked for.",
        directives=[weight(QUERY)],
    )
    async def total_count(self, info: Info) -> int:
        """One more query."""
        async with info.context.work() as work:
            return await run_list.count(work, self.where)


@strawberry.input(description="A training.")
class StartTrainingInput:
    """A training."""

    warm: bool = strawberry.field(
        default=False,
        description="Go on from the active version with what is new, in a fraction of the time.",
    )


@strawberry.input(description="A reindex.")
class StartReindexInput:
    """A reindex."""

    full: bool = strawberry.field(
        default=False, description="Write everything again, whatever is in the index already."
    )


@strawberry.type(description="The run of the job, or why there is none.")
class StartJobPayload:
    """The run of the job, or why there is none."""

    job: JobRun | None = strawberry.field(
        default=None,
        description="The run; one that waited or ran already, with its own arguments, if there is "
        "such a one. A full reindex is not answered by a lesser one: one that waits becomes full, "
        "and behind one that runs a full one waits. `jobProgress` follows it.",
    )
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nothing was started; empty if it was."
    )


async def list_job_runs(
    info: Info,
    where: Annotated[
        JobRunFilter | None, strawberry.argument(name="filter", description="Which runs.")
    ] = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> JobRunConnection:
    """A page of the tenant's runs. Raises DomainError FORBIDDEN for a viewer."""
    info.context.require_privileged(REFUSAL)
    matching, size, backward = _filter(where), page_size(first, last), last is not None
    async with info.context.work() as work:
        rows = await run_list.page(
            work,
            matching,
            size + 1,
            after=parse_created(after, "jobRuns", "after"),
            before=parse_created(before, "jobRuns", "before"),
            backward=backward,
        )

    def edge(row: job_runs.JobRun) -> JobRunEdge:
        place = Created(row.created_at, row.id)
        return JobRunEdge(cursor=created_cursor("jobRuns", place), node=JobRun.of(row))

    edges, page = keyset_page(rows, size, edge, after=after, before=before, backward=backward)
    return JobRunConnection(where=matching, edges=edges, page_info=page)


@refusals_into(StartJobPayload)
async def start_training(
    info: Info, given: Annotated[StartTrainingInput, INPUT]
) -> StartJobPayload:
    """Have a worker train the tenant's twin."""
    return await _start(info.context, job_runs.TRAIN, {"warm": True} if given.warm else {})


@refusals_into(StartJobPayload)
async def start_reindex(info: Info, given: Annotated[StartReindexInput, INPUT]) -> StartJobPayload:
    """Have a worker bring the index into step with the database."""
    return await _start(info.context, job_runs.REINDEX, {"full": True} if given.full else {})


def require_admin(context: Context) -> None:
    """Check that the caller is an admin. Raises DomainError FORBIDDEN."""
    if context.principal.role is not Role.ADMIN:
        raise forbidden("Only admins may start jobs and activate models.")


async def _start(context: Context, function: str, arguments: dict[str, Any]) -> StartJobPayload:
    require_admin(context)
    async with context.changes() as work:
        run = await job_runs.request(work, function, arguments)
    return StartJobPayload(job=JobRun.of(run))


def _filter(where: JobRunFilter | None) -> run_list.RunFilter:
    if where is None:
        return run_list.RunFilter()
    return run_list.RunFilter(
        bounded(where.functions, "functions"), bounded(where.statuses, "statuses")
    )
