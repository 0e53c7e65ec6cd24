"""Pages of lists: their arguments, types and keyset cursors.

A page goes on from a place in the list, not from a count of rows.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import strawberry

from domain.core.base import TenantScoped
from domain.core.errors import DomainError, invalid
from domain.core.keyset import Created
from domain.core.work import Work
from graph.core.context import Context, Info
from graph.core.directives import QUERY, page_of, weight

T = TypeVar("T")
Row = TypeVar("Row")
Aged = TypeVar("Aged", bound=TenantScoped)

DEFAULT_PAGE = 20
MAX_PAGE = 100
MAX_CURSOR = 1000
YEAR_9999 = 253_402_300_799.0

PAGED = page_of(DEFAULT_PAGE, "first", "last")
"""``@listSize`` of a connection."""

First = Annotated[
    int | None,
    strawberry.argument(
        description="Number of items to return from the start, from 0 to 100. Default: 20."
    ),
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description="Number of items to return from the end instead, from 0 to 100."
    ),
]
After = Annotated[
    str | None, strawberry.argument(description="Go on after the item of this cursor.")
]
Before = Annotated[
    str | None, strawberry.argument(description="Stop before the item of this cursor.")
]

Diversity = Annotated[
    float | None,
    strawberry.argument(
        description="0 to 1, 0 if absent: how much each next property is to differ from those "
        "before it, at the cost of fitting less. Above 0, scores need not fall down the list. "
        "Give all pages the same. Changes nothing where no model ranks."
    ),
]


@strawberry.type
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool = strawberry.field(description="Whether items follow the page.")
    has_previous_page: bool = strawberry.field(description="Whether items precede the page.")
    start_cursor: str | None = strawberry.field(description="The first item's cursor.")
    end_cursor: str | None = strawberry.field(description="The last item's cursor.")


@strawberry.type
class Edge(Generic[T]):
    """An item of a list, and its place there."""

    cursor: str = strawberry.field(description="Cursor of this edge, for `after` and `before`.")
    node: T = strawberry.field(description="The item.")


@strawberry.type
class Connection(Generic[T]):
    """A page of a list."""

    count: strawberry.Private[Callable[[Context], Awaitable[int]]]
    edges: Sequence[Edge[T]] = strawberry.field(description="Edges of this page, in order.")
    page_info: PageInfo = strawberry.field(description="Where this page stands in the list.")

    @strawberry.field(directives=[weight(QUERY)])
    async def total_count(self, info: Info) -> int:
        """Number of matching items. Counted only if asked for."""
        return await self.count(info.context)


def counted(count: Callable[[Work], Awaitable[int]]) -> Callable[[Context], Awaitable[int]]:
    """The ``count`` of a connection whose items are counted in a unit of work."""

    async def in_work(context: Context) -> int:
        async with context.work() as work:
            return await count(work)

    return in_work


def page_size(first: int | None, last: int | None = None) -> int:
    """How many items are wanted. Raises DomainError INVALID_INPUT naming the argument."""
    if first is not None and last is not None:
        raise invalid("first, last: give one of them, not both", "last")
    name, wanted = ("first", first) if last is None else ("last", last)
    if wanted is None:
        return DEFAULT_PAGE
    if not 0 <= wanted <= MAX_PAGE:
        raise invalid(f"{name} {wanted}: use 0 to {MAX_PAGE}", name)
    return wanted


class Slice(NamedTuple):
    """Which page of a list is asked for.

    Attributes:
        size: how many items it has at most.
        after: cursor of the item that it follows, if any.
        before: cursor of the item that it precedes, if any.
        backward: whether it is counted from the end of what lies between the two.
    """

    size: int
    after: str | None
    before: str | None
    backward: bool


def slice_of(first: int | None, after: str | None, last: int | None, before: str | None) -> Slice:
    """The page that the arguments ask for. Raises DomainError INVALID_INPUT naming the argument."""
    return Slice(page_size(first, last), after, before, backward=last is not None)


def keyset_page(
    rows: Sequence[Row], asked: Slice, cursor: Callable[[Row], str], node: Callable[[Row], T]
) -> tuple[list[Edge[T]], PageInfo]:
    """The edges of a page, and where it stands.

    Args:
        rows: in order, one more than the page holds if there are more, also for a page of size 0.
        asked: the page.
        cursor: makes the cursor of a row.
        node: makes the node of a row.
    """
    size, more = asked.size, len(rows) > asked.size
    edges = [
        Edge(cursor=cursor(row), node=node(row))
        for row in (rows[max(0, len(rows) - size) :] if asked.backward else rows[:size])
    ]
    return edges, page_info(
        [one.cursor for one in edges],
        has_next=asked.before is not None if asked.backward else more,
        has_previous=more if asked.backward else asked.after is not None,
    )


def page_info(cursors: Sequence[str], *, has_next: bool, has_previous: bool) -> PageInfo:
    """The page of the items of those cursors."""
    return PageInfo(
        has_next_page=has_next,
        has_previous_page=has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def encode(*parts: Any) -> str:
    """A cursor that holds the parts, which JSON can write."""
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode(cursor: str, kind: str, count: int, field: str) -> list[Any]:
    """The parts of a cursor after its kind, which are ``count``.

    Raises DomainError INVALID_INPUT, blaming ``field``, for anything else.
    """
    if len(cursor) > MAX_CURSOR:
        raise not_ours(field)
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, RecursionError):
        raise not_ours(field) from None
    if not isinstance(parts, list) or len(parts) != count + 1 or parts[0] != kind:
        raise not_ours(field)
    return parts[1:]


def not_ours(field: str) -> DomainError:
    """The refusal of a cursor that no list of the kind can have given."""
    return invalid(f"{field}: use a cursor of this list, as its pageInfo or edges return it", field)


def created_cursor(kind: str, row: TenantScoped) -> str:
    """The cursor of a row in a list by age; ``kind`` names the list."""
    return encode(kind, row.created_at.isoformat(), row.id.hex)


def parse_created(cursor: str | None, kind: str, field: str) -> Created | None:
    """The place of a cursor, if any. Raises DomainError INVALID_INPUT for one of another list."""
    if cursor is None:
        return None
    created_at, place_id = decode(cursor, kind, 2, field)
    try:
        return Created(datetime.fromisoformat(created_at).astimezone(UTC), UUID(place_id))
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise not_ours(field) from None


async def list_by_age(
    context: Context,
    kind: str,
    asked: Slice,
    where: object,
    page: Callable[..., Awaitable[Sequence[Aged]]],
    count: Callable[..., Awaitable[int]],
    node: Callable[[Aged], T],
) -> Connection[T]:
    """A page of a list by age.

    Args:
        context: of the request.
        kind: names the list, in cursors.
        asked: the page.
        where: the domain's filter.
        page: reads rows; takes a unit of work, ``where``, ``limit``, ``after``, ``before`` and
            ``backward``.
        count: counts the rows of all pages; takes a unit of work and ``where``.
        node: makes the node of a row.
    """
    async with context.work() as work:
        rows = await page(
            work,
            where=where,
            limit=asked.size + 1,
            after=parse_created(asked.after, kind, "after"),
            before=parse_created(asked.before, kind, "before"),
            backward=asked.backward,
        )
    edges, page_info = keyset_page(rows, asked, partial(created_cursor, kind), node)
    return Connection(count=counted(partial(count, where=where)), edges=edges, page_info=page_info)
