"""Token buckets in a real Redis, spent by several processes at once."""

import asyncio
import logging
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

import runtime
from embedded.redis import _find_program
from graph.limits import bucket
from graph.limits.bucket import Buckets, ExhaustedError, key

SLOW = 1
"""Points a second: nothing that a test would notice."""

MakeBuckets = Callable[..., Buckets]


@pytest.fixture
async def process(services: runtime.Services) -> AsyncIterator[MakeBuckets]:
    """Makes the buckets as another process would see them, over connections of its own."""
    opened: list[Buckets] = []

    def make(capacity: int = 1000, refill: int = SLOW) -> Buckets:
        opened.append(Buckets.connect(services.redis_url, capacity, refill))
        return opened[-1]

    yield make
    for one in opened:
        await one.close()


@pytest.fixture
async def redis(services: runtime.Services) -> AsyncIterator[Redis]:
    client = Redis.from_url(services.redis_url)
    yield client
    await client.aclose()


async def spend(buckets: Buckets, tenant_id: UUID, points: int, times: int) -> int:
    """How often so many points could be taken."""
    taken = 0
    for _ in range(times):
        with suppress(ExhaustedError):
            await buckets.take(tenant_id, points)
            taken += 1
    return taken


async def test_processes_together_never_spend_more_than_there_is(process: MakeBuckets) -> None:
    tenant_id, began = uuid4(), time.monotonic()
    processes = [process() for _ in range(4)]
    tasks = [spend(one, tenant_id, 7, 100) for one in processes for _ in range(3)]
    taken = sum(await asyncio.gather(*tasks))
    gained = SLOW * (time.monotonic() - began + 1)
    # Each may be left with a block in hand and a few points that are not enough.
    assert 1000 - 4 * (10 + 7) <= 7 * taken <= 1000 + gained


async def test_what_is_refused_is_not_taken_and_says_how_long(process: MakeBuckets) -> None:
    tenant_id, buckets = uuid4(), process(refill=50)
    await buckets.take(tenant_id, 900)
    with pytest.raises(ExhaustedError) as refused:
        await buckets.take(tenant_id, 1000)
    assert 10 < refused.value.retry_after <= 18
    assert 100 <= refused.value.remaining < 500
    await buckets.take(tenant_id, 90)


async def test_a_bucket_refills_by_the_clock_of_redis(process: MakeBuckets) -> None:
    tenant_id, buckets = uuid4(), process(refill=1000)
    with pytest.raises(ExhaustedError) as refused:
        await spend_all(buckets, tenant_id)
    await asyncio.sleep(refused.value.retry_after)
    await buckets.take(tenant_id, 500)


async def test_a_bucket_holds_no_more_than_its_capacity(process: MakeBuckets, redis: Redis) -> None:
    tenant_id, buckets = uuid4(), process(refill=100_000)
    await buckets.take(tenant_id, 1000)
    await asyncio.sleep(0.05)
    left = -1
    while left < 0:
        with pytest.raises(ExhaustedError):
            await buckets.take(tenant_id, 1100)
        # What is full may be forgotten, a second later: it will be full again.
        left = await redis.pttl(key(tenant_id))
    assert 0 < left <= 1010


async def test_what_was_not_used_is_given_back(process: MakeBuckets) -> None:
    tenant_id, one, other = uuid4(), process(), process()
    await one.take(tenant_id, 1000)
    with pytest.raises(ExhaustedError):
        await other.take(tenant_id, 900)
    await one.give_back(tenant_id, 990)
    # All but the block that the first keeps in hand.
    await other.take(tenant_id, 960)
    await one.take(tenant_id, 10)


async def test_little_that_is_given_back_is_spent_without_a_round_trip(
    process: MakeBuckets, redis: Redis
) -> None:
    tenant_id, buckets = uuid4(), process()
    await buckets.take(tenant_id, 1)
    before = await redis.dump(key(tenant_id))
    for _ in range(5):
        await buckets.take(tenant_id, 5)
        await buckets.give_back(tenant_id, 4)
    assert await redis.dump(key(tenant_id)) == before
    assert 994 <= buckets.remaining(tenant_id) <= 994 + 10 * SLOW


async def test_one_tenant_never_spends_anothers(process: MakeBuckets) -> None:
    greedy, modest, buckets = uuid4(), uuid4(), process()
    await asyncio.gather(spend(buckets, greedy, 100, 20), spend(process(), greedy, 100, 20))
    # Less than a hundred are left, to which a point comes each second.
    with pytest.raises(ExhaustedError):
        await buckets.take(greedy, 500)
    assert buckets.remaining(modest) == 1000
    await buckets.take(modest, 1000)
    await buckets.give_back(modest, 900)
    with pytest.raises(ExhaustedError):
        await buckets.take(greedy, 500)


async def test_a_process_forgets_the_tenant_that_asked_longest_ago(
    process: MakeBuckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "MAX_TENANTS", 2)
    buckets = process()
    for tenant_id in [uuid4() for _ in range(5)]:
        await buckets.take(tenant_id, 10)
    assert len(buckets._hands) == 2


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Redis that a test may stop, and its URL."""
    socket = tmp_path / "r.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen([_find_program(), *options], stdout=subprocess.DEVNULL) as started:
        yield started, f"unix://{socket}?db=0"
        started.send_signal(signal.SIGCONT)
        started.kill()


async def until_up(url: str) -> None:
    async with asyncio.timeout(30), Redis.from_url(url) as client:
        while True:
            with suppress(OSError, RedisError):
                if await client.ping():
                    return
            await asyncio.sleep(0.05)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
async def test_without_redis_operations_run_unmetered_and_the_log_says_so_once(
    server: tuple[subprocess.Popen[bytes], str],
    number: signal.Signals,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket, "TIMEOUT", 2.0)
    started, url = server
    await until_up(url)
    tenant_id, buckets = uuid4(), Buckets.connect(url, 1000, SLOW)
    await buckets.take(tenant_id, 1000)
    with pytest.raises(ExhaustedError):
        await buckets.take(tenant_id, 500)
    started.send_signal(number)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            await buckets.take(tenant_id, 500)
            await buckets.give_back(tenant_id, 450)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "Redis does not answer; operations run unmetered"
    ]
    await buckets.close()


@pytest.mark.integration
async def test_metering_goes_on_once_redis_is_back(
    server: tuple[subprocess.Popen[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "TIMEOUT", 2.0)
    monkeypatch.setattr(bucket, "RETRY_AFTER", 0.0)
    started, url = server
    await until_up(url)
    tenant_id, buckets = uuid4(), Buckets.connect(url, 1000, SLOW)
    await buckets.take(tenant_id, 1000)
    started.send_signal(signal.SIGSTOP)
    await buckets.take(tenant_id, 500)
    started.send_signal(signal.SIGCONT)
    with pytest.raises(ExhaustedError):
        await spend_all(buckets, tenant_id)
    await buckets.close()


async def spend_all(buckets: Buckets, tenant_id: UUID) -> None:
    """Spend until it is refused."""
    async with asyncio.timeout(60):
        while True:
            await buckets.take(tenant_id, 500)
