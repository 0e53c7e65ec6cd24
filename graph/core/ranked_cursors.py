"""Pages of ranked lists: their arguments, and the cursors that name a place in such a list."""

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import strawberry

from domain.contract.ranked_lists import Key, Reach
from domain.core.errors import invalid
from domain.recommendations.listings import MAX_DEPTH
from domain.recommendations.paging import Page, Place
from graph.core.pagination import (
    YEAR_9999,
    PageInfo,
    decode,
    encode,
    not_ours,
    page_info,
    page_size,
)


class Placed(Protocol):
    """An item of a ranked list."""

    @property
    def place(self) -> Place:
        """Its place there."""
        ...


Found = TypeVar("Found", bound=Placed)
Edge = TypeVar("Edge")

MAX_SOURCES = 4

RankedLast = Annotated[
    int | None,
    strawberry.argument(
        description="Number of items to return before the item of `before`, from 0 to 100. Only "
        "with `before`: a ranked list is found from its start, and its end means nothing."
    ),
]
RankedBefore = Annotated[
    str | None,
    strawberry.argument(description="Stop before the item of this cursor. Only with `last`."),
]


class Window(NamedTuple):
    """Which page of a ranked list is asked for: so many after a place, or else before one."""

    size: int
    after: Place | None
    before: Place | None


def window(
    kind: str, first: int | None, after: str | None, last: int | None, before: str | None
) -> Window:
    """The page that the arguments ask for; ``kind`` names the kind of list.

    Raises:
        DomainError: INVALID_INPUT for arguments that a ranked list has no answer to, and for a
            cursor of another list.
    """
    size = page_size(first, last)
    if last is not None and before is None:
        raise invalid("last: give before as well; a ranked list is found from its start", "last")
    if before is not None and last is None:
        raise invalid("before: give last as well, or ask with first and after", "before")
    if before is not None and after is not None:
        raise invalid("after: give it with first; with last, give before alone", "after")
    return Window(size, parse_place(after, kind, "after"), parse_place(before, kind, "before"))


def ranked_page(
    kind: str, page: Page[Found], edge: Callable[[str, Found], Edge]
) -> tuple[list[Edge], PageInfo]:
    """The edges of a page of a ranked list, each made of a cursor and an item, and where it is."""
    cursors = [place_cursor(kind, item.place) for item in page.items]
    edges = list(map(edge, cursors, page.items))
    return edges, page_info(cursors, has_next=page.has_next, has_previous=page.has_previous)


def place_cursor(kind: str, place: Place) -> str:
    """The cursor of an item of a ranked list; ``kind`` keeps lists of different kinds apart."""
    last = place.reach.last
    return encode(
        kind, place.version, place.as_of, place.state, place.diversity, place.rank,
        place.key.part, place.key.place, place.key.id.hex,
        place.reach.likeness, None if last is None else (last.place, last.id.hex),
    )  # fmt: skip


def parse_place(cursor: str | None, kind: str, field: str = "after") -> Place | None:
    """The place of a cursor. Raises DomainError INVALID_INPUT for another list's."""
    if cursor is None:
        return None
    parts = decode(cursor, kind, 10, field)
    try:
        place = _place(*parts)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        raise not_ours(field) from None
    return place


def _place(
    version: Any, as_of: Any, state: Any, diversity: Any, rank: Any,
    part: Any, at: Any, at_id: Any, likeness: Any, last: Any,
) -> Place:  # fmt: skip
    """Raises what conversions raise, and ValueError for what no list can have."""
    reach = Reach(
        tuple(_number(one) for one in likeness),
        None if last is None else Key(0, _number(last[0]), UUID(last[1])),
    )
    place = Place(
        version=str(version),
        as_of=_number(as_of),
        state=str(state),
        reach=reach,
        key=Key(int(part), _number(at), UUID(at_id)),
        rank=int(rank),
        diversity=_number(diversity),
    )
    if not (
        0 <= place.as_of <= YEAR_9999
        and 0 < place.rank <= MAX_DEPTH
        and place.key.part in (0, 1, 2)
        and 0 <= place.diversity <= 1
        and len(reach.likeness) <= MAX_SOURCES
    ):
        raise ValueError(place)
    return place


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
