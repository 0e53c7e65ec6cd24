"""A token bucket for each tenant in Redis: what its operations may cost over time.

A bucket holds ``capacity`` points at most and gains ``refill`` of them a second, by the clock of
Redis. One script takes, gives back and refills in one step, so that processes never disagree.

Most requests make no round trip: a process takes points by the block, spends them in memory and
puts what operations did not use back there. The buckets stay exact in that nothing is ever spent
that was not taken; what a process holds in hand, which is at most twice a block, others cannot
spend. A block is a hundredth of the capacity.

Where Redis does not answer, operations run unmetered, and the log says so.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

TAKE = """
local capacity, refill = tonumber(ARGV[1]), tonumber(ARGV[2])
local needed, wanted, returned = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local points = capacity
local state = redis.call('HMGET', KEYS[1], 'points', 'at')
if state[1] then
    points = state[1] + math.max(0, now - state[2]) * refill
end
points = math.min(capacity, points + returned)
local taken, wait = 0, 0
if points >= needed then
    taken = math.min(wanted, math.floor(points))
else
    wait = math.ceil((needed - points) / refill * 1000)
end
points = points - taken
redis.call('HSET', KEYS[1],
    'points', string.format('%.6f', points), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - points) / refill * 1000) + 1000)
return {taken, math.floor(points), wait}
"""
"""Refills, puts ``returned`` back, then takes up to ``wanted`` points if ``needed`` are there.

Answers what was taken, what is left and, where ``needed`` are not there, the milliseconds until
they are. A full bucket and no bucket are the same, so it may expire once it would be full.
"""

MAX_TENANTS = 10_000
"""Whose points a process holds in hand; those of the one that asked longest ago are let go."""

TIMEOUT = 0.5
"""Seconds that Redis may take to answer; every operation waits for it."""

RETRY_AFTER = 1.0
"""Seconds that Redis is left alone after it failed, so that not every request waits for it."""

WARN_EVERY = 60.0


class ExhaustedError(Exception):
    """A tenant has spent what it may.

    Attributes:
        retry_after: seconds until there is enough.
        remaining: points that are left.
    """

    def __init__(self, retry_after: float, remaining: int) -> None:
        super().__init__(f"{remaining} points remain; enough in {retry_after} s")
        self.retry_after = retry_after
        self.remaining = remaining


@dataclass(slots=True)
class _Hand:
    """What a process holds of one tenant's points, and what it last saw in its bucket."""

    points: int = 0
    left: int = 0
    seen: float = 0.0


class Buckets:
    """The buckets of all tenants.

    Args:
        redis: with short timeouts and without retries, see ``connect``.
        capacity: points that a tenant may spend at once.
        refill: points that it gains a second.
    """

    def __init__(self, redis: Redis, capacity: int, refill: int) -> None:
        self.capacity = capacity
        self.refill = refill
        self._block = capacity // 100
        self._redis = redis
        self._script: Callable[..., Any] = redis.register_script(TAKE)
        self._hands: OrderedDict[UUID, _Hand] = OrderedDict()
        self._down_until = 0.0
        self._warned = float("-inf")

    @staticmethod
    def connect(redis_url: str, capacity: int, refill: int) -> "Buckets":
        """The buckets in that Redis; connections open as they are needed."""
        redis = Redis.from_url(redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        return Buckets(redis, capacity, refill)

    async def take(self, tenant_id: UUID, points: int) -> None:
        """Take what an operation may cost.

        Raises:
            ExhaustedError: so much is not there now. More than the capacity never is.
        """
        hand = self._hand(tenant_id)
        if hand.points >= points:
            hand.points -= points
            return
        # Emptied first: other operations of this process come by while Redis is asked.
        held, hand.points = hand.points, 0
        needed = points - held
        try:
            taken, wait = await self._exchange(tenant_id, hand, needed, needed + self._block, 0)
        except BaseException:
            hand.points += held
            raise
        if wait:
            hand.points += held
            raise ExhaustedError(wait / 1000, hand.left + hand.points)
        hand.points += max(0, taken - needed)

    async def give_back(self, tenant_id: UUID, points: int) -> None:
        """Give back what an operation did not use of what was taken."""
        hand = self._hand(tenant_id)
        hand.points += points
        if hand.points > 2 * self._block:
            surplus, hand.points = hand.points - self._block, self._block
            await self._exchange(tenant_id, hand, 0, 0, surplus)

    def remaining(self, tenant_id: UUID) -> int:
        """What the tenant can spend now, as far as this process knows."""
        hand = self._hand(tenant_id)
        gained = (time.monotonic() - hand.seen) * self.refill
        return min(self.capacity, hand.points + hand.left + int(gained))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _hand(self, tenant_id: UUID) -> _Hand:
        hand = self._hands.get(tenant_id)
        if hand is None:
            hand = self._hands[tenant_id] = _Hand()
            if len(self._hands) > MAX_TENANTS:
                self._hands.popitem(last=False)
        self._hands.move_to_end(tenant_id)
        return hand

    async def _exchange(
        self, tenant_id: UUID, hand: _Hand, needed: int, wanted: int, returned: int
    ) -> tuple[int, int]:
        """What the bucket gave, and the milliseconds to wait if it did not have enough."""
        if time.monotonic() < self._down_until:
            return wanted, 0
        figures = [self.capacity, self.refill, needed, wanted, returned]
        try:
            taken, hand.left, wait = await self._script(keys=[key(tenant_id)], args=figures)
        except (RedisError, OSError) as error:
            self._note(error)
            return wanted, 0
        hand.seen = time.monotonic()
        return int(taken), int(wait)

    def _note(self, error: Exception) -> None:
        now = time.monotonic()
        self._down_until = now + RETRY_AFTER
        if now - self._warned >= WARN_EVERY:
            self._warned = now
            logger.warning("Redis does not answer; operations run unmetered: %s", error)


def key(tenant_id: UUID) -> str:
    """The key of a tenant's bucket."""
    return f"twin:points:{tenant_id}"
