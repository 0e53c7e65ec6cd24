"""The jobs as arq calls them."""

import inspect
from uuid import uuid4

import pytest

from domain.core.database import Database
from domain.core.work import Job
from domain.jobs.index_outbox import INDEX_MARKED
from domain.tenants.tenants import Tenant
from jobs import functions
from jobs.queue.queue import JobQueue
from jobs.queue.runs import JobPostponedError, Run
from jobs.reindexing.indexer import Indexer
from runtime import Runtime, Services
from tests.jobs.conftest import WorkOff


async def test_the_index_of_a_tenant_that_was_deleted_follows_nothing(
    queue: JobQueue, work_off: WorkOff
) -> None:
    await queue.enqueue([Job(INDEX_MARKED, uuid4())])
    worker = await work_off()

    assert (worker.jobs_complete, worker.jobs_retried, worker.jobs_failed) == (1, 0, 0)


def test_every_job_has_a_queue() -> None:
    """One that is in no list is never run."""
    made = {one for one in vars(functions).values() if hasattr(one, "__wrapped__")}
    assert made == {*functions.INDEXING_JOBS, *functions.TRAINING_JOBS}


async def test_a_reindex_waits_for_another_one_of_its_tenant(
    rt: Runtime, services: Services, tenant: Tenant
) -> None:
    """A full one may be asked for while another one runs."""

    async def nothing(_: object) -> None: ...

    reindex = inspect.unwrap(functions.reindex)
    context = {"indexer": Indexer(rt.database, rt.index, rt.twin)}
    # As long as a killed attempt may hold the lease, it waits for it; this one not long.
    hasty = Database(services.database_url, nothing, lease=0.1)
    async with rt.database.exclusive(tenant.id, "reindexing"):
        with pytest.raises(JobPostponedError, match="reindexing of tenant"):
            await reindex(context, Run(hasty, tenant.id, uuid4()))
    await hasty.close()
    run = Run(rt.database, tenant.id, uuid4())
    await reindex(context, run)
    assert run.result["spaces"] == []
