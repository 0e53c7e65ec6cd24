"""Pages of ranked lists: their arguments, and their cursors."""

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import strawberry

from domain.contract.ranked_lists import Key
from domain.core.errors import invalid
from domain.recommendations.listings import MAX_DEPTH
from domain.recommendations.paging import Cursor, ListSnapshot, Page
from graph.core.pagination import (
    YEAR_9999,
    PageInfo,
    decode,
    encode,
    not_ours,
    page_info,
    page_size,
)


class Listed(Protocol):
    """An item of a ranked list."""

    @property
    def cursor(self) -> Cursor:
        """Its cursor there."""
        ...


Found = TypeVar("Found", bound=Listed)
Edge = TypeVar("Edge")

MAX_FLOORS = 3
LOWEST_FLOOR, HIGHEST_FLOOR = -2.0, 1.0
"""Floors are cosines or shares, or less than any."""

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
    """Which page of a ranked list is asked for: so many after a cursor, or else before one."""

    size: int
    after: Cursor | None
    before: Cursor | None


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
    return Window(size, parse_cursor(after, kind, "after"), parse_cursor(before, kind, "before"))


def ranked_page(
    kind: str, page: Page[Found], edge: Callable[[str, Found], Edge]
) -> tuple[list[Edge], PageInfo]:
    """The edges of a page of a ranked list, each made of a cursor and an item, and its info."""
    cursors = [cursor_text(kind, item.cursor) for item in page.items]
    edges = list(map(edge, cursors, page.items))
    return edges, page_info(cursors, has_next=page.has_next, has_previous=page.has_previous)


def cursor_text(kind: str, cursor: Cursor) -> str:
    """The cursor as clients get it; ``kind`` keeps lists of different kinds apart."""
    key = cursor.key
    return encode(kind, *cursor.snapshot, key.value, key.id.hex, cursor.rank, cursor.path)


def parse_cursor(text: str | None, kind: str, field: str = "after") -> Cursor | None:
    """The cursor of a text. Raises DomainError INVALID_INPUT for another list's."""
    if text is None:
        return None
    parts = decode(text, kind, 9, field)
    try:
        return _cursor(*parts)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        raise not_ours(field) from None


def _cursor(
    version: Any, as_of: Any, state: Any, floors: Any, diversity: Any,
    value: Any, key_id: Any, rank: Any, path: Any,
) -> Cursor:  # fmt: skip
    """Raises what conversions raise, and ValueError for what no list can have."""
    snapshot = ListSnapshot(
        str(version), _number(as_of), str(state), tuple(map(_number, floors)), _number(diversity)
    )
    cursor = Cursor(snapshot, Key(_number(value), UUID(key_id)), int(rank), str(path))
    if not (
        0 <= snapshot.as_of <= YEAR_9999
        and 0 < cursor.rank <= MAX_DEPTH
        and 0 <= snapshot.diversity <= 1
        and len(snapshot.floors) <= MAX_FLOORS
        and all(LOWEST_FLOOR <= one <= HIGHEST_FLOOR for one in snapshot.floors)
    ):
        raise ValueError(cursor)
    return cursor


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
