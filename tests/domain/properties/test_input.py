from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.input_rules import _EXPLANATIONS, explain
from domain.properties.input import PROPERTY_COLUMNS, PropertyInput

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.datetimes() | st.dates() | st.sampled_from(["9" * 5000, "1e999", "\0", "-0", "0x1f"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)  # fmt: skip


def read(**values: Any) -> PropertyInput:
    return PropertyInput.model_validate({"external_id": "A", **values})


def reasons(**values: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        read(**values)
    return {str(error["loc"][0]): explain(error) for error in caught.value.errors()}


@pytest.mark.parametrize(
    ("column", "given", "value"),
    [
        ("external_id", 7, "7"),
        ("zipcode", 98101, "98101"),
        ("city", "  Kent ", "Kent"),
        ("city", " \t", None),
        ("property_type", "Single family", PropertyType.SINGLE_FAMILY),
        ("listing_status", " off-market", ListingStatus.OFF_MARKET),
        ("listing_status", "", None),
        ("listing_price", " 350000.50 ", 350_000.5),
        ("listing_price", "1e6", 1_000_000),
        ("bedrooms", "3.0", 3),
        ("bedrooms", 3.0, 3),
        ("bedrooms", "", None),
        ("renovation_needed", "Yes", True),
        ("renovation_needed", 0, False),
        ("listed_at", "2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("listed_at", "20240501T0930Z", datetime(2024, 5, 1, 9, 30, tzinfo=UTC)),
        ("listed_at", "2024-05-01 02:00:00+02:00", datetime(2024, 5, 1, tzinfo=UTC)),
        ("listed_at", datetime(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC)),
    ],
)
def test_what_is_understood(column: str, given: Any, value: Any) -> None:
    assert getattr(read(**{column: given}), column) == value


def test_times_are_kept_in_utc() -> None:
    there = timezone(timedelta(hours=-7, seconds=11))
    found = read(listed_at=datetime(2024, 5, 1, tzinfo=there)).listed_at
    assert found is not None
    assert found.utcoffset() == timedelta(0)


NUMBER = "not a number; write it plainly, e.g. 350000 or 2.5"
EPOCH = "a number is not a time; write e.g. 2024-05-01T09:30:00Z"
DATE = "not an ISO 8601 time; write e.g. 2024-05-01 or 2024-05-01T09:30:00Z"


@pytest.mark.parametrize(
    ("column", "given", "reason"),
    [
        ("external_id", None, "is missing, and every row needs it"),
        ("external_id", " ", "is missing, and every row needs it"),
        ("city", "x" * 201, "longer than 200 characters"),
        ("city", ["Kent"], "not text"),
        ("external_id", True, "not text"),
        ("listing_price", True, NUMBER),
        ("listing_price", "1,2,3", NUMBER),
        ("listing_price", float("inf"), NUMBER),
        ("listing_price", -0.01, "must be at least 0"),
        ("latitude", "90.01", "must be at most 90"),
        ("longitude", "-180.5", "must be at least -180"),
        ("confidence", "1.5", "must be at most 1"),
        ("bedrooms", True, "not a whole number"),
        ("bedrooms", 2.5, "not a whole number"),
        ("bedrooms", "9" * 5000, "too many digits"),
        ("renovation_needed", "perhaps", "use true or false"),
        ("listing_status", "GONE", "use one of ACTIVE, PENDING, SOLD, OFF_MARKET"),
        ("listed_at", 1_714_521_600, EPOCH),
        ("listed_at", "1714521600", EPOCH),
        ("listed_at", date(2024, 5, 1), DATE),
        ("listed_at", "0001-01-01T00:00:00+10:00", DATE),
        ("listed_at", "2300-01-01", "must be at most 2200-01-01T00:00:00Z"),
        ("colour", "red", "no such field"),
    ],
)
def test_what_is_refused_and_why(column: str, given: Any, reason: str) -> None:
    assert reasons(**{column: given}) == {column: reason}


def test_a_missing_external_id() -> None:
    with pytest.raises(ValidationError) as caught:
        PropertyInput.model_validate({})
    assert [explain(error) for error in caught.value.errors()] == [
        "is missing, and every row needs it"
    ]


@given(st.dictionaries(st.sampled_from(PROPERTY_COLUMNS), ANYTHING, min_size=1, max_size=4))
def test_every_error_is_explained_and_nothing_else_is_raised(values: dict[str, Any]) -> None:
    try:
        item = PropertyInput.model_validate(values)
    except ValidationError as error:
        for wrong in error.errors():
            known = wrong["type"] in _EXPLANATIONS or wrong["input"] is None
            assert known, wrong
            assert "{" not in explain(wrong)
    else:
        assert PropertyInput.model_validate(item.model_dump()) == item
