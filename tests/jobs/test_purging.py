"""The nightly job that forgets what was overwritten long ago."""

from sqlalchemy import func, select

from domain.changes.changes import Change
from domain.core.database import Database
from domain.jobs import job_runs
from domain.jobs.job_runs import JobStatus
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from domain.tenants import policies
from domain.tenants.tenants import Tenant
from tests.jobs.conftest import Runs, WorkOff


async def test_the_job_purges_its_own_tenant(
    queued: Database, tenant: Tenant, other_tenant: Tenant, work_off: WorkOff, runs: Runs
) -> None:
    for one in (tenant, other_tenant):
        for bedrooms in (1, 2):
            async with queued.work(one.id) as work:
                await policies.change(work, {"changes_days": 0})
                await upsert(work, [PropertyInput(external_id="A", bedrooms=bedrooms)])
    async with queued.work(tenant.id) as work:
        await job_runs.request(work, job_runs.PURGE)
    await work_off()
    (run,) = await runs(tenant.id)
    assert (run.status, run.result) == (JobStatus.SUCCEEDED, {"deleted": 1})
    for one, kept in ((tenant, 0), (other_tenant, 1)):
        async with queued.work(one.id) as work:
            assert await work.session.scalar(select(func.count()).select_from(Change)) == kept
