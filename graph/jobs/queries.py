"""Listing the runs of jobs."""

from typing import Annotated

import strawberry

from domain.jobs import run_list
from domain.jobs.job_runs import JobStatus
from graph.core.context import Info
from graph.core.directives import QUERY, weight
from graph.core.inputs import bounded
from graph.core.pagination import (
    PAGED,
    After,
    Before,
    Connection,
    First,
    Last,
    list_by_age,
    slice_of,
)
from graph.jobs.types import JobRun


@strawberry.input
class JobRunFilter:
    """Which runs; all conditions that are given must hold."""

    functions: list[str] | None = strawberry.field(
        default=None, description="Of one of these functions."
    )
    statuses: list[JobStatus] | None = strawberry.field(
        default=None, description="Standing at one of these."
    )


Which = Annotated[
    JobRunFilter | None, strawberry.argument(name="filter", description="Which runs.")
]


@strawberry.type
class JobQueries:
    """Queries of jobs."""

    @strawberry.field(directives=[weight(QUERY), PAGED])
    async def job_runs(
        self,
        info: Info,
        where: Which = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[JobRun]:
        """The runs of jobs, the newest first; for analysts and admins.

        Raises DomainError FORBIDDEN for a viewer.
        """
        info.context.require_privileged("Only analysts and admins may see jobs.")
        matching, asked = _filter(where), slice_of(first, after, last, before)
        return await list_by_age(
            info.context, "jobRuns", asked, matching, run_list.page, run_list.count, JobRun.of
        )


def _filter(where: JobRunFilter | None) -> run_list.RunFilter:
    if where is None:
        return run_list.RunFilter()
    return run_list.RunFilter(
        bounded(where.functions, "functions"), bounded(where.statuses, "statuses")
    )
