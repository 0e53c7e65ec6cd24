"""The list of a tenant's job runs, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select

from domain.core import keyset
from domain.core.base import storable
from domain.core.errors import invalid
from domain.core.keyset import Created
from domain.core.work import Work
from domain.jobs.job_runs import JobRun, JobStatus


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are meant; all if nothing is said.

    Attributes:
        functions: of one of these functions.
        statuses: standing at one of these.
    """

    functions: tuple[str, ...] = ()
    statuses: tuple[JobStatus, ...] = ()


def _matching(where: RunFilter) -> list[ColumnElement[bool]]:
    """Conditions on runs. Raises DomainError INVALID_INPUT for a text against the rules."""
    conditions: list[ColumnElement[bool]] = []
    if where.functions:
        if not all(map(storable, where.functions)):
            raise invalid("functions: use names without zero bytes", "filter", "functions")
        conditions.append(JobRun.function.in_(where.functions))
    if where.statuses:
        conditions.append(JobRun.status.in_(where.statuses))
    return conditions


async def count(work: Work, where: RunFilter) -> int:
    """How many runs match."""
    query = select(func.count()).select_from(JobRun).where(*_matching(where))
    return await work.session.scalar(query) or 0


async def page(
    work: Work,
    where: RunFilter,
    limit: int,
    *,
    after: Created | None = None,
    before: Created | None = None,
    backward: bool = False,
) -> Sequence[JobRun]:
    """Up to ``limit`` matching runs between two places, the newest first.

    ``backward`` takes those nearest the end instead of the start.
    """
    return await keyset.page(
        work,
        select(JobRun).where(*_matching(where)),
        (JobRun.created_at, JobRun.id),
        limit,
        after=after,
        before=before,
        backward=backward,
        newest_first=True,
    )
