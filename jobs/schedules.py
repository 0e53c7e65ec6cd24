"""What is done without being asked for: at night, on Sundays, and by the sweep of every minute.

The sweep alone is scheduled in the queue. It asks of each tenant what is due: what it finds is
recorded and runs by the queue. So a night that the workers slept through is made up for when they
are back, and a schedule is met once, whatever crashes.
"""

import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from domain.core import clock
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.core.work import Work
from domain.imports import purging
from domain.jobs import index_outbox, job_runs, property_log
from domain.model_registry import gates, learning, model_versions
from domain.tenants import policies, tenants
from jobs.queue.pace import Pace
from jobs.queue.runs import Context

if TYPE_CHECKING:
    from jobs.reindexing.indexer import Indexer

logger = logging.getLogger(__name__)

SUNDAY = 6

KEPT = timedelta(days=30)
"""How long ended runs stay on record."""

ROUND_LIMIT = 600.0
"""Seconds after which a look at all tenants is cut short."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job that every tenant gets at a time of the night, spread over the tenants.

    Attributes:
        function: the job.
        hour: of the first tenants, in the workers' local time (the variable ``TZ``).
        spread: how much later the last are.
        due: whether the tenant needs it as of a turn. Not asked if somebody requested it since.
        weekday: the day of the week, 0 for Monday; None for every day.
    """

    function: str
    hour: int
    spread: timedelta
    due: Callable[[Work, datetime], Awaitable[bool]]
    weekday: int | None = None

    def last(self, tenant_id: UUID, now: datetime) -> datetime:
        """When the tenant's turn was last."""
        local = now.astimezone().replace(tzinfo=None)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        offset = timedelta(seconds=tenant_id.int % max(1, int(self.spread.total_seconds())))
        turn = midnight + timedelta(hours=self.hour) + offset
        while turn > local or self.weekday not in (None, turn.weekday()):
            turn -= timedelta(days=1)
        # A time that the clocks leave out or repeat is taken as before the change.
        return turn.astimezone(UTC)


async def enough_to_learn(work: Work, turn: datetime) -> bool:
    """Whether there is data enough for a training, and enough that was new at the turn."""
    active, policy = await model_versions.active(work), await policies.get(work)
    read_at = (active.read_at or active.created_at) if active else None
    if not await learning.enough_new(work, policy.train_after, read_at, turn):
        return False
    try:
        gates.require_enough(policy, **asdict(await learning.stock(work, policy)))
    except DomainError:
        return False
    return True


async def model_answers(work: Work, turn: datetime) -> bool:
    """Whether a version answered before the turn. One that was activated later is indexed anew."""
    active = await model_versions.active(work)
    return active is not None and active.activated_at is not None and active.activated_at < turn


TRAINING = Schedule(job_runs.TRAIN, 2, timedelta(hours=3), enough_to_learn, SUNDAY)
REINDEXING = Schedule(job_runs.REINDEX, 3, timedelta(hours=2), model_answers)
DRIFT = Schedule(job_runs.DRIFT, 4, timedelta(hours=2), model_answers)
PURGING = Schedule(job_runs.PURGE, 1, timedelta(hours=2), purging.due)
SCHEDULES = (TRAINING, REINDEXING, DRIFT, PURGING)


class Decided:
    """For which turns it is decided, in this process, whether a job is due."""

    def __init__(self) -> None:
        self._turns: dict[tuple[UUID, str], datetime] = {}

    def open(self, tenant_id: UUID, now: datetime) -> list[tuple[Schedule, datetime]]:
        """The tenant's turns that are still to be decided."""
        turns = ((one, one.last(tenant_id, now)) for one in SCHEDULES)
        return [
            (one, turn) for one, turn in turns if self._turns.get((tenant_id, one.function)) != turn
        ]

    def close(self, tenant_id: UUID, turns: list[tuple[Schedule, datetime]]) -> None:
        """Note that those are decided."""
        for one, turn in turns:
            self._turns[tenant_id, one.function] = turn


class Round:
    """Sees to all tenants, one after the other, once at a time in this process.

    A round that is cut short is gone on with by the next, after the tenant that it came to.
    """

    def __init__(self) -> None:
        self._last = UUID(int=0)
        self._under_way = False

    async def go(
        self, database: Database, see_to: Callable[[UUID], Awaitable[None]], what: str
    ) -> None:
        """Go round, or do nothing while a round is under way; ``what`` is for the log."""
        if self._under_way:
            return
        self._under_way = True
        try:
            async with database.work(None) as work:
                listed = sorted(one.id for one in await tenants.list_all(work))
            begin = bisect_right(listed, self._last)
            for tenant_id in listed[begin:] + listed[:begin]:
                self._last = tenant_id
                try:
                    await see_to(tenant_id)
                except Exception:
                    # The others are not to wait for it.
                    logger.exception("could not %s tenant %s", what, tenant_id)
        finally:
            self._under_way = False


async def sweep(context: Context) -> None:
    """See to every tenant."""
    sweeping: Round = context["sweeping"]

    async def see_to(tenant_id: UUID) -> None:
        await sweep_tenant(context, tenant_id)

    await sweeping.go(context["database"], see_to, "sweep")


async def count(context: Context) -> None:
    """Have every tenant reindexed whose index holds more or fewer properties than it should."""
    counting: Round = context["counting"]
    indexer: Indexer = context["indexer"]

    async def see_to(tenant_id: UUID) -> None:
        if await indexer.repair(tenant_id):
            logger.error("the index of tenant %s lacks something: it is reindexed", tenant_id)

    await counting.go(context["database"], see_to, "count what the index holds of")


async def sweep_tenant(context: Context, tenant_id: UUID, now: datetime | None = None) -> None:
    """See to what is due for a tenant as of a moment, and to what lost jobs left behind.

    The moment is now if not given: by the database's clock, which stamped what it is compared with.
    """
    database: Database = context["database"]
    decided: Decided = context["decided"]
    pace: Pace = context["pace"]
    # Apart, so that what goes wrong with schedules keeps nothing from being picked up.
    async with database.work(tenant_id) as work:
        now = now or await clock.now(work)
        await _pick_up(work, now - timedelta(seconds=pace.silence))
        await property_log.purge(work, now)
    turns = decided.open(tenant_id, now)
    if not turns:
        return
    async with database.work(tenant_id) as work:
        await job_runs.forget(work, now - KEPT)
        for schedule, turn in turns:
            asked = await job_runs.asked_since(work, schedule.function, turn)
            if not asked and await schedule.due(work, turn):
                await job_runs.request(work, schedule.function)
    decided.close(tenant_id, turns)


async def _pick_up(work: Work, silent_since: datetime) -> None:
    oldest = (await index_outbox.waiting(work)).oldest
    if oldest is not None and oldest < silent_since:
        work.enqueue(index_outbox.INDEX_MARKED)
    await job_runs.enqueue_unfinished(work, silent_since)
