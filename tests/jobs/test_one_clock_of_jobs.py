"""What jobs do by time goes by PostgreSQL's clock, however wrong that of the worker is."""

from datetime import timedelta

import pytest
from sqlalchemy import func, update

from domain.core.database import Database
from domain.core.work import Job
from domain.jobs import job_runs
from domain.jobs.job_runs import REINDEX, JobRun
from domain.model_registry import model_versions
from domain.tenants.tenants import Tenant
from jobs.queue.pace import Pace
from jobs.reindexing.indexer import Indexer
from jobs.schedules import Decided, sweep_tenant
from runtime import Runtime
from tests.clock import app_clock

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
@pytest.mark.parametrize("silent", [True, False])
async def test_the_sweep_takes_up_what_is_silent(
    database: Database, tenant: Tenant, enqueued: list[Job], ahead: timedelta, *, silent: bool
) -> None:
    async with database.work(tenant.id) as work:
        run = await job_runs.request(work, REINDEX)
        await job_runs.start(work, run.id)
        if silent:
            long_ago = func.now() - timedelta(minutes=30)
            await work.session.execute(update(JobRun).values(heartbeat_at=long_ago))
    enqueued.clear()
    context = {"database": database, "decided": Decided(), "pace": Pace()}
    with app_clock(ahead):
        await sweep_tenant(context, tenant.id)
    assert [job.run_id for job in enqueued] == [run.id] * silent


async def test_vectors_of_late_are_kept(rt: Runtime, database: Database, tenant: Tenant) -> None:
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    for _ in range(3):
        async with database.work(tenant.id) as work:
            version = await model_versions.add(work, b"", {}, {})
            await model_versions.judge(work, version.id, [], None)
            await model_versions.begin_filling(work, version.id)
            await model_versions.complete(work, version.id)
            await model_versions.activate(work, version.id)
    with app_clock(HOUR):
        assert await indexer.forget_unneeded(tenant.id) == []
