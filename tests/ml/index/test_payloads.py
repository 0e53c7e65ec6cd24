"""What a point carries."""

from dataclasses import replace
from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st

from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from ml.index.filters import payloads
from tests.ml.worlds import make_columns

_PRICE = NUMERIC_COLUMNS.index("listing_price")


def priced(price: float) -> PropertyColumns:
    columns = make_columns(1)
    numeric = columns.numeric.copy()
    numeric[0, _PRICE] = price
    return replace(columns, numeric=numeric)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_value_and_fit_into_a_message(price: float) -> None:
    (payload,) = payloads(priced(price))
    value = payload["listing_price"]
    assert value == price
    # An integer of the protocol has 64 bits.
    assert isinstance(value, float) or -(2**63) <= value < 2**63


def test_what_is_missing_is_left_out() -> None:
    for price in (nan, inf, -inf):
        assert "listing_price" not in payloads(priced(price))[0]
