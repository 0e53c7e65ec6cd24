"""Cursors: whatever a client sends is a place or a clear refusal."""

import base64
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.property_search import ORDERABLE, Order, Position
from domain.contract.ranked_lists import Key
from domain.core.errors import DomainError, ErrorCode
from domain.recommendations.listings import MAX_DEPTH
from domain.recommendations.paging import Cursor, ListSnapshot
from graph.core.nodes import global_id, parse_id, split_id
from graph.core.pagination import MAX_CURSOR
from graph.core.ranked_cursors import MAX_FLOORS, cursor_text, parse_cursor
from graph.properties.ordering import parse_position, position_cursor

INTEGERS = ("bedrooms", "year_built", "days_on_market")
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
orders = st.builds(Order, st.sampled_from([None, *ORDERABLE]), st.booleans())


@given(st.data(), orders, st.uuids())
def test_a_place_in_an_ordered_list_survives_its_cursor(
    data: st.DataObject, order: Order, row: UUID
) -> None:
    values: dict[str | None, Any] = {
        None: st.none(),
        "listed_at": st.none() | st.datetimes(timezones=st.just(UTC)),
        **dict.fromkeys(INTEGERS, st.none() | st.integers(-(2**31) + 1, 2**31 - 1)),
    }
    numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
    place = Position(data.draw(values.get(order.column, numbers)), row)
    assert parse_position(position_cursor(order, place), order, "after") == place


numbers = st.floats(allow_nan=False, allow_infinity=False)
cursors = st.builds(
    Cursor,
    st.builds(
        ListSnapshot,
        st.sampled_from(["engagement", "3f0c"]),
        st.floats(0, 4e9),
        st.text("0123456789abcdef", max_size=18),
        st.lists(st.floats(-2, 1), max_size=MAX_FLOORS).map(tuple),
        st.floats(0, 1),
    ),
    st.builds(Key, numbers, st.uuids()),
    st.integers(1, MAX_DEPTH),
    st.text("0123456789abcdef", max_size=18),
)


@given(cursors)
def test_a_cursor_of_a_ranked_list_survives_as_text(cursor: Cursor) -> None:
    text = cursor_text("similar", cursor)
    assert parse_cursor(text, "similar") == cursor
    assert len(text) <= MAX_CURSOR


def forge(parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def refused(error: DomainError) -> bool:
    return error.code is ErrorCode.INVALID_INPUT and error.field != ()


@given(
    st.lists(scalars | st.lists(scalars, max_size=5), max_size=10),
    orders,
    st.sampled_from(["properties", "similar"]),
)
def test_forged_cursors_are_places_or_refused(parts: list[Any], order: Order, kind: str) -> None:
    for cursor in (forge([kind, *parts]), forge([kind, order.column, order.descending, *parts])):
        position: Any = attempt(lambda: parse_position(cursor, order, "after"))  # noqa: B023
        if isinstance(position, DomainError):
            assert refused(position)
        else:
            assert position.value is None or isinstance(position.value, int | float | datetime)
        found: Any = attempt(lambda: parse_cursor(cursor, kind))  # noqa: B023
        if isinstance(found, DomainError):
            assert refused(found)
        else:
            assert math.isfinite(found.key.value)
            assert 0 < found.rank <= MAX_DEPTH
            assert 0 <= found.snapshot.diversity <= 1
            assert all(-2 <= one <= 1 for one in found.snapshot.floors)
            datetime.fromtimestamp(found.snapshot.as_of, UTC)


@pytest.mark.parametrize("floors", [[1e308], [-3.0], [0.5] * 4, ["x"]])
def test_floors_that_no_list_has_are_refused(floors: list[Any]) -> None:
    forged = forge(["similar", "3f0c", 0.0, "", floors, 0.0, 0.5, UUID(int=1).hex, 1, ""])
    with pytest.raises(DomainError, match="use a cursor of this list"):
        parse_cursor(forged, "similar")


def attempt(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except DomainError as error:
        return error


@given(st.text(max_size=80))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    found = attempt(lambda: split_id(text, "id"))
    assert refused(found) if isinstance(found, DomainError) else global_id(*found) == text


def test_an_id_of_another_type_is_refused() -> None:
    with pytest.raises(DomainError, match="expected the id of a Property"):
        parse_id(global_id("User", UUID(int=1)), "Property", "propertyId")
