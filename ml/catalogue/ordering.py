"""Pages of ordered lists over the arrays of a catalogue."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from domain.contract.property_search import Order, Position
from ml.catalogue.property_ids import PropertyIds, heads


def page(
    ids: NDArray[np.bytes_],
    values: NDArray[np.float64] | None,
    rows: NDArray[np.intp],
    in_order: int,
    order: Order,
    limit: int,
    after: Position | None,
    before: Position | None,
    *,
    backward: bool,
) -> list[Position]:
    """A page of some rows; see ``PropertySearch.page``. At least one property is wanted.

    Args:
        ids: S16 (n,), of all rows.
        values: float64 (n,), what the rows are ordered by, NaN where missing; None for by id.
        rows: intp (m,), which rows, ascending.
        in_order: the first so many of the n rows are ascending by id.
        order: as which the values are.
        limit: at most so many.
        after: what the page follows.
        before: what the page precedes.
        backward: takes those nearest the end.
    """
    if values is None:
        keys = np.full(len(rows), np.inf)
    else:
        keys = values[rows]
        keys = np.where(np.isnan(keys), np.inf, -keys if order.descending else keys)
    for place, sign in ((after, 1), (before, -1)):
        if place is not None:
            beyond = _beyond(ids, rows, keys, order, place, sign)
            rows, keys = rows[beyond], keys[beyond]
    if len(rows) > limit:
        nearest = _nearest(ids, rows, keys, in_order, limit, backward=backward)
        rows, keys = rows[nearest], keys[nearest]
    sorted_rows = rows[np.lexsort((ids[rows], keys))]
    rows = sorted_rows[-limit:] if backward else sorted_rows[:limit]
    known = [None] * len(rows) if values is None else values[rows].tolist()
    return [
        Position(_value(order, value), row_id)
        for value, row_id in zip(known, PropertyIds(ids[rows]), strict=True)
    ]


def _beyond(
    ids: NDArray[np.bytes_],
    rows: NDArray[np.intp],
    keys: NDArray[np.float64],
    order: Order,
    place: Position,
    sign: int,
) -> NDArray[np.bool_]:
    """Which of the rows lie behind a place (sign 1), or before it (-1)."""
    at = _key(order, place)
    compare = np.greater if sign > 0 else np.less
    found = compare(keys, at)
    same = np.flatnonzero(keys == at)
    found[same] = compare(ids[rows[same]], np.bytes_(place.id.bytes))
    return np.asarray(found)


def _nearest(
    ids: NDArray[np.bytes_],
    rows: NDArray[np.intp],
    keys: NDArray[np.float64],
    in_order: int,
    limit: int,
    *,
    backward: bool,
) -> NDArray[np.intp]:
    """Places among the ascending rows: the first ``limit`` of them in order, and a few others."""
    if backward:
        bound = np.partition(keys, -limit)[-limit]
        clear, tied = np.flatnonzero(keys > bound), np.flatnonzero(keys == bound)
    else:
        bound = np.partition(keys, limit - 1)[limit - 1]
        clear, tied = np.flatnonzero(keys < bound), np.flatnonzero(keys == bound)
    wanted = limit - len(clear)
    split = int(np.searchsorted(rows[tied], in_order))
    sorted_by_id, newest = tied[:split], tied[split:]
    sorted_by_id = sorted_by_id[-wanted:] if backward else sorted_by_id[:wanted]
    if len(newest) > wanted:
        first = heads(ids[rows[newest]])
        if backward:
            newest = newest[first >= np.partition(first, -wanted)[-wanted]]
        else:
            newest = newest[first <= np.partition(first, wanted - 1)[wanted - 1]]
    return np.concatenate((clear, sorted_by_id, newest))


def _key(order: Order, place: Position) -> float:
    """What a place is compared by: what is missing comes last."""
    if place.value is None:
        return np.inf
    value = place.value
    number = value.timestamp() if isinstance(value, datetime) else float(value)
    return -number if order.descending else number


def _value(order: Order, value: float | None) -> float | datetime | None:
    if value is None or np.isnan(value):
        return None
    return datetime.fromtimestamp(value, UTC) if order.column == "listed_at" else value
