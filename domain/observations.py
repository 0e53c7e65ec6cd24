"""What those who operate the server watch of the database: counts, ages and verdicts, no rows.

Reading it is one short unit of work a tenant, one after the other.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.types import Float

from domain import drift, indexing, tenants
from domain.database import Database
from domain.drift import DriftLevel
from domain.job_runs import JobRun, JobStatus
from domain.model_versions import ModelStatus, ModelVersion
from domain.work import Work

DURATIONS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
"""Upper bounds, in seconds, between which the durations of runs are counted."""

WINDOW = timedelta(days=1)
"""How far back ended runs count."""

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


@dataclass(frozen=True, slots=True)
class Figures:
    """Of all tenants."""

    tenants: Sequence[TenantFigures]
    runs: RunFigures


async def observe(database: Database) -> Figures:
    """Read everything."""
    async with database.work(None) as work:
        listed = [(firm.id, firm.slug) for firm in await tenants.list_all(work)]
    found = []
    runs = RunFigures()
    for tenant_id, slug in listed:
        async with database.work(tenant_id) as work:
            found.append(await _tenant(work, slug))
            await _add_runs(work, runs)
    return Figures(found, runs)


async def _tenant(work: Work, slug: str) -> TenantFigures:
    waiting = await indexing.waiting(work)
    age = (datetime.now(UTC) - waiting.oldest).total_seconds() if waiting.oldest else 0.0
    active = (
        await work.session.execute(
            select(ModelVersion.id, ModelVersion.number, ModelVersion.created_at).where(
                ModelVersion.status == ModelStatus.ACTIVE
            )
        )
    ).one_or_none()
    judged = (
        await work.session.execute(
            select(ModelVersion.gates, ModelVersion.status)
            .where(func.jsonb_array_length(ModelVersion.gates) > 0)
            .order_by(ModelVersion.number.desc())
            .limit(1)
        )
    ).one_or_none()
    measured = (await drift.latest(work, [active.id])).get(active.id) if active else None
    return TenantFigures(
        slug=slug,
        marks=waiting.marks,
        oldest_mark=max(0.0, age),
        version=active.number if active else None,
        trained_at=active.created_at if active else None,
        gates={
            one["gate"]: Gate(one["passed"], one["value"], one["bound"])
            for one in (judged.gates if judged else ())
        },
        refused=judged is not None and judged.status is ModelStatus.REFUSED,
        drift=measured.level if measured else None,
        drift_score=measured.score if measured else None,
        drift_features=max(measured.features.values(), default=None) if measured else None,
    )


async def _add_runs(work: Work, runs: RunFigures) -> None:
    since = datetime.now(UTC) - WINDOW
    took = func.extract("epoch", JobRun.finished_at - JobRun.started_at)
    # The first bound is inclusive for Prometheus and exclusive here, which no one will see.
    bounds = array(DURATIONS, type_=Float).cast(ARRAY(Float(53)))
    place = func.width_bucket(took, bounds)
    rows = await work.session.execute(
        select(JobRun.function, JobRun.status, place, func.count(), func.sum(took))
        .where(or_(JobRun.finished_at > since, JobRun.status.in_(_STANDING)))
        .group_by(JobRun.function, JobRun.status, place)
    )
    for function, status, bucket, count, seconds in rows:
        runs.counts[function, status] += count
        if status is JobStatus.SUCCEEDED:
            runs.seconds[function][bucket] += count
            runs.total[function] += float(seconds)
