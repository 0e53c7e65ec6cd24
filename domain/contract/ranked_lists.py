"""Ranked lists as a twin gives them: in an order that is each property's own.

A page of a list is computed anew, and properties come and go between two pages. So a property's
place must not depend on how many others there are: it is a key, which the property has by itself
once it is fixed how far the list looks (``Reach``). Between two pages a key is then only lost or
gained with the property, and what follows a key is what was not on the pages before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


class Key(NamedTuple):
    """Where a property stands; lists are in ascending order of keys.

    Attributes:
        part: 0 for the first part of a list, 1 for the second.
        place: within the part, a number of the list's own; smaller is better.
        id: the property or investor, among equals.
    """

    part: int
    place: float
    id: UUID


class Reach(NamedTuple):
    """How far a list looks: fixed by its first page, the same for all others.

    Attributes:
        likeness: what has to be exceeded in each of the searches; numbers of the twin's own.
        last: where the first part ends; None if there is only that part.
    """

    likeness: tuple[float, ...] = ()
    last: Key | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A property on an investor's list, with its calibrated affinity in [0, 1]."""

    property_id: UUID
    score: float
    key: Key


@dataclass(frozen=True, slots=True)
class Similar:
    """A property and its likeness to the one asked about, cosine mapped to [0, 1]."""

    property_id: UUID
    similarity: float
    key: Key


class Kin(NamedTuple):
    """Investors who buy like one.

    Attributes:
        likeness: how alike each is, in [0, 1].
        state: bytes that differ if the one's own interests do; none if it has none.
        above: how far was looked, for ``Reach.likeness``.
    """

    likeness: dict[UUID, float]
    state: bytes
    above: float


class Shortlist(NamedTuple):
    """One part of an investor's list, best first, and how far the list looks."""

    items: Sequence[Ranked]
    reach: Reach
