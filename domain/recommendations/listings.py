"""Ranked lists that can be entered at a key: whole ones, ones that grow, and ones of two parts."""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

from domain.contract.ranked_lists import Key, Ranked, Reach, Shortlist


class Keyed(Protocol):
    """What has a place in a list."""

    @property
    def key(self) -> Key:
        """Where it stands."""
        ...


Scored = TypeVar("Scored", bound=Keyed)
Scored_co = TypeVar("Scored_co", bound=Keyed, covariant=True)

MAX_DEPTH = 1000
"""How far down a ranked list can be paged."""


def digest(*parts: bytes) -> str:
    """A short text that differs if any of the parts does."""
    return blake2b(b"\0".join(parts), digest_size=9).hexdigest()


class Listing(Protocol[Scored_co]):
    """A list in ascending order of keys."""

    async def behind(self, key: Key | None, count: int) -> Sequence[Scored_co]:
        """The first ``count`` behind a key, or of all; fewer only where the list ends."""
        ...

    async def before(self, key: Key, count: int) -> Sequence[Scored_co]:
        """The last ``count`` before a key, in order; fewer only where the list begins."""
        ...


class Whole(Generic[Scored]):
    """A list of which all is at hand."""

    def __init__(self, items: Sequence[Scored]) -> None:
        self._items = items

    async def behind(self, key: Key | None, count: int) -> Sequence[Scored]:
        """See ``Listing``."""
        return [one for one in self._items if key is None or one.key > key][:count]

    async def before(self, key: Key, count: int) -> Sequence[Scored]:
        """See ``Listing``."""
        return [one for one in self._items if one.key < key][-count:]

    def states(self, state: str) -> list[str]:
        """For each of the items a digest of ``state`` and of all items up to it."""
        found = []
        for one in self._items:
            state = digest(state.encode(), one.key.id.bytes)
            found.append(state)
        return found


class Growing(Generic[Scored]):
    """A list that is asked for its first so many."""

    def __init__(self, first: Callable[[int], Awaitable[Sequence[Scored]]], likely: int) -> None:
        """``likely`` tells how many there may be up to the keys that will be asked about."""
        self._first = first
        self._likely = likely

    async def behind(self, key: Key | None, count: int) -> Sequence[Scored]:
        """See ``Listing``."""
        limit = (self._likely if key else 0) + count
        while True:
            limit = min(limit, MAX_DEPTH)
            items = await self._first(limit)
            rest = [one for one in items if key is None or one.key > key]
            if len(rest) >= count or len(items) < limit or limit == MAX_DEPTH:
                return rest[:count]
            limit *= 2

    async def before(self, key: Key, count: int) -> Sequence[Scored]:
        """See ``Listing``."""
        limit = self._likely + 1
        while True:
            limit = min(limit, MAX_DEPTH)
            items = await self._first(limit)
            if len(items) < limit or items[-1].key >= key or limit == MAX_DEPTH:
                return [one for one in items if one.key < key][-count:]
            limit *= 2


class Parts:
    """An investor's list, which is ranked part by part."""

    def __init__(
        self, rank: Callable[[Reach | None, int], Awaitable[Shortlist]], reach: Reach | None
    ) -> None:
        """``rank`` gives a part of the list of a reach; without one, the first of a new list."""
        self._rank = rank
        self._reach = reach
        self._parts: dict[int, Sequence[Ranked]] = {}

    @property
    def reach(self) -> Reach:
        """How far the list looks, as far as that is known."""
        return self._reach or Reach()

    async def behind(self, key: Key | None, count: int) -> Sequence[Ranked]:
        """See ``Listing``."""
        found: list[Ranked] = []
        for part in range(min(key.part, 1) if key else 0, 2):
            if len(found) < count:
                items = await self._part(part)
                if key is not None:
                    items = [one for one in items if one.key > key]
                found += items[: count - len(found)]
        return found

    async def before(self, key: Key, count: int) -> Sequence[Ranked]:
        """See ``Listing``."""
        found: list[Ranked] = []
        for part in range(min(key.part, 1), -1, -1):
            if len(found) < count:
                found = [one for one in await self._part(part) if one.key < key] + found
        return found[-count:]

    async def _part(self, part: int) -> Sequence[Ranked]:
        if part and self.reach.last is None:
            return []
        if part not in self._parts:
            self._parts[part], self._reach = await self._rank(self._reach, part)
        return self._parts[part]
