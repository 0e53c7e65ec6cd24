"""Ranked lists that can be entered at a key."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

from domain.contract.ranked_lists import Key


class Keyed(Protocol):
    """An item of a list."""

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
        start = 0 if key is None else bisect_right(self._items, key, key=_key)
        return self._items[start : start + count]

    async def before(self, key: Key, count: int) -> Sequence[Scored]:
        """See ``Listing``."""
        end = bisect_left(self._items, key, key=_key)
        return self._items[max(0, end - count) : end]

    def paths(self) -> list[str]:
        """For each of the items a digest of all items up to it."""
        path = ""
        found = []
        for one in self._items:
            path = digest(path.encode(), one.key.id.bytes)
            found.append(path)
        return found


def _key(item: Keyed) -> Key:
    return item.key
