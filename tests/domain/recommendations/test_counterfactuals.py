"""The price that would bring a property among the best: tried in order, nothing else changed."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest

from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import NUMERIC_COLUMNS
from domain.contract.vocabulary import PropertyType
from domain.properties.snapshots import columns_of
from domain.properties.table import Property
from domain.recommendations.counterfactuals import STEPS, Counterfactual, repriced, smallest_change


def house(number: int, price: float, cap_rate: float | None) -> Property:
    return Property(
        id=UUID(int=number), listing_price=price, cap_rate=cap_rate, bedrooms=3, owners=number,
        square_feet=1000.0,
        property_type=PropertyType.CONDO,
    )  # fmt: skip


def test_small_changes_are_tried_before_great_ones_and_cheaper_before_dearer() -> None:
    assert STEPS[:4] == (-0.01, 0.01, -0.02, 0.02)
    assert STEPS[18:24] == (-0.1, 0.1, -0.125, 0.125, -0.15, 0.15)
    assert STEPS[-2:] == (-0.5, 0.5)
    assert len(STEPS) == len(set(STEPS)) == 2 * (10 + 16)


def test_the_price_changes_and_with_it_the_cap_rate_alone() -> None:
    found = [house(1, 200_000.0, 0.06), house(2, 333_333.33, None)]
    before = columns_of(found)
    rows = repriced(found)
    assert rows.ids == tuple(one for one in before.ids for _ in STEPS)
    for place, item in enumerate(found):
        mine = slice(place * len(STEPS), (place + 1) * len(STEPS))
        prices = rows.column("listing_price")[mine]
        assert item.listing_price is not None
        assert prices == pytest.approx(
            [item.listing_price * (1 + step) for step in STEPS], abs=0.01
        )
        if item.cap_rate is None:
            assert np.isnan(rows.column("cap_rate")[mine]).all()
        else:
            rent = item.cap_rate * item.listing_price
            assert rows.column("cap_rate")[mine] * prices == pytest.approx(rent)
        kept = [
            n for n, name in enumerate(NUMERIC_COLUMNS) if name not in ("listing_price", "cap_rate")
        ]
        for row in rows.numeric[mine]:
            np.testing.assert_array_equal(row[kept], before.numeric[place][kept])
        assert set(rows.owners[mine]) == {place + 1}
    np.testing.assert_array_equal(columns_of(found).numeric, before.numeric)


@pytest.mark.parametrize(
    ("lifting", "where", "expected"),
    [
        ((), {}, None),
        ((-0.5,), {}, Counterfactual(100_000.0, -0.5)),
        ((0.03, -0.04), {}, Counterfactual(206_000.0, 0.03)),
        ((-0.03, 0.03), {}, Counterfactual(194_000.0, -0.03)),
        ((-0.03, 0.2), {"price": Range(min=195_000)}, Counterfactual(240_000.0, 0.2)),
        ((-0.03, 0.2), {"price": Range(195_000, 230_000)}, None),
        ((-0.03, -0.05), {"cap_rate": Range(min=0.0625)}, Counterfactual(190_000.0, -0.05)),
        (
            (-0.03, 0.05),
            {"price_per_square_foot": Range(min=195)},
            Counterfactual(210_000.0, 0.05),
        ),
    ],
)
def test_the_first_that_lifts_is_taken(
    lifting: tuple[float, ...], where: dict[str, Any], expected: Counterfactual | None
) -> None:
    rows = repriced([house(1, 200_000.0, 0.06), house(2, 900_000.0, None)])
    # As good as the threshold is not above it.
    scores = [0.5 + 0.1 * (step in lifting) for step in STEPS] + [0.5] * len(STEPS)
    assert smallest_change(rows, np.array(scores), 0.5, PropertyFilter(**where)) == [
        expected,
        None,
    ]
