"""Training by jobs: in a child process, one at a time, recorded."""

import asyncio

import pytest

from domain import model_versions, tenants
from domain.database import Database, LockedError
from domain.job_runs import JobStatus
from domain.model_versions import ModelStatus
from domain.snapshots import ModelKey
from domain.tenants import Tenant
from domain.work import Job
from jobs import runs as runs_module
from jobs.queue import TRAINING_QUEUE, JobQueue
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import build_town, interests_in, train
from tests.jobs.conftest import Runs, WaitForRun, WorkOff


async def test_a_job_trains_indexes_and_activates(
    rt: Runtime, database: Database, tenant: Tenant, queue: JobQueue, work_off: WorkOff, runs: Runs
) -> None:
    await build_town(database, tenant)
    await queue.enqueue([Job("train_twin", tenant.id, ({"epochs": 2, "batch_size": 32},))])
    await work_off(TRAINING_QUEUE)

    (run,) = await runs(tenant.id)
    assert run.error is None
    assert (run.status, run.progress) == (JobStatus.SUCCEEDED, 1.0)
    assert run.result is not None
    assert (run.result["number"], run.result["properties"], run.result["users"]) == (1, 60, 12)
    assert {"twin", "popularity"} <= run.result["metrics"].keys()
    async with database.work(tenant.id) as work:
        version_id = await tenants.active_version_id(work)
        assert version_id is not None
        version = await model_versions.get(work, version_id)
    assert str(version_id) == run.result["version_id"]
    assert version.details["config"]["epochs"] == 2
    space = rt.index.space(ModelKey(tenant.id, version_id))
    # An investor has a point for each of ten houses.
    assert (await space.count(), await interests_in(space)) == (60, 120)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "training needs at least 20 properties; there are 0"),
        ({"rounds": 3}, "training option 'rounds'"),
        ({"epochs": "many"}, "--epochs"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
async def test_why_a_training_failed_is_on_record(
    tenant: Tenant,
    queue: JobQueue,
    work_off: WorkOff,
    runs: Runs,
    options: dict[str, object],
    problem: str,
) -> None:
    await queue.enqueue([Job("train_twin", tenant.id, (options,))])
    await work_off(TRAINING_QUEUE)

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.FAILED, 1)
    assert run.error is not None
    assert problem in run.error
    assert "Traceback" not in run.error


async def test_a_second_training_of_a_tenant_waits_for_the_first(
    database: Database,
    tenant: Tenant,
    queue: JobQueue,
    work_off: WorkOff,
    wait_for_run: WaitForRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs_module, "RETRY_DELAY", 0.2)
    await build_town(database, tenant)
    await queue.enqueue([Job("train_twin", tenant.id, ({"epochs": 1, "batch_size": 32},))])
    async with database.exclusive(tenant.id, "training"):
        worker = asyncio.create_task(work_off(TRAINING_QUEUE))
        run = await wait_for_run(tenant, lambda run: "elsewhere" in (run.message or ""))
        assert run.status is JobStatus.RUNNING
    await worker

    run = await wait_for_run(tenant, lambda run: run.status is not JobStatus.RUNNING)
    assert (run.status, run.attempt) == (JobStatus.SUCCEEDED, 1)


async def test_the_lock_is_of_one_tenant_and_one_purpose(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with (
        database.exclusive(tenant.id, "training"),
        database.exclusive(tenant.id, "other"),
        database.exclusive(other_tenant.id, "training"),
    ):
        with pytest.raises(LockedError, match=f"training of tenant {tenant.id}"):
            async with database.exclusive(tenant.id, "training"):
                raise AssertionError("not reached")
    async with database.exclusive(tenant.id, "training"):
        pass


async def test_the_active_version_and_the_one_before_stay_in_the_index(
    rt: Runtime, database: Database
) -> None:
    tenant = await new_tenant(database)
    await build_town(database, tenant)
    async with database.work(tenant.id) as work:
        # As a training leaves it that was killed while it filled the index.
        leftover = await model_versions.add(work, b"weights", {}, {})
    numbers = [(await train(rt, tenant, epochs=1)).number for _ in range(3)]
    assert numbers == [2, 3, 4]

    async with database.work(tenant.id) as work:
        versions = await model_versions.list_all(work)
        assert await model_versions.indexed(work) == [versions[0].id]
    counts = [await rt.index.space(ModelKey(tenant.id, one.id)).count() for one in versions]
    assert counts == [60, 60, 0, 0]
    assert [one.status for one in versions] == [ModelStatus.ACTIVE, *[ModelStatus.RETIRED] * 3]
    assert versions[-1].id == leftover.id
