"""Training workers that are killed or stopped in the middle of a training."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix

from domain import tenants
from domain.database import Database
from domain.job_runs import JobRun, JobStatus
from domain.tenants import Tenant
from domain.work import Job
from jobs.queue import TRAINING_QUEUE, JobQueue
from tests.factories import build_town
from tests.jobs.conftest import WaitForRun, WorkOff

ROOT = Path(__file__).parents[2]
StartWorker = Callable[[], psutil.Popen]


@pytest.fixture
def start_worker(environment: None, redis: ArqRedis, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts a real training worker; all are killed in the end."""
    started: list[psutil.Popen] = []

    def start() -> psutil.Popen:
        with (tmp_path / f"worker{len(started)}.log").open("wb") as log:
            worker = psutil.Popen(
                [sys.executable, "-m", "cli", "worker", "--queue=training"],
                cwd=ROOT,
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


def in_training(run: JobRun) -> bool:
    return (run.message or "").startswith("epoch")


async def test_a_killed_worker_takes_its_training_along_and_the_next_completes_it(
    database: Database,
    tenant: Tenant,
    queue: JobQueue,
    start_worker: StartWorker,
    wait_for_run: WaitForRun,
) -> None:
    await build_town(database, tenant)
    await queue.enqueue([Job("train_twin", tenant.id, ({"epochs": 2, "batch_size": 32},))])
    worker = start_worker()
    # Whoever fills the index waits for its turn, so the training cannot end before it is killed.
    async with database.work(tenant.id) as work:
        await tenants.lock(work, "index")
        await wait_for_run(tenant, in_training)
        (child,) = worker.children()
        os.kill(worker.pid, signal.SIGKILL)
        child.wait(10)
    start_worker()

    run = await wait_for_run(tenant, lambda run: run.status is not JobStatus.RUNNING)
    assert (run.status, run.attempt, run.error) == (JobStatus.SUCCEEDED, 2, None)


async def test_a_stopped_worker_stops_its_training_and_the_next_takes_it_up(
    database: Database,
    tenant: Tenant,
    queue: JobQueue,
    redis: ArqRedis,
    start_worker: StartWorker,
    work_off: WorkOff,
    wait_for_run: WaitForRun,
) -> None:
    await build_town(database, tenant)
    await queue.enqueue([Job("train_twin", tenant.id, ({"epochs": 2, "batch_size": 32},))])
    worker = start_worker()
    async with database.work(tenant.id) as work:
        await tenants.lock(work, "index")
        await wait_for_run(tenant, in_training)
        (child,) = worker.children()
        worker.terminate()
        assert worker.wait(20) == 0
        assert not child.is_running()
    run = await wait_for_run(tenant, lambda _: True)
    assert (run.status, run.message) == (JobStatus.RUNNING, "interrupted, to be taken up again")
    (job_id,) = await redis.zrange(TRAINING_QUEUE, 0, -1)
    assert await redis.exists(in_progress_key_prefix + job_id.decode()) == 0

    await work_off(TRAINING_QUEUE)
    run = await wait_for_run(tenant, lambda _: True)
    assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)
