"""Sequences over arrays whose items are made when they are read: of a list, few ever are."""

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

Item = TypeVar("Item")


class LazySequence(Sequence[Item]):
    """A sequence whose items a function makes of their positions, each time they are read."""

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        """``make`` gets positions from 0 to ``count`` - 1."""
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        """The item at a position, or the items of a slice."""
        positions = range(self._count)[place]
        if isinstance(positions, int):
            return self._make(positions)
        return list(map(self._make, positions))
