"""The unit of work: one transaction of one tenant, and what is to happen after its commit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.core.events import Event
from domain.core.reading import Row, Statement


@dataclass(frozen=True, slots=True)
class Job:
    """A job by name. Its first argument is always the tenant.

    Attributes:
        function: the job's name.
        tenant_id: whose job it is.
        run_id: the row in ``job_runs`` that says what to do; None for a routine, which has none.
    """

    function: str
    tenant_id: UUID
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue of jobs: how many are due or run, and whether a worker shows that it lives."""

    due: int
    worker_alive: bool


@dataclass(slots=True)
class Work:
    """What a piece of domain code works with; only ``Database.work`` makes one.

    Attributes:
        session: the transaction. Its rows are those of ``tenant_id`` alone.
        tenant: the tenant, or None when only the list of tenants is read.
        jobs: what goes to the queue after the commit, in order.
        events: what listeners are told after the commit, each once.
    """

    session: AsyncSession
    tenant: UUID | None
    jobs: list[Job] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def tenant_id(self) -> UUID:
        """The tenant. Raises RuntimeError in a unit of work that has none."""
        if self.tenant is None:
            raise RuntimeError("this unit of work has no tenant")
        return self.tenant

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """The rows of a statement that only reads; see ``domain.core.reading``."""
        await self.session.flush()
        raw = await (await self.session.connection()).get_raw_connection()
        assert raw.driver_connection is not None
        rows: Sequence[Row] = await raw.driver_connection.fetch(
            statement.text, *statement.arguments(values)
        )
        return rows

    async def hold_tenant(self) -> bool:
        """Keep the tenant from being deleted until the transaction ends; whether there is one."""
        held = text("SELECT true FROM tenants WHERE id = :id FOR KEY SHARE")
        return await self.session.scalar(held, {"id": self.tenant_id}) is not None

    def enqueue(self, function: str, run_id: UUID | None = None) -> None:
        """Have the job run after the commit; a rollback discards it."""
        job = Job(function, self.tenant_id, run_id)
        if job not in self.jobs:
            self.jobs.append(job)

    def publish(self, event: Event) -> None:
        """Have listeners told after the commit; a rollback discards it."""
        if event not in self.events:
            self.events.append(event)
