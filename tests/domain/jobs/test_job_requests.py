"""Asking for a job where one waits or runs already: who asks gets at least what was asked for."""

import asyncio

import pytest

from domain.core.database import Database
from domain.jobs import job_runs
from domain.jobs.job_runs import JobRun, JobStatus
from domain.tenants.tenants import Tenant

FULL = {"full": True}


async def ask(database: Database, tenant: Tenant, function: str, **arguments: object) -> JobRun:
    async with database.work(tenant.id) as work:
        return await job_runs.request(work, function, arguments)


async def begin(database: Database, tenant: Tenant, run: JobRun) -> JobRun | None:
    async with database.work(tenant.id) as work:
        return await job_runs.start(work, run.id)


async def test_a_full_reindex_makes_one_that_waits_full(database: Database, tenant: Tenant) -> None:
    waiting = await ask(database, tenant, job_runs.REINDEX)
    asked = await ask(database, tenant, job_runs.REINDEX, full=True)
    assert (asked.id, asked.status, asked.arguments) == (waiting.id, JobStatus.QUEUED, FULL)
    begun = await begin(database, tenant, waiting)
    assert begun is not None
    assert begun.arguments == FULL


async def test_a_full_reindex_waits_behind_a_lesser_one_that_runs(
    database: Database, tenant: Tenant
) -> None:
    running = await ask(database, tenant, job_runs.REINDEX)
    await begin(database, tenant, running)
    asked = await ask(database, tenant, job_runs.REINDEX, full=True)
    assert asked.id != running.id
    assert (asked.status, asked.arguments) == (JobStatus.QUEUED, FULL)
    # Once: who asks again gets the same.
    assert (await ask(database, tenant, job_runs.REINDEX, full=True)).id == asked.id
    assert (await ask(database, tenant, job_runs.REINDEX)).id in (running.id, asked.id)


@pytest.mark.parametrize("runs", [False, True])
async def test_a_full_reindex_does_for_who_asks_for_less(
    database: Database, tenant: Tenant, runs: bool
) -> None:
    full = await ask(database, tenant, job_runs.REINDEX, full=True)
    if runs:
        await begin(database, tenant, full)
    for options in ({}, {"full": False}, FULL):
        asked = await ask(database, tenant, job_runs.REINDEX, **options)
        assert (asked.id, asked.arguments) == (full.id, FULL)


async def test_a_training_is_asked_for_once_whatever_its_options(
    database: Database, tenant: Tenant
) -> None:
    first = await ask(database, tenant, job_runs.TRAIN, warm=True)
    second = await ask(database, tenant, job_runs.TRAIN)
    assert (second.id, second.arguments) == (first.id, {"warm": True})


async def test_a_full_reindex_is_not_lost_to_a_start_at_the_same_time(
    database: Database, tenant: Tenant
) -> None:
    waiting = await ask(database, tenant, job_runs.REINDEX)
    begun, asked = await asyncio.gather(
        begin(database, tenant, waiting), ask(database, tenant, job_runs.REINDEX, full=True)
    )
    assert begun is not None
    assert (begun if asked.id == begun.id else asked).arguments == FULL
