"""Training and indexing from the command line."""

import asyncio
import json
import os

import pytest
from redis import Redis

import runtime
from domain.core.database import Database
from domain.jobs import job_runs
from domain.tenants.tenants import Tenant
from jobs.queue.queue import INDEXING_QUEUE, TRAINING_QUEUE
from tests.cli.conftest import Twin
from tests.factories import build_town

pytestmark = pytest.mark.slow


@pytest.fixture
async def place(database: Database, tenant: Tenant) -> Tenant:
    """A tenant with something to learn from."""
    await build_town(database, tenant)
    return tenant


def test_training_prints_its_figures_beside_popularity(twin: Twin, place: Tenant) -> None:
    trained = twin(
        "train", "--tenant", place.slug, "--epochs", 2, "--batch-size", 32,
        "--learning-rate", 0.01, "--lookback-days", 3650, "--seed", 3,
    )  # fmt: skip
    assert trained.exit_code == 0, trained.stderr
    lines = trained.stdout.splitlines()
    assert lines[0].startswith("Version 1 answers now: 60 properties and 12 investors")
    assert lines[2].split() == ["twin", "mix", "popularity"]
    figures = {line.split()[0]: [float(one) for one in line.split()[1:]] for line in lines[3:-1]}
    assert figures.keys() >= {"ndcg@10", "auc"}
    assert all(0 <= one <= 1 for pair in figures.values() for one in pair)
    assert lines[-1].startswith("F1 ")

    indexed = twin("reindex", "--tenant", place.slug)
    assert indexed.stdout.startswith("Version 1, incremental: 0 properties")

    again = twin("train", "--tenant", place.slug, "--epochs", 1, "--json")
    told = json.loads(again.stdout)
    assert (told["number"], again.exit_code) == (2, 1 if told["refusal"] else 0)
    assert told["metrics"]["test_investors"] > 0


async def test_a_second_training_of_a_tenant_is_refused(
    twin: Twin, database: Database, place: Tenant
) -> None:
    async with database.exclusive(place.id, "training"):
        result = await asyncio.to_thread(twin, "train", "--tenant", place.slug)

    assert result.exit_code == os.EX_TEMPFAIL
    assert "already going on elsewhere" in result.stderr.splitlines()[-1]


async def test_jobs_can_be_asked_for(
    twin: Twin,
    tenant: Tenant,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    services: runtime.Services,
) -> None:
    url = services.redis_url.replace("?db=0", "?db=9")
    monkeypatch.setenv("REDIS_URL", url)
    printed = []
    for job in ("train", "reindex", "reindex"):
        asked_for = await asyncio.to_thread(twin, "enqueue", job, "--tenant", tenant.slug, "--json")
        assert asked_for.exit_code == 0
        printed.append(json.loads(asked_for.stdout)["id"])

    with Redis.from_url(url, decode_responses=True) as redis:
        (training,) = redis.zrange(TRAINING_QUEUE, 0, -1)
        (indexing,) = redis.zrange(INDEXING_QUEUE, 0, -1)
        redis.flushdb()
    async with database.work(tenant.id) as work:
        asked = {run.function: str(run.id) for run in await job_runs.recent(work)}
    assert asked == {"train_twin": training, "reindex": indexing}
    assert printed == [training, indexing, indexing]
    assert twin("enqueue", "frob", "--tenant", tenant.slug).exit_code == 2
