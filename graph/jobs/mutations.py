"""Asking for a training or a reindex."""

from typing import Annotated, Any

import strawberry

from domain.jobs import job_runs
from graph.core.context import INPUT, Context, Info
from graph.core.errors import Payload, mutation
from graph.jobs.types import JobRun

REFUSAL = "Only admins may start jobs and activate models."


@strawberry.input
class StartTrainingInput:
    """A training."""

    warm: bool = strawberry.field(
        default=False,
        description="Go on from the active version with what is new, in a fraction of the time.",
    )


@strawberry.input
class StartReindexInput:
    """A reindex."""

    full: bool = strawberry.field(
        default=False, description="Write everything again, whatever is in the index already."
    )


@strawberry.type
class StartJobPayload(Payload):
    """The run of the job, or why there is none."""

    job: JobRun | None = strawberry.field(
        default=None,
        description="The run; one that waited or ran already, with its own arguments, if there is "
        "such a one. A full reindex is not answered by a lesser one: one that waits becomes full, "
        "and behind one that runs a full one waits. `jobProgress` follows it.",
    )


@strawberry.type
class JobMutations:
    """Mutations that start jobs."""

    @mutation()
    async def start_training(
        self, info: Info, given: Annotated[StartTrainingInput, INPUT]
    ) -> StartJobPayload:
        """Have the twin trained; it answers only if it passes its gates. For admins."""
        return await _start(info.context, job_runs.TRAIN, {"warm": True} if given.warm else {})

    @mutation()
    async def start_reindex(
        self, info: Info, given: Annotated[StartReindexInput, INPUT]
    ) -> StartJobPayload:
        """Have the index brought into step with the database. For admins."""
        return await _start(info.context, job_runs.REINDEX, {"full": True} if given.full else {})


async def _start(context: Context, function: str, arguments: dict[str, Any]) -> StartJobPayload:
    context.require_admin(REFUSAL)
    async with context.changes() as work:
        run = await job_runs.request(work, function, arguments)
    return StartJobPayload(job=JobRun.of(run))
