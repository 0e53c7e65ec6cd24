"""What is read for Prometheus when it asks, as it wants it, and how often that is read."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily

from domain.core.work import QueueState
from domain.model_registry.drift import DriftLevel
from domain.observations import DURATIONS, Figures, RunFigures

logger = logging.getLogger(__name__)

KEPT = 10.0
"""Seconds for which what was read is good, in each process."""
COST = 20
"""It is kept for so many times the time it took, so that reading takes a twentieth of it; but not
for more than half of ``OUTDATED``, so that there is time to read it anew."""
PATIENCE = 3.0
"""Seconds that a scrape waits; meanwhile what was read before will do."""
OUTDATED = 180.0
"""Seconds after which it will not."""
READ_WITHIN = 60.0

Read = Callable[[], Awaitable[list[Metric]]]


class Source:
    """Something that is read when Prometheus asks: never twice at once, and nobody waits for long.

    Args:
        name: its label.
        read: reads it.
    """

    def __init__(self, name: str, read: Read) -> None:
        self.name = name
        self._read = read
        self._found: list[Metric] = []
        self._good_until = self._outdated_at = 0.0
        self._reading: asyncio.Task[None] | None = None
        self.seconds = 0.0
        """Time that the last reading took."""

    async def collect(self) -> list[Metric] | None:
        """What was read last; None if that failed or is out of date."""
        if self._reading is None and time.monotonic() >= self._good_until:
            self._reading = asyncio.create_task(self._refresh())
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=PATIENCE)
        return self._found if time.monotonic() < self._outdated_at else None

    async def _refresh(self) -> None:
        started, kept = time.monotonic(), KEPT
        try:
            async with asyncio.timeout(READ_WITHIN):
                self._found = await self._read()
            read = time.monotonic()
            self._outdated_at = read + OUTDATED
            kept = max(KEPT, min(COST * (read - started), OUTDATED / 2))
        except Exception:
            # Figures of before would hide that there are none.
            self._outdated_at = 0.0
            logger.warning("could not read the figures of %s", self.name, exc_info=True)
        finally:
            ended = time.monotonic()
            self.seconds = ended - started
            self._good_until = ended + kept
            self._reading = None

    async def close(self) -> None:
        """Give up what is under way."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading


def of_database(found: Figures) -> list[Metric]:
    """What ``domain.observations`` reads."""
    families = _Families()
    families.add("twin_tenants", "Tenants.", len(found.tenants) + found.unread)
    families.add("twin_tenants_unread", "Tenants whose figures could not be read.", found.unread)
    for one in found.tenants:
        of = {"tenant": one.slug}
        families.add("twin_index_marks", "Changes that are not in the index yet.", one.marks, of)
        families.add(
            "twin_index_oldest_mark_seconds",
            "Age of the oldest change that is not in the index yet; 0 without any.",
            one.oldest_mark,
            of,
        )
        if one.version is not None and one.trained_at is not None:
            families.add(
                "twin_model_version", "Number of the version that answers.", one.version, of
            )
            families.add(
                "twin_model_trained_timestamp_seconds",
                "When the version that answers was trained.",
                one.trained_at.timestamp(),
                of,
            )
        if one.gates:
            families.add(
                "twin_model_refused",
                "Whether the newest version that was judged was refused.",
                one.refused,
                of,
            )
        for name, gate in one.gates.items():
            at = of | {"gate": name}
            families.add(
                "twin_model_gate_passed",
                "Whether the newest version that was judged passed this gate.",
                gate.passed,
                at,
            )
            families.add("twin_model_gate_value", "What it reached.", gate.value, at)
            families.add("twin_model_gate_bound", "What it had to reach.", gate.bound, at)
        if one.drift is not None:
            families.add(
                "twin_drift_level",
                "Drift since the version that answers was trained: "
                + ", ".join(f"{place} {level}" for place, level in enumerate(DriftLevel)),
                list(DriftLevel).index(one.drift),
                of,
            )
            index = "Population stability index of "
            families.add("twin_drift_score", f"{index}the scores.", one.drift_score, of)
            families.add(
                "twin_drift_features", f"{index}the feature of most drift.", one.drift_features, of
            )
    return [*families.made.values(), *_runs(found.runs)]


def of_queues(found: Mapping[str, QueueState]) -> list[Metric]:
    """What the job queue says of itself."""
    families = _Families()
    for name, state in found.items():
        of = {"queue": name}
        families.add("twin_queue_jobs", "Jobs that are due or run, by queue.", state.due, of)
        families.add(
            "twin_queue_workers_alive",
            "Whether a worker of the queue gave a sign of life within half a minute.",
            state.worker_alive,
            of,
        )
    return list(families.made.values())


def _runs(runs: RunFigures) -> list[Metric]:
    counts = GaugeMetricFamily(
        "twin_job_runs",
        "Job runs by function and status; those that ended longer than a day ago do not count.",
        labels=["function", "status"],
    )
    for (function, status), count in runs.counts.items():
        counts.add_metric([function, status.value], count)
    seconds = GaugeHistogramMetricFamily(
        "twin_job_seconds", "Durations of a day's succeeded job runs.", labels=["function"]
    )
    bounds = [*map(str, DURATIONS), "+Inf"]
    for function, places in runs.seconds.items():
        counted = accumulate(places[place] for place in range(len(bounds)))
        buckets = list(zip(bounds, map(float, counted), strict=True))
        seconds.add_metric([function], buckets, float(runs.total[function]))
    return [counts, seconds]


class _Families:
    """Gauges by name, each made when it is first heard of."""

    def __init__(self) -> None:
        self.made: dict[str, GaugeMetricFamily] = {}

    def add(
        self, name: str, text: str, value: float | None, labels: Mapping[str, str] | None = None
    ) -> None:
        """Note a value; one that is not known is left out."""
        if value is None:
            return
        given = labels or {}
        if name not in self.made:
            self.made[name] = GaugeMetricFamily(name, text, labels=list(given))
        self.made[name].add_metric(list(given.values()), value)
