"""Events from one process to the listeners of others, over Redis as it comes and goes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import RedisError

import embedded
import runtime
from domain.core import broker as broker_module
from domain.core.broker import MAX_PENDING, MISSED, PREFIX, Broker, Listener
from domain.core.database import Database
from domain.core.events import Event, Topic

A, B = UUID(int=1), UUID(int=2)
events = st.builds(Event, st.sampled_from(Topic), st.none() | st.uuids())


def anything(_: Event) -> bool:
    return True


async def soon(listener: Listener) -> list[Event]:
    async with asyncio.timeout(60):
        return await listener.take()


@pytest.fixture
async def brokers(services: runtime.Services) -> AsyncIterator[tuple[Broker, Broker]]:
    """Those of two processes."""
    pair = Broker(services.redis_url), Broker(services.redis_url)
    yield pair
    for one in pair:
        await one.close()


@given(events)
def test_an_event_travels_unchanged(event: Event) -> None:
    assert Event.decode(event.encode()) == event


@given(st.binary(max_size=300) | st.text().map(str.encode))
def test_nothing_else_is_taken_for_one(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an event"):
        Event.decode(data)


@pytest.mark.parametrize(
    "data",
    [b"{}", b"[]", b'{"topic": "FEEDBACK"}', b'{"topic": "OTHER", "subject": null}',
     b'{"topic": "FEEDBACK", "subject": 7}', b'{"topic": "JOB", "subject": null}' + b" " * 200],
)  # fmt: skip
def test_nor_what_is_nearly_one(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an event"):
        Event.decode(data)


@given(st.lists(events, max_size=30))
async def test_a_listener_keeps_each_different_event_once_in_order(arrived: list[Event]) -> None:
    listener = Listener(lambda event: event.topic is not Topic.JOB)
    listener.put(MISSED)
    for event in arrived:
        listener.put(event)
    wanted = [MISSED, *(event for event in arrived if event.topic is not Topic.JOB)]
    assert await soon(listener) == list(dict.fromkeys(wanted))


async def test_a_slow_listener_learns_that_it_missed_something() -> None:
    listener = Listener(anything)
    for _ in range(MAX_PENDING + 3):
        listener.put(Event(Topic.JOB, uuid4()))
    taken = await soon(listener)
    assert (taken[0], len(taken)) == (MISSED, 3)


async def test_events_reach_the_listeners_of_their_tenant_alone(
    brokers: tuple[Broker, Broker],
) -> None:
    ours, theirs = brokers
    investor = uuid4()
    async with (
        theirs.listen(A, anything) as of_a,
        theirs.listen(A, lambda event: event.subject == investor) as of_investor,
        theirs.listen(B, anything) as of_b,
    ):
        await ours.publish(A, [Event(Topic.MODEL), Event(Topic.FEEDBACK, investor)])
        await ours.publish(B, [Event(Topic.PROPERTIES)])
        assert await soon(of_investor) == [Event(Topic.FEEDBACK, investor)]
        assert await soon(of_a) == [Event(Topic.MODEL), Event(Topic.FEEDBACK, investor)]
        assert await soon(of_b) == [Event(Topic.PROPERTIES)]


async def test_a_process_is_subscribed_only_while_somebody_listens(
    brokers: tuple[Broker, Broker], services: runtime.Services
) -> None:
    ours, theirs = brokers
    tenant = uuid4()
    redis: Redis = Redis.from_url(services.redis_url)

    async def subscribers() -> int:
        ((_, count),) = await redis.pubsub_numsub(f"{PREFIX}{tenant}")
        return int(count)

    async with theirs.listen(tenant, anything), theirs.listen(tenant, anything) as second:
        assert await subscribers() == 1
    await ours.publish(tenant, [Event(Topic.MODEL)])
    async with asyncio.timeout(60):
        while await subscribers():  # noqa: ASYNC110 - only Redis knows
            await asyncio.sleep(0.02)
    async with theirs.listen(tenant, anything) as third:
        await ours.publish(tenant, [Event(Topic.PROPERTIES)])
        assert await soon(third) == [Event(Topic.PROPERTIES)]
    assert not second._pending
    await redis.aclose()


async def test_what_is_no_event_is_ignored_and_said_so(
    brokers: tuple[Broker, Broker], services: runtime.Services, caplog: pytest.LogCaptureFixture
) -> None:
    redis: Redis = Redis.from_url(services.redis_url)
    async with brokers[0].listen(A, anything) as listener:
        await redis.publish(f"{PREFIX}{A}", b"\xff")
        await brokers[1].publish(A, [Event(Topic.MODEL)])
        assert await soon(listener) == [Event(Topic.MODEL)]
    assert "not an event of ours" in caplog.text
    await redis.aclose()


async def test_a_rollback_discards_events_and_a_commit_hands_each_over_once(
    services: runtime.Services, enqueued: list[Any]
) -> None:
    told: list[tuple[UUID, list[Event]]] = []

    async def enqueue(_: Any) -> None: ...

    async def publish(tenant: UUID, published: Any) -> None:
        told.append((tenant, list(published)))

    database = Database(services.database_url, enqueue, publish)
    with suppress(ZeroDivisionError):
        async with database.work(A) as work:
            work.publish(Event(Topic.MODEL))
            _ = 1 / 0
    assert told == []
    async with database.work(A) as work:
        work.publish(Event(Topic.MODEL))
        work.publish(Event(Topic.PROPERTIES))
        work.publish(Event(Topic.MODEL))
        assert told == []
    assert told == [(A, [Event(Topic.MODEL), Event(Topic.PROPERTIES)])]
    await database.close()


async def test_without_redis_the_work_is_done_all_the_same(
    services: runtime.Services, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def enqueue(_: Any) -> None: ...

    lost = Broker(f"unix://{tmp_path}/nobody.sock")
    database = Database(services.database_url, enqueue, lost.publish)
    async with database.work(A) as work:
        work.publish(Event(Topic.MODEL))
    assert "could not publish MODEL" in caplog.text
    await database.close()
    await lost.close()


@asynccontextmanager
async def behind(
    url: str, path: Path, *, delay: float = 0, cut: bytes | None = None
) -> AsyncIterator[str]:
    """The URL of a Redis that takes its time to answer, and hangs up once when it is told that."""
    streams: list[asyncio.StreamWriter] = []
    cuts = [] if cut is None else [cut]

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, wait: float) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if cuts and cuts[0] in data:
                    del cuts[0]
                    break
                await asyncio.sleep(wait)
                sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(urlsplit(url).path)
        streams.extend((writer, ours))
        await asyncio.gather(carry(reader, ours, 0), carry(theirs, writer, delay))

    server = await asyncio.start_unix_server(serve, path / "proxy.sock")
    yield f"unix://{path}/proxy.sock"
    server.close()
    for one in streams:
        one.close()


async def test_listeners_that_come_while_the_connection_is_made_all_hear(
    services: runtime.Services, brokers: tuple[Broker, Broker], tmp_path: Path
) -> None:
    tenants = [uuid4() for _ in range(4)]
    async with behind(services.redis_url, tmp_path, delay=0.1) as url, AsyncExitStack() as stack:
        slow = Broker(url)
        listening = []
        for one in tenants:
            entered = stack.enter_async_context(slow.listen(one, anything))
            listening.append(asyncio.create_task(entered))
            await asyncio.sleep(0.05)
        listeners = await asyncio.gather(*listening)
        for tenant in tenants:
            await brokers[0].publish(tenant, [Event(Topic.JOB, tenant)])
        for tenant, listener in zip(tenants, listeners, strict=True):
            assert await soon(listener) == [Event(Topic.JOB, tenant)]
        await slow.close()


async def test_what_a_lost_connection_swallows_is_published_again(
    services: runtime.Services, brokers: tuple[Broker, Broker], tmp_path: Path
) -> None:
    async with (
        brokers[0].listen(A, anything) as listener,
        behind(services.redis_url, tmp_path, cut=b"PUBLISH") as url,
    ):
        cut_off = Broker(url)
        await cut_off.publish(A, [Event(Topic.MODEL)])
        assert await soon(listener) == [Event(Topic.MODEL)]
        await cut_off.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a Redis that no other test uses."""
    yield tmp_path
    embedded.release(tmp_path)


@pytest.mark.integration
async def test_after_a_restart_of_redis_listeners_go_on_and_know_that_they_missed_something(
    own_redis: Path,
) -> None:
    url = embedded.ensure(own_redis, postgres=False, qdrant=False).redis_url
    assert url is not None
    ours, theirs = Broker(url), Broker(url)
    async with theirs.listen(A, anything) as listener:
        await ours.publish(A, [Event(Topic.MODEL)])
        assert await soon(listener) == [Event(Topic.MODEL)]
        pid = embedded.status(own_redis)["redis"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(RedisError):
            await ours.publish(A, [Event(Topic.PROPERTIES)])
        assert await soon(listener) == [MISSED]
        await ours.publish(A, [Event(Topic.BUY_BOX, B)])
        assert await soon(listener) == [Event(Topic.BUY_BOX, B)]
    await ours.close()
    await theirs.close()


@pytest.mark.integration
async def test_who_listens_while_redis_is_away_is_told_when_it_comes(
    own_redis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = embedded.ensure(own_redis, postgres=False, qdrant=False).redis_url
    assert url is not None
    monkeypatch.setattr(broker_module, "READY_WITHIN", 0.01)
    socket = urlsplit(url).path
    os.rename(socket, f"{socket}.aside")
    broker = Broker(url)
    async with broker.listen(A, anything) as listener:
        os.rename(f"{socket}.aside", socket)
        assert await soon(listener) == [MISSED]
    await broker.close()


@pytest.mark.integration
async def test_a_connection_that_says_nothing_is_given_up(
    own_redis: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = embedded.ensure(own_redis, postgres=False, qdrant=False).redis_url
    assert url is not None
    monkeypatch.setattr(broker_module, "PING_EVERY", 0.3)
    broker, redis = Broker(url), Redis.from_url(url)

    async def pings() -> int:
        seen = await redis.info("commandstats")
        return int(seen.get("cmdstat_ping", {"calls": 0})["calls"])

    async with broker.listen(A, anything) as listener, asyncio.timeout(60):
        # Longer than the deadline: pings are answered, so nothing is given up.
        before = await pings()
        while await pings() < before + 3:  # noqa: ASYNC110 - only Redis knows
            await asyncio.sleep(0.02)
        assert "said nothing" not in caplog.text
        pid = embedded.status(own_redis)["redis"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        while "said nothing" not in caplog.text:  # noqa: ASYNC110 - only the log tells
            await asyncio.sleep(0.02)
        os.kill(pid, signal.SIGCONT)
        assert MISSED in await soon(listener)
    await broker.close()
    await redis.aclose()


async def test_a_listener_ends_whenever_it_is_cancelled(brokers: tuple[Broker, Broker]) -> None:
    broker, _ = brokers
    async with broker.listen(A, anything) as staying:
        for steps in range(30):

            async def listen() -> None:
                async with broker.listen(uuid4(), anything) as listener:
                    await listener.take()

            listening = asyncio.create_task(listen())
            for _ in range(steps):
                await asyncio.sleep(0)
            listening.cancel()
            _, left = await asyncio.wait([listening], timeout=60)
            assert not left, f"cancelled after {steps} steps of the loop"
        # Nor was the others' connection lost by it.
        await broker.publish(A, [Event(Topic.JOB)])
        assert await soon(staying) == [Event(Topic.JOB)]
