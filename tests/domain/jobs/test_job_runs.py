"""The states of a run, walked at random on the real database, beside a model of them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import runtime
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.core.work import Job, Work
from domain.jobs import job_runs
from domain.jobs.job_runs import AGAIN, UNFINISHED, JobRun, JobStatus
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from tests.drawing import few

Result = TypeVar("Result")
FUNCTIONS = ("reindex", "train_twin")


@dataclass
class Seen:
    """What the model knows of a run."""

    function: str
    status: JobStatus = JobStatus.QUEUED
    attempt: int = 0
    failures: int = 0
    cancel_requested: bool = False


class Runs(RuleBasedStateMachine):
    """Whatever is reported in whatever order, by workers alive or thought dead, or strangers."""

    services: runtime.Services
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.jobs: list[Job] = []
        self.model: dict[UUID, Seen] = {}
        self.tenant_id = uuid4()
        self.stranger_id = uuid4()

    @initialize()
    def open(self) -> None:
        async def note(jobs: Any) -> None:
            self.jobs.extend(jobs)

        async def create(work: Work) -> None:
            await tenants.create(work, f"runs-{work.tenant_id.hex[:12]}")

        self.database = Database(self.services.database_url, note, pool_size=1)
        self.act(create)
        self.act(create, self.stranger_id)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.database.close())
        self.loop.close()

    def act(
        self, step: Callable[[Work], Awaitable[Result]], tenant_id: UUID | None = None
    ) -> Result:
        async def run() -> Result:
            async with self.database.work(tenant_id or self.tenant_id) as work:
                return await step(work)

        self.jobs.clear()
        return self.loop.run_until_complete(run())

    def unfinished(self, function: str) -> list[UUID]:
        return [
            run_id
            for run_id, one in self.model.items()
            if one.function == function and one.status in UNFINISHED
        ]

    @rule(target=ids, function=st.sampled_from(FUNCTIONS))
    def request(self, function: str) -> UUID:
        run = self.act(lambda work: job_runs.request(work, function, {"epochs": 1}))
        known = self.unfinished(function)
        if known:
            assert run.id in known
            assert self.jobs == []
        else:
            assert self.jobs == [Job(function, self.tenant_id, run.id)]
            self.model[run.id] = Seen(function)
        return run.id

    @rule(run_id=ids)
    def start(self, run_id: UUID) -> None:
        row, seen = self.act(lambda work: job_runs.start(work, run_id)), self.model[run_id]
        if seen.status in UNFINISHED and seen.cancel_requested:
            seen.status = JobStatus.CANCELLED
        if seen.status not in UNFINISHED:
            assert row is None
            return
        assert row is not None
        seen.status, seen.attempt = JobStatus.RUNNING, seen.attempt + 1
        assert row.attempt == seen.attempt

    @rule(run_id=ids, error=st.sampled_from([None, "no route"]))
    def postpone(self, run_id: UUID, error: str | None) -> None:
        self.act(lambda work: job_runs.postpone(work, run_id, "later", error))
        seen = self.model[run_id]
        if seen.status is JobStatus.RUNNING:
            seen.attempt -= error is None
            seen.failures += error is not None

    @rule(run_id=ids, end=st.sampled_from([job_runs.succeed, job_runs.fail, job_runs.park]))
    def end(self, run_id: UUID, end: Callable[..., Awaitable[None]]) -> None:
        given: Any = {} if end is job_runs.succeed else "no route"
        self.act(lambda work: end(work, run_id, given))
        seen = self.model[run_id]
        if seen.status is JobStatus.RUNNING:
            seen.status = {
                job_runs.succeed: JobStatus.SUCCEEDED,
                job_runs.fail: JobStatus.FAILED,
                job_runs.park: JobStatus.PARKED,
            }[end]

    @rule(run_id=ids)
    def report(self, run_id: UUID) -> None:
        self.act(lambda work: job_runs.progress(work, run_id, 0.5, "half-way"))
        go_on = self.act(lambda work: job_runs.heartbeat(work, run_id))
        seen = self.model[run_id]
        assert go_on == (seen.status is JobStatus.RUNNING and not seen.cancel_requested)

    @rule(run_id=ids)
    def cancel(self, run_id: UUID) -> None:
        seen = self.model[run_id]
        if seen.status not in (*UNFINISHED, JobStatus.PARKED):
            with pytest.raises(DomainError, match=f"is {seen.status}") as refused:
                self.act(lambda work: job_runs.cancel(work, run_id, "id"))
            assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, ("id",))
            return
        self.act(lambda work: job_runs.cancel(work, run_id))
        if seen.status is JobStatus.RUNNING:
            seen.cancel_requested = True
        else:
            seen.status = JobStatus.CANCELLED

    @rule(run_id=ids)
    def requeue(self, run_id: UUID) -> None:
        seen = self.model[run_id]
        waits = any(
            self.model[other].status is JobStatus.QUEUED for other in self.unfinished(seen.function)
        )
        if seen.status not in AGAIN or waits:
            with pytest.raises(DomainError) as refused:
                self.act(lambda work: job_runs.requeue(work, run_id, "id"))
            assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, ("id",))
            return
        self.act(lambda work: job_runs.requeue(work, run_id))
        assert self.jobs == [Job(seen.function, self.tenant_id, run_id)]
        self.model[run_id] = Seen(seen.function)

    @rule()
    def sweep(self) -> None:
        later = datetime.now(UTC) + timedelta(hours=1)
        self.act(lambda work: job_runs.enqueue_unfinished(work, later))
        known = {one for function in FUNCTIONS for one in self.unfinished(function)}
        assert {job.run_id for job in self.jobs} == known

    @precondition(lambda self: any(one.status not in UNFINISHED for one in self.model.values()))
    @rule()
    def sweep_of_what_is_alive(self) -> None:
        before = datetime.now(UTC) - timedelta(hours=1)
        self.act(lambda work: job_runs.enqueue_unfinished(work, before))
        assert self.jobs == []

    @rule(run_id=consumes(ids))
    def stranger(self, run_id: UUID) -> None:
        def theirs(step: Callable[[Work], Awaitable[Result]]) -> Result:
            return self.act(step, self.stranger_id)

        assert theirs(lambda work: job_runs.start(work, run_id)) is None
        assert not theirs(lambda work: job_runs.heartbeat(work, run_id))
        theirs(lambda work: job_runs.postpone(work, run_id, "theirs", "theirs"))
        theirs(lambda work: job_runs.progress(work, run_id, 0.9, "theirs"))
        theirs(lambda work: job_runs.succeed(work, run_id, {}))
        theirs(lambda work: job_runs.cancelled(work, run_id))
        for change in (job_runs.cancel, job_runs.requeue):
            with pytest.raises(DomainError) as refused:
                theirs(lambda work, change=change: change(work, run_id))  # type: ignore[misc]
            assert refused.value.code is ErrorCode.NOT_FOUND
        assert theirs(job_runs.recent) == []

    @invariant()
    def agree(self) -> None:
        if not self.model:
            return
        rows = {row.id: row for row in self.act(job_runs.recent)}
        assert rows.keys() == self.model.keys()
        for run_id, seen in self.model.items():
            row = rows[run_id]
            assert (
                Seen(row.function, row.status, row.attempt, row.failures, row.cancel_requested)
                == seen
            )
            assert (row.finished_at is None) == (row.status in UNFINISHED)
            assert "theirs" not in (row.message, row.error)
        for function in FUNCTIONS:
            waiting = [self.model[one].status for one in self.unfinished(function)]
            assert waiting.count(JobStatus.QUEUED) <= 1


@pytest.mark.hypothesis
def test_runs_keep_to_their_states(services: runtime.Services) -> None:
    Runs.services = services
    run_state_machine_as_test(
        Runs,
        settings=settings(few(6), stateful_step_count=20),
    )


async def test_what_ended_long_ago_is_forgotten(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        old = await job_runs.request(work, "reindex")
        await job_runs.start(work, old.id)
        await job_runs.succeed(work, old.id, {})
        await job_runs.request(work, "reindex")
    async with database.work(tenant.id) as work:
        await job_runs.forget(work, datetime.now(UTC) - timedelta(hours=1))
        assert len(await job_runs.recent(work)) == 2
        await job_runs.forget(work, datetime.now(UTC) + timedelta(hours=1))
        (left,) = await job_runs.recent(work)
    assert left.status is JobStatus.QUEUED


async def test_two_who_requeue_at_once_do_not_both_wait(database: Database, tenant: Tenant) -> None:
    async def parked() -> JobRun:
        async with database.work(tenant.id) as work:
            run = await job_runs.request(work, "reindex")
            await job_runs.start(work, run.id)
            await job_runs.park(work, run.id, "no route")
            return run

    async def again(run: JobRun) -> str:
        try:
            async with database.work(tenant.id) as work:
                return (await job_runs.requeue(work, run.id)).status
        except DomainError as refused:
            return str(refused)

    one, other = await parked(), await parked()
    outcomes = await asyncio.gather(again(one), again(other))

    assert sorted(outcomes) == ["another run of reindex waits already", "queued"]
