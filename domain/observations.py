"""What those who operate the server watch of the database: counts, ages and verdicts, no rows.

Reading it is one statement a tenant, of a few tenants at once.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.types import Float

from domain.core.database import Database
from domain.core.reading import Statement
from domain.jobs.index_outbox import IndexMark
from domain.jobs.job_runs import JobRun, JobStatus
from domain.model_registry.drift import DriftLevel, DriftMeasurement, judged
from domain.model_registry.model_versions import ModelStatus, ModelVersion
from domain.tenants import tenants

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Tenants that are read at a time, each over a connection."""

DURATIONS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
"""Upper bounds, in seconds, between which the durations of runs are counted."""

WINDOW = timedelta(days=1)
"""How far back ended runs count."""

_RunRow = tuple[str, str, int | None, int, float | None]
"""What ``RunFigures.add`` takes."""

_STANDING = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PARKED)
"""Runs that count however old they are: somebody or something has yet to see to them."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure that a version was judged by; the bound is None where there is none."""

    passed: bool
    value: float | None
    bound: float | None


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """Of one tenant.

    Attributes:
        slug: the tenant's.
        marks: changes that are not in the index yet.
        oldest_mark: seconds that the oldest of them has waited; 0 without any.
        version: number of the version that answers; None while there is none.
        trained_at: when that was made.
        gates: of the newest version that was judged, by name.
        refused: whether that one was refused.
        drift: newest level measured of the active version; None before the first.
        drift_score: its index of the distribution of scores.
        drift_features: its highest index of a feature.
    """

    slug: str
    marks: int
    oldest_mark: float
    version: int | None
    trained_at: datetime | None
    gates: Mapping[str, Gate]
    refused: bool
    drift: DriftLevel | None
    drift_score: float | None
    drift_features: float | None


@dataclass(slots=True)
class RunFigures:
    """Of the job runs of all tenants together.

    Attributes:
        counts: runs by function and status, of the ended ones those of a day.
        seconds: how many of a day's succeeded runs took no longer than each of ``DURATIONS``, and
            the rest, by function.
        total: seconds that those took together.
    """

    counts: Counter[tuple[str, JobStatus]] = field(default_factory=Counter)
    seconds: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    total: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(
        self, function: str, status: str, place: int | None, count: int, seconds: float | None
    ) -> None:
        """Add runs of a function that stand so and took from one of ``DURATIONS`` to the next."""
        standing = JobStatus(status)
        self.counts[function, standing] += count
        if standing is JobStatus.SUCCEEDED and place is not None and seconds is not None:
            self.seconds[function][place] += count
            self.total[function] += seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """Of all tenants but ``unread`` ones, which could not be read."""

    tenants: Sequence[TenantFigures]
    unread: int
    runs: RunFigures


async def observe(database: Database) -> Figures:
    """Read everything; a tenant that cannot be read is left out, and said so in the log.

    Raises:
        Exception: nothing could be read.
    """
    async with database.work(None) as work:
        listed = [(firm.id, firm.slug) for firm in await tenants.list_all(work)]
    places = asyncio.Semaphore(AT_ONCE)

    async def read(tenant_id: UUID, slug: str) -> tuple[TenantFigures, Sequence[_RunRow]]:
        async with places, database.read(tenant_id) as reading:
            rows: Sequence[Any] = await reading.fetch(_FIGURES)
        return _tenant(slug, rows[0]), rows[0]["runs"] or ()

    found = await asyncio.gather(*(read(*one) for one in listed), return_exceptions=True)
    figures, runs = [], RunFigures()
    errors: dict[UUID, BaseException] = {}
    for (tenant_id, _), one in zip(listed, found, strict=True):
        if isinstance(one, BaseException):
            errors[tenant_id] = one
            continue
        figures.append(one[0])
        for row in one[1]:
            runs.add(*row)
    if errors:
        tenant_id, error = next(iter(errors.items()))
        if not figures:
            raise error
        logger.warning(
            "could not read the figures of %d tenants, %s for one",
            len(errors),
            tenant_id,
            exc_info=error,
        )
    return Figures(figures, len(errors), runs)


def _tenant(slug: str, row: Any) -> TenantFigures:
    return TenantFigures(
        slug=slug,
        marks=row["marks"],
        oldest_mark=row["oldest_mark"],
        version=row["version"],
        trained_at=row["trained_at"],
        gates={
            one["gate"]: Gate(one["passed"], one["value"], one["bound"])
            for one in row["gates"] or ()
        },
        refused=row["judged"] == ModelStatus.REFUSED,
        drift=None if row["drift"] is None else DriftLevel(row["drift"]),
        drift_score=row["drift_score"],
        drift_features=max(judged(row["drift_features"] or {}).values(), default=None),
    )


def _of_tenant() -> Statement:
    """All of a tenant in one row, with its runs as JSON."""
    waited = func.extract("epoch", func.now() - func.min(IndexMark.created_at)).cast(Float(53))
    waiting = select(
        func.count().label("marks"), func.coalesce(waited, 0.0).label("oldest_mark")
    ).select_from(IndexMark)
    active = select(ModelVersion.id, ModelVersion.number, ModelVersion.created_at).where(
        ModelVersion.status == ModelStatus.ACTIVE
    )
    judged = (
        select(ModelVersion.gates, ModelVersion.status)
        .where(func.jsonb_array_length(ModelVersion.gates) > 0)
        .order_by(ModelVersion.number.desc())
        .limit(1)
    )
    of_active = active.subquery("active")
    measured = (
        select(DriftMeasurement.level, DriftMeasurement.score, DriftMeasurement.features)
        .where(DriftMeasurement.version_id == of_active.c.id)
        .order_by(DriftMeasurement.created_at.desc())
        .limit(1)
    )
    took = func.extract("epoch", JobRun.finished_at - JobRun.started_at)
    # The first bound is inclusive for Prometheus and exclusive here, which no one will see.
    place = func.width_bucket(took, array(DURATIONS, type_=Float).cast(ARRAY(Float(53))))
    counted = (
        select(
            func.jsonb_build_array(
                JobRun.function, JobRun.status, place, func.count(), func.sum(took)
            ).label("run")
        )
        .where(or_(JobRun.finished_at > func.now() - WINDOW, JobRun.status.in_(_STANDING)))
        .group_by(JobRun.function, JobRun.status, place)
        .subquery("counted")
    )
    marks, newest = waiting.subquery("waiting"), judged.subquery("judged")
    last, runs = measured.lateral("measured"), select(func.jsonb_agg(counted.c.run).label("runs"))
    return Statement(
        select(
            marks.c.marks,
            marks.c.oldest_mark,
            of_active.c.number.label("version"),
            of_active.c.created_at.label("trained_at"),
            newest.c.gates,
            newest.c.status.label("judged"),
            last.c.level.label("drift"),
            last.c.score.label("drift_score"),
            last.c.features.label("drift_features"),
            runs.scalar_subquery().label("runs"),
        )
        .select_from(marks)
        .outerjoin(of_active, true())
        .outerjoin(newest, true())
        .outerjoin(last, true())
    )


_FIGURES = _of_tenant()
