"""Real workers that are killed or stopped in the middle of a job, and a queue that is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix

from domain.core.database import Database
from domain.jobs import index_outbox, job_runs
from domain.jobs.index_outbox import IndexMark, Marked
from domain.jobs.job_runs import JobRun, JobStatus
from domain.tenants import policies
from domain.tenants.tenants import Tenant
from jobs.model_registry.training import TRAINED
from jobs.queue.queue import INDEXING_QUEUE, TRAINING_QUEUE
from runtime import Runtime
from tests.factories import build_town, train
from tests.jobs.conftest import Ask, Runs, WaitFor, WaitForRun, WorkOff

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LEASE = timedelta(seconds=3)
StartWorker = Callable[..., psutil.Popen]


@pytest.fixture
def start_worker(environment: None, redis: ArqRedis, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts a real worker of a queue that takes up what the dead left soon; all end by a kill."""
    started: list[psutil.Popen] = []

    def start(queue: str, **settings: str) -> psutil.Popen:
        with (tmp_path / f"worker{len(started)}.log").open("wb") as log:
            worker = psutil.Popen(
                [sys.executable, "-m", "cli", "worker", f"--queue={queue}"],
                cwd=ROOT,
                env=os.environ | {"JOB_LEASE": str(LEASE.total_seconds())} | settings,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.is_running():
            worker.kill()
        worker.wait()


@pytest.fixture
async def trained(rt: Runtime, database: Database, tenant: Tenant) -> Tenant:
    """A tenant with a version that answers."""
    await build_town(database, tenant)
    await train(rt, tenant, epochs=1)
    return tenant


def trains(run: JobRun) -> bool:
    return run.message is not None


def fills_the_index(run: JobRun) -> bool:
    return run.progress >= TRAINED


def running(run: JobRun) -> bool:
    return run.status is JobStatus.RUNNING


def held_for_a_lease(run: JobRun) -> bool:
    return run.heartbeat_at is not None and run.heartbeat_at - run.started_at > LEASE


def started_after(moment: datetime, run: JobRun) -> bool:
    return run.started_at > moment


def ended(run: JobRun) -> bool:
    return run.status not in job_runs.UNFINISHED


async def test_a_killed_worker_takes_its_training_along_and_the_next_completes_it(
    database: Database,
    tenant: Tenant,
    ask: Ask,
    start_worker: StartWorker,
    wait_for_run: WaitForRun,
) -> None:
    await build_town(database, tenant)
    async with database.work(tenant.id) as work:
        # Two epochs make no good twin.
        await policies.change(work, {"least_f1": 0, "least_accuracy": 0, "ndcg_tolerance": 1})
    await ask(tenant.id, job_runs.TRAIN, epochs=2, batch_size=32)
    worker = start_worker("training")
    await wait_for_run(tenant, trains)
    # Whoever fills the index waits for its lock, so the training cannot end before it is killed.
    async with database.exclusive(tenant.id, "index", wait=60):
        await wait_for_run(tenant, fills_the_index)
        (child,) = worker.children()
        os.kill(worker.pid, signal.SIGKILL)
        child.wait(150)
    start_worker("training")

    run = await wait_for_run(tenant, ended)
    assert (run.status, run.attempt, run.failures) == (JobStatus.SUCCEEDED, 2, 0)


async def test_a_stopped_worker_stops_its_training_and_the_next_takes_it_up(
    database: Database,
    tenant: Tenant,
    ask: Ask,
    redis: ArqRedis,
    start_worker: StartWorker,
    work_off: WorkOff,
    wait_for_run: WaitForRun,
) -> None:
    await build_town(database, tenant)
    async with database.work(tenant.id) as work:
        # Two epochs make no good twin.
        await policies.change(work, {"least_f1": 0, "least_accuracy": 0, "ndcg_tolerance": 1})
    await ask(tenant.id, job_runs.TRAIN, epochs=2, batch_size=32)
    worker = start_worker("training")
    await wait_for_run(tenant, trains)
    async with database.exclusive(tenant.id, "index", wait=60):
        await wait_for_run(tenant, fills_the_index)
        (child,) = worker.children()
        worker.terminate()
        assert worker.wait(150) == 0
        assert not child.is_running()
    run = await wait_for_run(tenant, lambda _: True)
    assert (run.status, run.message) == (JobStatus.RUNNING, "interrupted, to be taken up again")
    (job_id,) = await redis.zrange(TRAINING_QUEUE, 0, -1)
    assert await redis.exists(in_progress_key_prefix + job_id.decode()) == 0

    await work_off(TRAINING_QUEUE)
    run = await wait_for_run(tenant, ended)
    assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)


async def test_deployments_lose_no_reindex(
    database: Database,
    trained: Tenant,
    ask: Ask,
    start_worker: StartWorker,
    wait_for_run: WaitForRun,
) -> None:
    run = await ask(trained.id, job_runs.REINDEX, full=True)
    old = start_worker("indexing")
    async with database.exclusive(trained.id, "index", wait=60):
        began = (await wait_for_run(trained, running)).started_at
        for number, attempt in ((signal.SIGTERM, 1), (signal.SIGKILL, 2)):
            # Both at once: the new one leaves alone what the old one does.
            new = start_worker("indexing")
            seen = await wait_for_run(trained, held_for_a_lease)
            assert seen.started_at == began
            old.send_signal(number)
            old.wait(150)
            seen = await wait_for_run(trained, partial(started_after, began))
            assert seen.attempt == attempt
            old, began = new, seen.started_at

    seen = await wait_for_run(trained, ended)
    assert (seen.id, seen.status, seen.attempt) == (run.id, JobStatus.SUCCEEDED, 2)


async def test_what_a_flushed_queue_lost_is_swept_up(
    database: Database,
    trained: Tenant,
    other_tenant: Tenant,
    ask: Ask,
    redis: ArqRedis,
    start_worker: StartWorker,
    wait_for: WaitFor,
    wait_for_run: WaitForRun,
    runs: Runs,
) -> None:
    # Neither is enqueued by this database, as if the queue had been away at the commit.
    async with database.work(other_tenant.id) as work:
        await job_runs.request(work, job_runs.REINDEX)
        mark = IndexMark(tenant_id=other_tenant.id, kind=Marked.PROPERTY, subject_id=uuid4())
        work.session.add(mark)
    await ask(trained.id, job_runs.REINDEX, full=True)
    worker = start_worker("indexing", SWEEP_INTERVAL="1", JOB_LEASE="3")
    async with database.exclusive(trained.id, "index", wait=60):
        await wait_for_run(trained, running)
        await ask(trained.id, job_runs.DRIFT)
        await redis.flushdb()
        # Now the queue knows nothing of the reindex that runs; without its worker, nobody does.
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(150)
    assert await redis.zcard(INDEXING_QUEUE) == 0
    start_worker("indexing", SWEEP_INTERVAL="1", JOB_LEASE="3")

    async def all_ended() -> bool:
        found = [*await runs(trained.id), *await runs(other_tenant.id)]
        return all(map(ended, found))

    await wait_for(all_ended)
    found = [*await runs(trained.id), *await runs(other_tenant.id)]
    assert [run.status for run in found] == [JobStatus.SUCCEEDED] * 3

    async def nothing_marked() -> bool:
        async with database.work(other_tenant.id) as work:
            return (await index_outbox.waiting(work)).marks == 0

    await wait_for(nothing_marked)
