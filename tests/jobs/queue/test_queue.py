"""What reaches the queues, and what does not."""

import asyncio
import json
import os
import pickle
import signal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import SerializationError

import embedded
from domain.core.database import Database
from domain.core.work import Job
from domain.jobs import job_runs
from domain.jobs.index_outbox import INDEX_MARKED
from domain.tenants.tenants import Tenant
from jobs.queue.queue import INDEXING_QUEUE, TRAINING_QUEUE, JobQueue, deserialize, serialize
from tests.jobs.conftest import Ask

A, B = uuid4(), uuid4()


async def ids(redis: ArqRedis, queue: str = INDEXING_QUEUE) -> list[str]:
    return [job_id.decode() for job_id in await redis.zrange(queue, 0, -1)]


async def test_each_job_goes_to_the_queue_of_its_kind(
    redis: ArqRedis, queue: JobQueue, ask: Ask, tenant: Tenant
) -> None:
    for function in (job_runs.REINDEX, job_runs.ACTIVATE, job_runs.DRIFT):
        await ask(tenant.id, function)
    training = await ask(tenant.id, job_runs.TRAIN)
    await queue.enqueue([Job(INDEX_MARKED, tenant.id)])

    assert len(await ids(redis)) == 4
    assert await ids(redis, TRAINING_QUEUE) == [str(training.id)]


async def test_jobs_are_json_with_the_tenant_first(
    redis: ArqRedis, ask: Ask, tenant: Tenant
) -> None:
    run = await ask(tenant.id, job_runs.TRAIN, epochs=3)

    payload = json.loads(await redis.get(f"{job_key_prefix}{run.id}"))
    # What it is about is in the database, under the tenant's own rules.
    assert (payload["f"], payload["a"]) == ("train_twin", [str(tenant.id), str(run.id)])


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError, match="must be JSON values"):
        serialize({"a": object()})


def test_a_pickle_is_not_read() -> None:
    with pytest.raises(ValueError, match=r".*"):
        deserialize(pickle.dumps({"f": "reindex"}))


def test_an_error_can_be_kept_as_text() -> None:
    assert deserialize(serialize({"r": ValueError("why")})) == {"r": "ValueError('why')"}


async def test_a_routine_waits_once_for_each_tenant(redis: ArqRedis, queue: JobQueue) -> None:
    for _ in range(3):
        await queue.enqueue([Job(INDEX_MARKED, A), Job(INDEX_MARKED, B)])

    assert len(await ids(redis)) == 2


async def test_while_a_routine_runs_another_may_wait(redis: ArqRedis, queue: JobQueue) -> None:
    job = Job(INDEX_MARKED, A)
    await queue.enqueue([job])
    (running,) = await ids(redis)
    await redis.set(in_progress_key_prefix + running, b"1")

    await queue.enqueue([job])
    await queue.enqueue([job])
    waiting = set(await ids(redis)) - {running}
    assert len(waiting) == 1


async def test_asking_again_gets_what_waits_or_runs(
    redis: ArqRedis, ask: Ask, queued: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    run = await ask(tenant.id, job_runs.REINDEX)
    assert (await ask(tenant.id, job_runs.REINDEX)).id == run.id
    async with queued.work(tenant.id) as work:
        await job_runs.start(work, run.id)
    assert (await ask(tenant.id, job_runs.REINDEX)).id == run.id
    assert await ids(redis) == [str(run.id)]
    assert (await ask(other_tenant.id, job_runs.REINDEX)).id != run.id

    async with queued.work(tenant.id) as work:
        await job_runs.succeed(work, run.id, {})
    assert (await ask(tenant.id, job_runs.REINDEX)).id != run.id


async def test_many_who_ask_at_once_get_one_run(redis: ArqRedis, ask: Ask, tenant: Tenant) -> None:
    asked = await asyncio.gather(*(ask(tenant.id, job_runs.REINDEX) for _ in range(8)))

    assert len({run.id for run in asked}) == 1
    assert await ids(redis) == [str(asked[0].id)]


async def test_only_a_commit_enqueues(redis: ArqRedis, queued: Database, tenant: Tenant) -> None:
    with pytest.raises(RuntimeError, match="changed my mind"):
        async with queued.work(tenant.id) as work:
            await job_runs.request(work, job_runs.REINDEX)
            raise RuntimeError("changed my mind")
    assert await ids(redis) == []
    async with queued.work(tenant.id) as work:
        assert await job_runs.recent(work) == []

    async with queued.work(tenant.id) as work:
        run = await job_runs.request(work, job_runs.REINDEX)
        assert await ids(redis) == []
    assert await ids(redis) == [str(run.id)]


async def test_ping(queue: JobQueue) -> None:
    await queue.ping()


@pytest.mark.integration
async def test_the_queue_survives_a_restart_of_redis(tmp_path: Path) -> None:
    url = embedded.ensure(tmp_path, postgres=False, qdrant=False).redis_url
    assert url is not None
    queue = await JobQueue.connect(url)
    path = urlsplit(url).path
    os.rename(path, f"{path}.aside")
    pid = embedded.status(tmp_path)["redis"].pid
    assert pid is not None
    # Its keeper starts it again; until then there is nothing to connect to.
    os.kill(pid, signal.SIGKILL)
    # On the connection that there was, and on new ones.
    await asyncio.gather(*(queue.ping() for _ in range(3)))
    await queue.close()
    embedded.release(tmp_path)


async def test_arguments_that_arq_cannot_pack_are_named(redis: ArqRedis) -> None:
    redis.job_serializer = serialize
    with pytest.raises(SerializationError):
        await redis.enqueue_job("reindex", object())
