"""What reaches the queues, and what does not."""

import asyncio
import json
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.jobs import SerializationError

import embedded
from domain.database import Database
from domain.tenants import Tenant
from domain.work import Job
from jobs.queue import INDEXING_QUEUE, TRAINING_QUEUE, JobQueue, deserialize, serialize

A, B = uuid4(), uuid4()


async def ids(redis: ArqRedis, queue: str = INDEXING_QUEUE) -> list[str]:
    return [job_id.decode() for job_id in await redis.zrange(queue, 0, -1)]


async def test_each_job_goes_to_the_queue_of_its_kind(redis: ArqRedis, queue: JobQueue) -> None:
    await queue.enqueue(
        [
            Job("reindex", A),
            Job("index_users", A, (["x"],)),
            Job("index_properties", A, (["x"],)),
            Job("train_twin", A),
        ]
    )

    assert len(await ids(redis)) == 3
    (training,) = await ids(redis, TRAINING_QUEUE)
    assert training.startswith(f"train_twin:{A}")


async def test_jobs_are_json_with_the_tenant_first(redis: ArqRedis, queue: JobQueue) -> None:
    await queue.enqueue([Job("train_twin", A, ({"epochs": 3},))])

    (key,) = [key async for key in redis.scan_iter("arq:job:*")]
    payload = json.loads(await redis.get(key))
    assert payload["f"] == "train_twin"
    assert payload["a"] == [str(A), {"epochs": 3}]


async def test_what_is_no_json_value_is_refused(queue: JobQueue) -> None:
    with pytest.raises(TypeError, match="UUID"):
        await queue.enqueue([Job("index_users", A, ([B],))])
    with pytest.raises(TypeError, match="must be JSON values"):
        serialize({"a": object()})


def test_a_pickle_is_not_read() -> None:
    import pickle

    with pytest.raises(ValueError, match=r".*"):
        deserialize(pickle.dumps({"f": "reindex"}))


def test_an_error_can_be_kept_as_text() -> None:
    assert deserialize(serialize({"r": ValueError("why")})) == {"r": "ValueError('why')"}


async def test_equal_jobs_wait_once(redis: ArqRedis, queue: JobQueue) -> None:
    one, other = Job("index_users", A, (["1"],)), Job("index_users", A, (["2"],))
    for _ in range(3):
        await queue.enqueue([one, other, Job("index_users", B, (["1"],)), Job("reindex", A)])

    assert len(await ids(redis)) == 4


async def test_while_a_job_runs_another_may_wait(redis: ArqRedis, queue: JobQueue) -> None:
    job = Job("reindex", A)
    await queue.enqueue([job])
    (running,) = await ids(redis)
    await redis.set(in_progress_key_prefix + running, b"1")

    await queue.enqueue([job])
    await queue.enqueue([job])
    waiting = set(await ids(redis)) - {running}
    assert len(waiting) == 1

    # Both run: what changed since is for a third.
    await redis.set(in_progress_key_prefix + waiting.pop(), b"1")
    await queue.enqueue([job])
    assert len(await ids(redis)) == 3


async def test_only_a_commit_enqueues(redis: ArqRedis, queued: Database, tenant: Tenant) -> None:
    with pytest.raises(RuntimeError, match="changed my mind"):
        async with queued.work(tenant.id) as work:
            work.enqueue("reindex")
            raise RuntimeError("changed my mind")
    assert await ids(redis) == []

    async with queued.work(tenant.id) as work:
        work.enqueue("reindex")
        assert await ids(redis) == []
    (job_id,) = await ids(redis)
    assert UUID(job_id.split(":")[1]) == tenant.id


async def test_ping(queue: JobQueue) -> None:
    await queue.ping()


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
