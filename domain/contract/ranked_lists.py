"""Ranked lists as a twin gives them: in an order that is each property's own.

A page of a list is computed anew, and properties come and go between two pages. So where a property
stands must not depend on how many others there are: it has a key of its own, once the score floors
of the list's searches are fixed. Between two pages a key is then only lost or gained with the
property, and what follows a key is what was not on the pages before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


class Key(NamedTuple):
    """Where a property or investor stands; lists are in ascending order of keys.

    Attributes:
        value: a number of the list's own; smaller is better.
        id: of the property or investor; orders equals.
    """

    value: float
    id: UUID


@dataclass(frozen=True, slots=True)
class Ranked:
    """A property on a list.

    Attributes:
        property_id: the property.
        score: in [0, 1]: on an investor's list the calibrated affinity; on a list of what is like a
            property or near a vector the cosine, mapped from [-1, 1].
        key: where it stands.
    """

    property_id: UUID
    score: float
    key: Key


class Kin(NamedTuple):
    """Investors who buy like one.

    Attributes:
        likeness: how alike each is, in [0, 1].
        state: bytes that differ if the one's own interests do; none if it has none.
        above: the score floor of the search.
    """

    likeness: dict[UUID, float]
    state: bytes
    above: float


class RankedList(NamedTuple):
    """An investor's list, best first, and the score floors of its searches."""

    items: Sequence[Ranked]
    floors: tuple[float, ...]
