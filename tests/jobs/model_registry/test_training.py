"""Training by jobs: in a child process, one at a time, recorded."""

import asyncio

import pytest

from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.jobs import job_runs
from domain.jobs.job_runs import JobStatus
from domain.model_registry import model_versions
from domain.model_registry.model_versions import ModelStatus, SpaceState
from domain.tenants import policies, tenants
from domain.tenants.tenants import Tenant
from jobs.queue.queue import TRAINING_QUEUE
from runtime import Runtime
from tests.factories import build_town, interests_in, train
from tests.jobs.conftest import Ask, Runs, WaitForRun, WorkOff

pytestmark = pytest.mark.slow


async def test_a_job_trains_judges_indexes_and_activates(
    rt: Runtime, database: Database, tenant: Tenant, ask: Ask, work_off: WorkOff, runs: Runs
) -> None:
    town = await build_town(database, tenant)
    await ask(tenant.id, job_runs.TRAIN, epochs=2, batch_size=32)
    await work_off(TRAINING_QUEUE)

    (run,) = await runs(tenant.id)
    assert run.error is None
    assert (run.status, run.progress) == (JobStatus.SUCCEEDED, 1.0)
    assert run.result is not None
    assert (run.result["number"], run.result["properties"], run.result["users"]) == (1, 60, 12)
    assert (run.result["status"], run.result["refusal"]) == ("active", None)
    # What is long is with the version.
    assert not {"metrics", "gates"} & run.result.keys()
    async with database.work(tenant.id) as work:
        version_id = await tenants.active_version_id(work)
        assert version_id is not None
        version = await model_versions.get(work, version_id)
    assert str(version_id) == run.result["version_id"]
    assert version.run_id == run.id
    assert version.details["config"]["epochs"] == 2
    assert {"twin", "popularity", "mix"} <= version.metrics.keys()
    assert [gate["gate"] for gate in version.gates] == ["f1", "accuracy", "finite", "ndcg_baseline"]
    assert version.learned_until == town.newest
    space = rt.index.space(ModelKey(tenant.id, version_id))
    # An investor has a point for each of ten houses.
    assert (await space.count(), await interests_in(space)) == (60, 120)


async def test_a_refused_version_is_a_jobs_result_and_not_its_failure(
    database: Database, tenant: Tenant, ask: Ask, work_off: WorkOff, runs: Runs
) -> None:
    await build_town(database, tenant)
    async with database.work(tenant.id) as work:
        await policies.change(work, {"least_f1": 1.0, "least_accuracy": 1.0})
    await ask(tenant.id, job_runs.TRAIN, epochs=1, batch_size=32)
    await work_off(TRAINING_QUEUE)

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt, run.error) == (JobStatus.SUCCEEDED, 1, None)
    assert run.result is not None
    assert run.result["status"] == "refused"
    assert "accuracy on held-out pairs is 0." in run.result["refusal"]
    async with database.work(tenant.id) as work:
        assert await tenants.active_version_id(work) is None
        (version,) = await model_versions.page(work, 100)
    assert (version.status, version.refusal) == (ModelStatus.REFUSED, run.result["refusal"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"rounds": 3}, "training option 'rounds'"),
        ({"epochs": "many"}, "--epochs"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
async def test_why_a_training_failed_is_on_record(
    tenant: Tenant,
    ask: Ask,
    work_off: WorkOff,
    runs: Runs,
    options: dict[str, object],
    problem: str,
) -> None:
    await ask(tenant.id, job_runs.TRAIN, **options)
    await work_off(TRAINING_QUEUE)

    (run,) = await runs(tenant.id)
    assert (run.status, run.attempt) == (JobStatus.FAILED, 1)
    assert run.error is not None
    assert problem in run.error
    assert "Traceback" not in run.error


async def test_a_second_training_of_a_tenant_waits_for_the_first(
    database: Database,
    tenant: Tenant,
    ask: Ask,
    work_off: WorkOff,
    wait_for_run: WaitForRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So long it waits for the lease of an attempt that may have been killed.
    monkeypatch.setenv("JOB_LEASE", "2")
    await build_town(database, tenant)
    await ask(tenant.id, job_runs.TRAIN, epochs=1, batch_size=32)
    async with database.exclusive(tenant.id, "training"):
        worker = asyncio.create_task(work_off(TRAINING_QUEUE))
        await wait_for_run(tenant, lambda run: "elsewhere" in (run.message or ""))
    await worker

    run = await wait_for_run(tenant, lambda run: run.finished_at is not None)
    assert (run.status, run.failures) == (JobStatus.SUCCEEDED, 0)


async def test_the_active_version_and_the_one_before_stay_in_the_index(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    await build_town(database, tenant)
    numbers = [(await train(rt, tenant, epochs=1)).number for _ in range(3)]
    assert numbers == [1, 2, 3]

    async with database.work(tenant.id) as work:
        newest, before, _ = versions = await model_versions.page(work, 100)
        assert {newest.id, before.id} <= set(await model_versions.indexed(work))
    assert [one.status for one in versions] == [ModelStatus.ACTIVE, *[ModelStatus.RETIRED] * 2]
    for one in (newest, before):
        assert one.space is SpaceState.COMPLETE
        assert await rt.index.space(ModelKey(tenant.id, one.id)).count() == 60
