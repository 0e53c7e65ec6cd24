"""Keyset cursors: a page goes on from a place in the list, not from a count of rows."""

import base64
import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

import strawberry

from domain.core.errors import DomainError, invalid
from domain.core.keyset import Created
from domain.properties.search import Order, Position

Row = TypeVar("Row")
Edge = TypeVar("Edge", bound="HasCursor")

DEFAULT_PAGE = 20
MAX_PAGE = 100
MAX_CURSOR = 1000
YEAR_9999 = 253_402_300_799.0
INTEGER_COLUMNS = ("bedrooms", "year_built", "days_on_market")

First = Annotated[
    int | None,
    strawberry.argument(description="How many from the start, 1 to 100; 20 if not said."),
]
Last = Annotated[
    int | None, strawberry.argument(description="How many from the end instead, 1 to 100.")
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


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool = strawberry.field(description="Whether items follow the page.")
    has_previous_page: bool = strawberry.field(description="Whether items precede the page.")
    start_cursor: str | None = strawberry.field(description="The first item's cursor.")
    end_cursor: str | None = strawberry.field(description="The last item's cursor.")


def page_size(first: int | None, last: int | None = None) -> int:
    """How many items are wanted. Raises DomainError INVALID_INPUT naming the argument."""
    if first is not None and last is not None:
        raise invalid("first, last: give one of them, not both", "last")
    name, wanted = ("first", first) if last is None else ("last", last)
    if wanted is None:
        return DEFAULT_PAGE
    if not 1 <= wanted <= MAX_PAGE:
        raise invalid(f"{name} {wanted}: use 1 to {MAX_PAGE}", name)
    return wanted


class HasCursor(Protocol):
    """An edge of a list."""

    cursor: str


def keyset_page(
    rows: Sequence[Row], size: int, edge: Callable[[Row], Edge], *,
    after: str | None, before: str | None, backward: bool,
) -> tuple[list[Edge], PageInfo]:  # fmt: skip
    """The edges of a page, and where it stands.

    Args:
        rows: in order, one more than the page holds if there are more.
        size: how many the page holds.
        edge: makes the edge of a row.
        after: the cursor that the page follows, if any.
        before: the cursor that it precedes, if any.
        backward: whether the page is the end of ``rows`` instead of the start.
    """
    more = len(rows) > size
    edges = [edge(row) for row in (rows[-size:] if backward else rows[:size])]
    return edges, page_info(
        [one.cursor for one in edges],
        has_next=before is not None if backward else more,
        has_previous=more if backward else after is not None,
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


def position_cursor(order: Order, place: Position) -> str:
    """The cursor of a property in an ordered list."""
    value = place.value.isoformat() if isinstance(place.value, datetime) else place.value
    return encode("properties", order.column, order.descending, value, place.id.hex)


def parse_position(cursor: str, order: Order, field: str) -> Position:
    """The place of a cursor. Raises DomainError INVALID_INPUT for one of another list or order."""
    column, descending, value, place_id = decode(cursor, "properties", 4, field)
    if (column, descending) != (order.column, order.descending):
        raise invalid(f"{field}: this cursor is of a list in another order", field)
    try:
        return Position(_column_value(order.column, value), UUID(place_id))
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise not_ours(field) from None


def _column_value(column: str | None, value: Any) -> float | datetime | None:
    if column is None or value is None:
        return None
    if column == "listed_at":
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(value)
    if column in INTEGER_COLUMNS and (not isinstance(value, int) or abs(value) >= 2**31):
        raise ValueError(value)
    return value if column in INTEGER_COLUMNS else float(value)


def created_cursor(kind: str, place: Created) -> str:
    """The cursor of a row in a list by age; ``kind`` names the list."""
    return encode(kind, place.created_at.isoformat(), place.id.hex)


def parse_created(cursor: str | None, kind: str, field: str) -> Created | None:
    """The place of a cursor, if any. Raises DomainError INVALID_INPUT for one of another list."""
    if cursor is None:
        return None
    created_at, place_id = decode(cursor, kind, 2, field)
    try:
        return Created(datetime.fromisoformat(created_at).astimezone(UTC), UUID(place_id))
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise not_ours(field) from None
