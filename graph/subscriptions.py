"""Subscriptions: an investor's list that may have changed, and the progress of jobs.

An event tells that something changed; what it is now is read when the event is answered. So events
that come faster than ``PACE``, or than a client reads, are answered together, and none is lost.
"""

import asyncio
from collections.abc import AsyncGenerator
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import strawberry

from domain.core.events import Event, Topic
from domain.jobs import job_runs
from graph.core.context import Context, Info
from graph.core.directives import QUERY, weight
from graph.core.enums import publish
from graph.core.nodes import parse_id
from graph.jobs.types import JobRun
from graph.users.types import User, UserId

PACE = 1.0
"""Seconds between two events of one subscription, at least."""


class ChangeCause(StrEnum):
    """Why an investor's list may have changed."""

    SUBSCRIBED = "SUBSCRIBED"
    FEEDBACK = "FEEDBACK"
    INTERACTION = "INTERACTION"
    BUY_BOX = "BUY_BOX"
    PROPERTIES = "PROPERTIES"
    MODEL = "MODEL"
    MISSED = "MISSED"


publish(
    ChangeCause,
    "Why an investor's list may have changed.",
    {
        ChangeCause.SUBSCRIBED: "It has not; this is the first event of the subscription.",
        ChangeCause.FEEDBACK: "The investor gave or took back a thumb.",
        ChangeCause.INTERACTION: "The investor did something with a property.",
        ChangeCause.BUY_BOX: "The investor said what it wants.",
        ChangeCause.PROPERTIES: "Properties were imported, changed or deleted.",
        ChangeCause.MODEL: "A newly trained model answers.",
        ChangeCause.MISSED: "The server may have missed why.",
    },
)


_OTHERS = (Topic.JOB, Topic.MEMBER)
"""Topics that say nothing of a list."""


@strawberry.type
class RecommendationsChanged:
    """An investor's list may have changed."""

    investor: strawberry.Private[UUID]
    causes: list[ChangeCause] = strawberry.field(
        description="Why, the earliest first; each once, however often it happened."
    )

    @strawberry.field
    async def user(self, info: Info) -> User:
        """Whose list it is; its `recommendations` are the list as it is now."""
        return await User.get(info.context, self.investor, "userId")


async def recommendations_changed(
    info: Info, user_id: UserId = None
) -> AsyncGenerator[RecommendationsChanged, None]:
    """The events of an investor's list.

    Raises:
        DomainError: FORBIDDEN if a viewer names another; NOT_FOUND; INVALID_INPUT.
    """
    investor = info.context.investor(user_id, "userId")
    await User.get(info.context, investor, "userId")
    return _changes(info.context, investor)


async def _changes(
    context: Context, investor: UUID
) -> AsyncGenerator[RecommendationsChanged, None]:
    def concerns(event: Event) -> bool:
        return event.topic not in _OTHERS and event.subject in (None, investor)

    async with context.listen(concerns) as listener:
        causes = [ChangeCause.SUBSCRIBED]
        while True:
            yield RecommendationsChanged(investor=investor, causes=causes)
            await asyncio.sleep(PACE)
            topics = dict.fromkeys(event.topic for event in await listener.take())
            causes = [ChangeCause(topic.value) for topic in topics]


JobId = Annotated[
    strawberry.ID | None, strawberry.argument(description="One run only, until it ends; or all.")
]


async def job_progress(info: Info, job_id: JobId = None) -> AsyncGenerator[JobRun, None]:
    """The events of one job's run, or of all.

    Raises:
        DomainError: FORBIDDEN for a viewer; NOT_FOUND; INVALID_INPUT for a malformed id.
    """
    info.context.require_privileged("Only analysts and admins may follow jobs.")
    if job_id is None:
        return _all_runs(info.context)
    run_id = parse_id(job_id, "JobRun", "jobId")
    async with info.context.work() as work:
        await job_runs.get(work, run_id, "jobId")
    return _one_run(info.context, run_id)


async def _one_run(context: Context, run_id: UUID) -> AsyncGenerator[JobRun, None]:
    async with context.listen(lambda event: event == Event(Topic.JOB, run_id)) as listener:
        while True:
            async with context.work() as work:
                row = await job_runs.get(work, run_id, "jobId")
            yield JobRun.of(row)
            if row.status not in job_runs.UNFINISHED:
                return
            await asyncio.sleep(PACE)
            await listener.take()


async def _all_runs(context: Context) -> AsyncGenerator[JobRun, None]:
    async with context.listen(lambda event: event.topic is Topic.JOB) as listener:
        async with context.work() as work:
            rows = await job_runs.unfinished(work)
        under_way: set[UUID] = set()
        while True:
            for row in rows:
                yield JobRun.of(row)
                (under_way.add if row.status in job_runs.UNFINISHED else under_way.discard)(row.id)
            await asyncio.sleep(PACE)
            events = await listener.take()
            changed = {event.subject for event in events if event.subject}
            async with context.work() as work:
                if any(event.topic is Topic.MISSED for event in events):
                    changed |= under_way | {row.id for row in await job_runs.unfinished(work)}
                rows = await job_runs.get_many(work, changed)


@strawberry.type
class Subscription:
    """What can be followed. The first event comes at once."""

    recommendations_changed = strawberry.subscription(
        resolver=recommendations_changed,
        description="Events of an investor's list: whenever it may have changed, at most one a "
        "second.",
        directives=[weight(QUERY)],
    )
    job_progress = strawberry.subscription(
        resolver=job_progress,
        description="Runs of jobs, each whenever it got further; first those under way. For "
        "analysts and admins.",
        directives=[weight(QUERY)],
    )
