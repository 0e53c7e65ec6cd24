"""Pages of rows in the order of their keys: a page goes on from a place, not from a count."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from domain.core.work import Work

Row = TypeVar("Row")


class Created(NamedTuple):
    """A row's place in a list by age: by when it was created, ties by id."""

    created_at: datetime
    id: UUID


async def page(
    work: Work,
    query: Select[Row],
    key: Sequence[InstrumentedAttribute[Any]],
    limit: int,
    *,
    after: Sequence[Any] | None = None,
    before: Sequence[Any] | None = None,
    backward: bool = False,
    newest_first: bool = False,
) -> Sequence[Row]:
    """Up to ``limit`` of the query's rows between two places, in order.

    Args:
        work: the unit of work.
        query: which rows.
        key: columns that tell all rows apart; the list is in their order.
        limit: how many.
        after: the key that the rows follow, if any.
        before: the key that they precede, if any.
        backward: take those nearest the end instead of the start.
        newest_first: the list is in falling order.
    """
    place = tuple_(*key)
    if after is not None:
        query = query.where(place < tuple(after) if newest_first else place > tuple(after))
    if before is not None:
        query = query.where(place > tuple(before) if newest_first else place < tuple(before))
    falling = newest_first is not backward
    query = query.order_by(*(column.desc() if falling else column for column in key))
    rows = list(await work.session.scalars(query.limit(limit)))
    return rows[::-1] if backward else rows
