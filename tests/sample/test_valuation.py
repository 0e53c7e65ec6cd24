from dataclasses import replace

import numpy as np
import pytest

from sample.export import Sample
from sample.king_county import Houses
from sample.valuation import COMPARABLES, estimate_values


def first(houses: Houses, count: int) -> Houses:
    columns = {name: getattr(houses, name)[:count] for name in houses.__dataclass_fields__}
    return Houses(**columns)


def test_estimates_are_near_the_prices_without_bias(sample: Sample) -> None:
    ratio = sample.estimated_value / sample.houses.price
    assert np.median(np.abs(ratio - 1)) < 0.09
    assert np.quantile(np.abs(ratio - 1), 0.9) < 0.27
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)


def test_own_price_has_no_part_in_the_estimate(sample: Sample) -> None:
    houses = first(sample.houses, 800)
    before = estimate_values(houses)
    for index in (0, 123, 799):
        price = houses.price.copy()
        price[index] *= 10
        after = estimate_values(replace(houses, price=price))
        assert after[index] == before[index]
        # The change is felt by others, so the prices are what the estimates come from.
        assert (after != before).any()


def test_prices_twice_as_high_double_the_estimates(sample: Sample) -> None:
    houses = first(sample.houses, 300)
    doubled = estimate_values(replace(houses, price=houses.price * 2))
    np.testing.assert_allclose(doubled, 2 * estimate_values(houses), atol=1_500)


def test_too_few_houses_are_refused(sample: Sample) -> None:
    assert len(estimate_values(first(sample.houses, COMPARABLES + 1))) == COMPARABLES + 1
    with pytest.raises(ValueError, match="15 given, at least 16"):
        estimate_values(first(sample.houses, COMPARABLES))
