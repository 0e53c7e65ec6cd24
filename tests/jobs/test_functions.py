"""The jobs as arq calls them."""

from uuid import uuid4

from domain.indexing import INDEX_MARKED
from domain.work import Job
from jobs.queue import JobQueue
from tests.jobs.conftest import WorkOff


async def test_the_index_of_a_tenant_that_was_deleted_follows_nothing(
    queue: JobQueue, work_off: WorkOff
) -> None:
    await queue.enqueue([Job(INDEX_MARKED, uuid4())])
    worker = await work_off()

    assert (worker.jobs_complete, worker.jobs_retried, worker.jobs_failed) == (1, 0, 0)
