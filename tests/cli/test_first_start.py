"""The sample on a fresh machine, and after a first start that was interrupted."""

import asyncio
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, func, select

import runtime
from cli import first_start
from cli.first_start import INVESTOR, PROPERTY_FILES, SAMPLE, SLUG, training_shown
from domain.core.database import Database
from domain.core.work import Work
from domain.imports import record
from domain.jobs import index_outbox, job_runs
from domain.jobs.job_runs import JobRun, JobStatus
from domain.properties import search
from domain.properties.table import Property
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from domain.users import users
from sample.king_county import load_houses
from tests.cli.conftest import small_sample

HOUSES = len(load_houses().thinned(small_sample.keywords["most_houses"]))


async def find(database: Database) -> Tenant:
    async with database.work(None) as work:
        return await tenants.by_slug(work, SLUG)


async def trainings(database: Database) -> list[JobRun]:
    tenant = await find(database)
    async with database.work(tenant.id) as work:
        return [run for run in await job_runs.recent(work) if run.function == job_runs.TRAIN]


async def test_an_interrupted_first_start_is_finished_by_the_next(database: Database) -> None:
    await small_sample(database)
    (asked,) = await trainings(database)
    assert (asked.status, asked.arguments) == (
        JobStatus.QUEUED,
        {"epochs": 1, "device": "cpu"},
    )

    await small_sample(database)
    (again,) = await trainings(database)
    assert again.id == asked.id

    async with database.work(asked.tenant_id) as work:
        await job_runs.start(work, asked.id)
        await job_runs.fail(work, asked.id, "no")
    await small_sample(database)
    assert [run.status for run in await trainings(database)] == [
        JobStatus.QUEUED,
        JobStatus.FAILED,
    ]


async def test_the_sample_says_what_is_simulated(database: Database) -> None:
    tenant = await find(database)
    async with database.work(tenant.id) as work:
        assert await search.count(work) == HOUSES
        assert (await index_outbox.waiting(work)).marks > 0
        investor = await users.find(work, INVESTOR)
        assert investor.simulated
        sources = await work.session.scalars(
            select(func.distinct(Property.provenance["listing_status"]["source"].astext))
        )
        assert list(sources) == ["simulated"]
        imports = await record.page(work)
    assert [(one.source, one.actor) for one in imports] == [
        (name, SAMPLE) for name in ("interactions.csv.gz", *reversed(PROPERTY_FILES))
    ]


Ending = Callable[[Work, JobRun], Any]


async def _interrupted(_work: Work, _run: JobRun) -> None:
    """Leaves it to the end of the block."""


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (
            lambda work, run: job_runs.succeed(work, run.id, {"number": 3, "refusal": "F1 0.2"}),
            "Training: succeeded, but no version answers: F1 0.2",
        ),
        (
            lambda work, run: job_runs.fail(work, run.id, "secret", "too little to learn from"),
            "Training: failed, but no version answers: too little to learn from",
        ),
        (
            lambda work, run: work.session.execute(delete(JobRun).where(JobRun.id == run.id)),
            "Training: not shown any further: No such job run.",
        ),
        (_interrupted, "Training: interrupted; the next start continues it"),
    ],
    ids=["refused", "failed", "deleted", "interrupted"],
)
async def test_the_terminal_follows_the_training(
    database: Database,
    services: runtime.Services,
    capfd: pytest.CaptureFixture[str],
    ending: Ending,
    said: str,
) -> None:
    await small_sample(database)
    (run, *_) = await trainings(database)
    async with database.work(run.tenant_id) as work:
        await job_runs.start(work, run.id)
        await job_runs.progress(work, run.id, 0.5, "epoch 4 of 8")

    printed = ""
    # What only reads needs no queue.
    found = replace(services, redis_url="redis://127.0.0.1:1")
    with training_shown(found):
        async with asyncio.timeout(60):
            while "Training: 50% epoch 4 of 8\n" not in printed:
                printed += capfd.readouterr().err
                await asyncio.sleep(0.02)
        async with database.work(run.tenant_id) as work:
            await ending(work, run)
        async with asyncio.timeout(60):
            while ending is not _interrupted and said not in printed:
                printed += capfd.readouterr().err
                await asyncio.sleep(0.02)
    assert f"{said}\n" in printed + capfd.readouterr().err


def test_a_database_that_is_down_is_one_line(
    services: runtime.Services, capfd: pytest.CaptureFixture[str]
) -> None:
    down = replace(services, database_url="postgresql+asyncpg://app@127.0.0.1:1/twin")
    with training_shown(down):
        pass
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("Training: not shown any further: ")


def test_a_database_that_does_not_answer_holds_up_no_stop(
    services: runtime.Services, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_start, "LEFT_WITHIN", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql+asyncpg://app@127.0.0.1:{port}/twin"
        with training_shown(replace(services, database_url=url)):
            (shows,) = (one for one in threading.enumerate() if one.name == "training-shown")
        assert shows.is_alive()
    shows.join(60)
    assert "Training: not shown any further: " in capfd.readouterr().err
