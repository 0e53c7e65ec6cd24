"""Carries events from any process to the listeners of every server process, over Redis.

Each tenant has a channel of its own, and a process is subscribed to those that somebody in it
listens to, all over one connection. Delivery is not certain, as Redis's is not: a listener that may
have missed something, because its connection was lost or it was slow, is told so by an event of
the topic MISSED and reads everything anew. Of what could not be published nobody learns.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from domain.core.events import Event, Topic

logger = logging.getLogger(__name__)

PREFIX = "twin:events:"
ALWAYS = f"{PREFIX}all"
"""A channel that is never published to: a connection without channels could not be listened on."""

TIMEOUT = 1.0
"""Seconds that Redis may take: a mutation waits for its event to be handed over."""
READY_WITHIN = 3.0
"""Seconds that a new listener waits for its channel before it goes on without."""
PING_EVERY = 10.0
RECONNECT_AFTER = 0.5
MAX_PENDING = 1000
"""Different events that wait for one listener; of more it only learns that there were more."""

ONCE_MORE = Retry(NoBackoff(), 1, (RedisConnectionError,))
"""A listener would not learn of what was lost, but takes the same event twice for one."""

MISSED = Event(Topic.MISSED)
Wanted = Callable[[Event], bool]


class Listener:
    """What happened since its owner last looked; equal events count once."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._pending: dict[Event, None] = {}
        self._arrived = asyncio.Event()
        self.listening = False
        """Whether its owner has begun, so that from now on it can miss something."""

    def put(self, event: Event) -> None:
        """Keep an event that its owner wants to know of."""
        if event.topic is not Topic.MISSED and not self._wanted(event):
            return
        if len(self._pending) >= MAX_PENDING and event not in self._pending:
            self._pending, event = {}, MISSED
        self._pending[event] = None
        self._arrived.set()

    async def take(self) -> list[Event]:
        """All that waits, the oldest first; waits for the first."""
        await self._arrived.wait()
        self._arrived.clear()
        taken, self._pending = list(self._pending), {}
        return taken


class _Channel:
    """A tenant's channel: who listens, and whether Redis has confirmed it."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.confirmed = asyncio.Event()

    def put(self, event: Event) -> None:
        for listener in self.listeners:
            listener.put(event)

    def confirm(self) -> None:
        for listener in self.listeners:
            if listener.listening:
                listener.put(MISSED)
        self.confirmed.set()


class Broker:
    """Publishes events and listens to them; connects when it is first used.

    Args:
        redis_url: a ``redis://``, ``rediss://`` or ``unix://`` URL.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis: Redis = Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            # Those who publish and who listen try again themselves, each in its own way.
            retry=Retry(NoBackoff(), 0),
        )
        self._channels: dict[UUID, _Channel] = {}
        self._pubsub: PubSub | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._subscribing: set[asyncio.Task[None]] = set()

    async def publish(self, tenant_id: UUID, events: Sequence[Event]) -> None:
        """Tell the tenant's listeners; once more if the connection was lost at it.

        Raises:
            redis.exceptions.RedisError: Redis does not answer: nobody learns of the events.
        """

        async def publish() -> None:
            async with self._redis.pipeline(transaction=False) as pipe:
                for event in events:
                    pipe.publish(f"{PREFIX}{tenant_id}", event.encode())
                await pipe.execute()

        await ONCE_MORE.call_with_retry(publish, _failed)

    @asynccontextmanager
    async def listen(self, tenant_id: UUID, wanted: Wanted) -> AsyncIterator[Listener]:
        """Listen to a tenant's events.

        Once the block begins no event that was published is missed without a word, whether Redis
        answers or not.

        Args:
            tenant_id: whose; the caller's own.
            wanted: which events to keep.
        """
        if self._receiving is None:
            self._receiving = asyncio.create_task(self._receive())
        listener = Listener(wanted)
        known = self._channels.get(tenant_id)
        channel = known or self._channels.setdefault(tenant_id, _Channel())
        channel.listeners.add(listener)
        try:
            if known is None:
                # In a task of its own: on a connection that all share, a cancelled call would break
                # it for all, and the driver may take a cancellation for nothing.
                subscribing = asyncio.create_task(self._subscribe(tenant_id))
                self._subscribing.add(subscribing)
                subscribing.add_done_callback(self._subscribing.discard)
            with suppress(TimeoutError):
                async with asyncio.timeout(READY_WITHIN):
                    await channel.confirmed.wait()
            listener.listening = True
            yield listener
        finally:
            channel.listeners.discard(listener)
            if not channel.listeners and self._channels.get(tenant_id) is channel:
                # Redis is told when the next event comes.
                del self._channels[tenant_id]

    async def _subscribe(self, tenant_id: UUID) -> None:
        try:
            if self._pubsub:
                await self._pubsub.subscribe(f"{PREFIX}{tenant_id}")
        except Exception:
            # Whoever receives finds the connection broken as well and makes a new one.
            logger.debug("could not subscribe at once", exc_info=True)

    async def _receive(self) -> None:
        """Keep one connection, on all channels that somebody listens to."""
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await self._listen_on(pubsub)
            except Exception as error:
                logger.warning("cut off from other processes' events, trying again: %r", error)
            for channel in self._channels.values():
                channel.confirmed.clear()
            await asyncio.sleep(RECONNECT_AFTER)

    async def _listen_on(self, pubsub: PubSub) -> None:
        # Whoever subscribes before it is connected would make another connection, unread.
        await pubsub.connect()  # type: ignore[no-untyped-call]
        try:
            # From here on new channels are added to this connection; those before are in the call.
            self._pubsub = pubsub
            await pubsub.subscribe(ALWAYS, *(f"{PREFIX}{one}" for one in self._channels))
            await self._read(pubsub)
        finally:
            self._pubsub = None

    async def _read(self, pubsub: PubSub) -> None:
        silent = False
        while True:
            message = await pubsub.get_message(timeout=PING_EVERY)
            if message is not None:
                silent = False
                await self._handle(pubsub, message)
            elif silent:
                raise RedisConnectionError(f"Redis said nothing for {2 * PING_EVERY:.0f} seconds")
            else:
                silent = True
                await pubsub.ping()

    async def _handle(self, pubsub: PubSub, message: dict[str, Any]) -> None:
        kind, name = message["type"], (message["channel"] or b"").decode()
        if kind not in {"subscribe", "message"} or name == ALWAYS:
            return
        channel = self._channels.get(UUID(name.removeprefix(PREFIX)))
        if channel is None:
            await pubsub.unsubscribe(name)
        elif kind == "subscribe":
            channel.confirm()
        else:
            try:
                channel.put(Event.decode(message["data"]))
            except ValueError:
                logger.warning("%s: not an event of ours, ignored", name)

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._receiving is not None:
            self._receiving.cancel()
            with suppress(asyncio.CancelledError):
                await self._receiving
        await asyncio.gather(*self._subscribing)
        await self._redis.aclose()


async def _failed(_: Exception) -> None:
    """Between two attempts nothing is done: a broken connection is not used again."""
