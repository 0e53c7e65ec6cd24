"""Collects the metrics that are read when Prometheus scrapes, not counted as things happen.

``METRICS`` declares each metric of the database once: its name, help text and labels, and the query
that reads its samples. The queries of a tenant run as one statement under the tenant's row-level
security.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Metric
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily
from sqlalchemy import Float, Select, case, extract, func, select
from sqlalchemy.dialects.postgresql import JSONB

from domain.core.database import Database
from domain.core.reading import Row, Statement
from domain.core.work import QueueState
from domain.jobs.index_outbox import IndexMark
from domain.jobs.job_runs import JobRun, JobStatus
from domain.model_registry.drift import GROWING, DriftLevel, DriftMeasurement
from domain.model_registry.model_versions import ModelStatus, ModelVersion
from domain.tenants import tenants
from domain.tenants.tenants import Tenant

logger = logging.getLogger(__name__)

CONNECTIONS = 4
"""Tenants that are read at the same time, each over its own connection."""

JOB_WINDOW = timedelta(days=1)
"""How far back ended job runs count."""

PATIENCE = 3.0
"""Seconds that a scrape waits for a reading. After that it gets the previous one."""

STALE_AFTER = 180.0
"""Seconds after which a reading is too old to be served."""

READ_TIMEOUT = 60.0
"""Seconds after which a reading is given up."""

MIN_REUSE = 10.0
"""Seconds for which a reading is reused at least, in each process."""

COST = 20
"""A reading is reused for this many times the time it took, so that reading takes at most a
twentieth of the time; but for ``STALE_AFTER / 2`` at most, so that the next reading can finish
before this one is stale."""

Read = Callable[[], Awaitable[list[Metric]]]
Labels = tuple[str, ...]
Value = NDArray[np.float64]
"""A scalar; of a histogram the sum, the cumulative buckets and the count."""


@dataclass(frozen=True, slots=True)
class DatabaseMetric:
    """A gauge, or a histogram if it has buckets, with the query that reads its samples.

    Attributes:
        query: reads one tenant; its columns are the labels after ``tenant``, then the value. A row
            without a value is no sample.
        labels: with ``tenant`` first, each tenant has its own samples; without it, the samples of
            all tenants are added up.
        buckets: inclusive upper bounds.
    """

    name: str
    help: str
    query: Select[Any]
    labels: Labels = ("tenant",)
    buckets: tuple[float, ...] = ()

    def samples(self, slug: str, rows: Sequence[Row]) -> dict[Labels, Value]:
        """The samples of a tenant. Raises ValueError if a label is null."""
        if any(None in row[:-1] for row in rows):
            raise ValueError(f"{self.name}: the query gave null for a label")
        own = (slug,) if "tenant" in self.labels else ()
        return {
            (*own, *labels): np.asarray(value, float)
            for *labels, value in rows
            if value is not None
        }

    def family(self, samples: Mapping[Labels, Value]) -> Metric:
        """The metric family of the samples."""
        if not self.buckets:
            gauge = GaugeMetricFamily(self.name, self.help, labels=self.labels)
            for labels, value in samples.items():
                gauge.add_metric(labels, float(value))
            return gauge
        histogram = GaugeHistogramMetricFamily(self.name, self.help, labels=self.labels)
        bounds = [*map(str, self.buckets), "+Inf"]
        for labels, (total, *counts) in samples.items():
            histogram.add_metric(labels, list(zip(bounds, counts, strict=True)), total)
        return histogram


_ACTIVE = (
    select(ModelVersion.id, ModelVersion.number, ModelVersion.created_at)
    .where(ModelVersion.status == ModelStatus.ACTIVE)
    .cte("active")
)
_JUDGED = (
    select(ModelVersion.status, ModelVersion.gates)
    .where(func.jsonb_array_length(ModelVersion.gates) > 0)
    .order_by(ModelVersion.number.desc())
    .limit(1)
    .cte("judged")
)
_GATE = func.jsonb_array_elements(_JUDGED.c.gates, type_=JSONB).column_valued("gate")
_DRIFT = (
    select(DriftMeasurement.level, DriftMeasurement.score, DriftMeasurement.features)
    .join(_ACTIVE, _ACTIVE.c.id == DriftMeasurement.version_id)
    .order_by(DriftMeasurement.created_at.desc())
    .limit(1)
    .cte("drift")
)
_FEATURE = func.jsonb_each(_DRIFT.c.features).table_valued("key", "value")
# A run that waits, or that somebody has to look at, counts however old it is.
_STANDING = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PARKED)
_SECONDS = extract("epoch", JobRun.finished_at - JobRun.started_at).label("seconds")
_RUN = (
    select(JobRun.function, JobRun.status, _SECONDS)
    .where((JobRun.finished_at > func.now() - JOB_WINDOW) | JobRun.status.in_(_STANDING))
    .cte("run")
)
_JOB_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)

METRICS = (
    DatabaseMetric(
        "twin_index_marks",
        "Changes that are not in the index yet.",
        select(func.count()).select_from(IndexMark),
    ),
    DatabaseMetric(
        "twin_index_oldest_mark_seconds",
        "Age of the oldest change that is not in the index yet; 0 without any.",
        select(func.coalesce(extract("epoch", func.now() - func.min(IndexMark.created_at)), 0)),
    ),
    DatabaseMetric(
        "twin_model_version", "Number of the version that answers.", select(_ACTIVE.c.number)
    ),
    DatabaseMetric(
        "twin_model_trained_timestamp_seconds",
        "When the version that answers was trained.",
        select(extract("epoch", _ACTIVE.c.created_at)),
    ),
    DatabaseMetric(
        "twin_model_refused",
        "Whether the newest version that was judged was refused.",
        select(_JUDGED.c.status == ModelStatus.REFUSED),
    ),
    DatabaseMetric(
        "twin_model_gate_passed",
        "Whether the newest version that was judged passed this gate.",
        select(_GATE["gate"].astext, _GATE["passed"]).select_from(_JUDGED),
        ("tenant", "gate"),
    ),
    DatabaseMetric(
        "twin_model_gate_value",
        "What it reached.",
        select(_GATE["gate"].astext, _GATE["value"]).select_from(_JUDGED),
        ("tenant", "gate"),
    ),
    DatabaseMetric(
        "twin_model_gate_bound",
        "What it had to reach.",
        select(_GATE["gate"].astext, _GATE["bound"]).select_from(_JUDGED),
        ("tenant", "gate"),
    ),
    DatabaseMetric(
        "twin_drift_level",
        "Drift since the version that answers was trained: "
        + ", ".join(f"{rank} {level}" for rank, level in enumerate(DriftLevel)),
        select(case({level: rank for rank, level in enumerate(DriftLevel)}, value=_DRIFT.c.level)),
    ),
    DatabaseMetric(
        "twin_drift_score", "Population stability index of the scores.", select(_DRIFT.c.score)
    ),
    DatabaseMetric(
        "twin_drift_features",
        "Population stability index of the feature of most drift.",
        select(func.max(_FEATURE.c.value.cast(Float(53))))
        .select_from(_DRIFT)
        .where(_FEATURE.c.key.not_in(GROWING)),
    ),
    DatabaseMetric(
        "twin_job_runs",
        "Job runs by function and status; those that ended longer than a day ago do not count.",
        select(_RUN.c.function, _RUN.c.status, func.count()).group_by("function", "status"),
        ("function", "status"),
    ),
    DatabaseMetric(
        "twin_job_seconds",
        "Durations of a day's succeeded job runs.",
        select(
            _RUN.c.function,
            func.jsonb_build_array(
                func.sum(_RUN.c.seconds),
                *(func.count().filter(_RUN.c.seconds <= bound) for bound in _JOB_BUCKETS),
                func.count(),
            ),
        )
        .where(_RUN.c.status == JobStatus.SUCCEEDED)
        .group_by("function"),
        ("function",),
        _JOB_BUCKETS,
    ),
)


def _all_rows(query: Select[Any]) -> Any:
    """The rows of a query as one JSON value, each as an array."""
    row = func.jsonb_build_array(*query.subquery().c)
    return select(func.jsonb_agg(row)).scalar_subquery()


_OF_TENANT = Statement(select(*(_all_rows(metric.query) for metric in METRICS)))


async def read_database(database: Database) -> list[Metric]:
    """The metric families of all tenants; a tenant that cannot be read is left out and counted.

    Raises:
        Exception: no tenant could be read.
    """
    async with database.work(None) as work:
        listed = await tenants.list_all(work)
    slots = asyncio.Semaphore(CONNECTIONS)

    async def read(tenant: Tenant) -> list[dict[Labels, Value]]:
        async with slots, database.read(tenant.id) as reading:
            [found] = await reading.fetch(_OF_TENANT)
        pairs = zip(METRICS, found, strict=True)
        return [metric.samples(tenant.slug, rows or ()) for metric, rows in pairs]

    results = await asyncio.gather(*map(read, listed), return_exceptions=True)
    totals: list[dict[Labels, Value]] = [{} for _ in METRICS]
    errors: dict[UUID, BaseException] = {}
    for tenant, result in zip(listed, results, strict=True):
        if isinstance(result, BaseException):
            errors[tenant.id] = result
            continue
        for total, samples in zip(totals, result, strict=True):
            for labels, value in samples.items():
                total[labels] = total.get(labels, 0.0) + value
    if errors:
        tenant_id, error = next(iter(errors.items()))
        if len(errors) == len(listed):
            raise error
        text = "could not read the metrics of %d tenants; one is %s"
        logger.warning(text, len(errors), tenant_id, exc_info=error)
    return [
        GaugeMetricFamily("twin_tenants", "Tenants.", len(listed)),
        GaugeMetricFamily(
            "twin_tenants_unread", "Tenants whose figures could not be read.", len(errors)
        ),
        *(metric.family(total) for metric, total in zip(METRICS, totals, strict=True)),
    ]


async def read_queues(read: Callable[[], Awaitable[Mapping[str, QueueState]]]) -> list[Metric]:
    """The metric families of the job queues."""
    labels = ("queue",)
    due = GaugeMetricFamily("twin_queue_jobs", "Jobs that are due or run, by queue.", labels=labels)
    alive = GaugeMetricFamily(
        "twin_queue_workers_alive",
        "Whether a worker of the queue gave a sign of life within half a minute.",
        labels=labels,
    )
    for queue, state in (await read()).items():
        due.add_metric([queue], state.due)
        alive.add_metric([queue], state.worker_alive)
    return [due, alive]


class Collector:
    """Collects the metric families of all sources for a scrape.

    Args:
        sources: reads each source, by its value of the label ``source``.
    """

    def __init__(self, sources: Mapping[str, Read]) -> None:
        self._sources = [_Source(name, read) for name, read in sources.items()]

    async def collect(self) -> list[Metric]:
        """The families that are not stale, and which sources have them."""
        readings = await asyncio.gather(*(source.collect() for source in self._sources))
        labels = ("source",)
        success = GaugeMetricFamily(
            "twin_scrape_success", "Whether a source of figures could be read.", labels=labels
        )
        seconds = GaugeMetricFamily(
            "twin_scrape_seconds", "Time that reading it took.", labels=labels
        )
        for source, families in zip(self._sources, readings, strict=True):
            success.add_metric([source.name], families is not None)
            seconds.add_metric([source.name], source.seconds)
        return [success, seconds, *chain.from_iterable(filter(None, readings))]

    async def close(self) -> None:
        """Cancel the readings that are running."""
        await asyncio.gather(*(source.close() for source in self._sources))


class _Source:
    """A source with its last reading. At most one reading runs, and no scrape waits for it long."""

    def __init__(self, name: str, read: Read) -> None:
        self.name = name
        self.seconds = 0.0
        """Time that the last reading took."""
        self._read = read
        self._families: list[Metric] = []
        self._reuse_until = self._stale_at = 0.0
        self._reading: asyncio.Task[None] | None = None

    async def collect(self) -> list[Metric] | None:
        """The last reading; None if it failed or is stale."""
        if self._reading is None and time.monotonic() >= self._reuse_until:
            self._reading = asyncio.create_task(self._refresh())
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=PATIENCE)
        return self._families if time.monotonic() < self._stale_at else None

    async def _refresh(self) -> None:
        started, reuse = time.monotonic(), MIN_REUSE
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                self._families = await self._read()
            read = time.monotonic()
            self._stale_at = read + STALE_AFTER
            reuse = max(MIN_REUSE, min(COST * (read - started), STALE_AFTER / 2))
        except Exception:
            # The reading before would hide the failure.
            self._stale_at = 0.0
            logger.warning("could not read the metrics of %s", self.name, exc_info=True)
        finally:
            ended = time.monotonic()
            self.seconds = ended - started
            self._reuse_until = ended + reuse
            self._reading = None

    async def close(self) -> None:
        """Cancel the reading that is running."""
        if (reading := self._reading) is not None:
            reading.cancel()
            await asyncio.wait({reading})
