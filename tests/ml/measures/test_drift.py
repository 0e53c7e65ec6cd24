"""Drift: what moved is told, and what did not is not, however little there is of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from domain.contract.snapshots import InteractionLog, PropertyColumns
from domain.contract.vocabulary import InteractionKind, PropertyType
from domain.model_registry.drift import judged
from ml.measures.drift import (
    SAMPLE,
    Counts,
    Distribution,
    Reference,
    bin_counts,
    drift,
    reference,
    reference_of,
    stability_index,
)
from ml.twin.artifacts import Artifact
from tests.ml.worlds import KINDS, make_columns, with_values

NOBODY = np.empty((0, 0))
counts = arrays.arrays(np.float64, 6, elements=st.integers(0, 10_000).map(float))


def of(columns: PropertyColumns) -> Reference:
    return Reference.of(columns, 2024, NOBODY)


def largest(known: Reference, columns: PropertyColumns) -> tuple[float, str]:
    found = known.feature_drift(known.count(columns))
    return max((value, name) for name, value in found.items())


@given(counts, counts)
def test_the_index_is_symmetric_and_none_only_of_equals(one: Counts, other: Counts) -> None:
    assert stability_index(one, one) == 0
    assert stability_index(one, other) == pytest.approx(stability_index(other, one), abs=1e-12)
    assert stability_index(one, other) >= 0
    assert drift(one, other) <= stability_index(one, other)


@given(
    arrays.arrays(np.float64, 5, elements=st.integers(100, 1000).map(float)),
    st.integers(0, 49),
    st.integers(1, 50),
)
def test_the_index_grows_with_what_moves(expected: Counts, moved: int, more: int) -> None:
    # Into the greatest share from the least, so that each further one parts them more.
    source, target = expected.argsort(kind="stable")[[0, -1]]

    def after(count: int) -> Counts:
        found = expected.copy()
        found[[source, target]] += (-count, count)
        return found

    less = stability_index(expected, after(moved))
    assert less < stability_index(expected, after(moved + more))


def test_a_worked_example() -> None:
    # (.2 - .1) ln 2 + (.3 - .4) ln .75 + 0: of a thousand each.
    expected, found = np.array([100.0, 400.0, 500.0]), np.array([200.0, 300.0, 500.0])
    index = 0.1 * np.log(2) - 0.1 * np.log(0.75)
    assert stability_index(expected, found) == pytest.approx(index)
    assert drift(expected, found) == pytest.approx(index - 2 * (1 / 1000 + 1 / 1000))


def test_an_empty_bin_counts_as_half_a_value_or_as_one_in_ten_thousand() -> None:
    few = stability_index(np.array([10.0, 0.0]), np.array([5.0, 5.0]))
    assert few == pytest.approx(0.5 * np.log(2) + (0.5 - 0.05) * np.log(0.5 / 0.05))
    many = stability_index(np.array([1e6, 0.0]), np.array([5e5, 5e5]))
    assert many == pytest.approx(0.5 * np.log(2) + (0.5 - 1e-4) * np.log(0.5 / 1e-4))
    assert stability_index(np.zeros(2), np.array([5.0, 5.0])) == 0


def test_chance_brings_what_it_is_said_to_and_that_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    for n, m in ((60, 60), (60, 600), (1000, 50), (2000, 2000)):
        pairs = [
            tuple(rng.multinomial(size, [0.1] * 10).astype(np.float64) for size in (n, m))
            for _ in range(400)
        ]
        mean = np.mean([stability_index(one, other) for one, other in pairs])
        assert mean == pytest.approx(9 * (1 / n + 1 / m), rel=0.2)
        assert np.mean([drift(one, other) > 0 for one, other in pairs]) <= 0.005


@pytest.mark.parametrize("count", [60, 400, 5000])
def test_another_sample_of_the_same_market_is_no_drift(count: int) -> None:
    market = make_columns(12_000, seed=5)
    known = of(market.take(range(count)))
    for size in (count // 2, 2 * count):
        assert largest(known, market.take(range(12_000 - size, 12_000)))[0] < 0.1


def test_growth_alone_is_no_drift() -> None:
    market = make_columns(3000, seed=6)
    known = of(market.take(range(300)))
    assert largest(known, market)[0] < 0.1
    # Nor is the passing of years: age is counted from the year of the training.
    assert of(market).count(market)["age"].tolist() == of(market).features["age"].counts.tolist()


@pytest.mark.parametrize("count", [80, 3000])
def test_prices_in_cents_are_drift(count: int) -> None:
    columns = make_columns(count)
    value, name = largest(of(columns), with_values(columns, listing_price=_price(columns) * 100))
    assert name in {"listing_price", "price_per_sqft"}
    assert value > 0.4


def _price(columns: PropertyColumns) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return columns.column("listing_price")


def test_drift_grows_with_the_shift() -> None:
    columns = make_columns(3000)
    known = of(columns)
    found = [
        known.feature_drift(
            known.count(with_values(columns, listing_price=_price(columns) * factor))
        )["listing_price"]
        for factor in (1, 1.1, 1.3, 2, 10)
    ]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] > 1


def test_a_category_that_was_never_there_is_drift() -> None:
    columns = make_columns(1000)
    houses = replace(columns, property_type=np.zeros(1000, dtype=np.int8))
    land = list(PropertyType).index(PropertyType.LAND)
    mixed = np.where(np.arange(1000) % 5 == 0, land, 0).astype(np.int8)
    found = of(houses).feature_drift(of(houses).count(replace(columns, property_type=mixed)))
    assert found["property_type"] > 0.4
    # A code that this program does not know counts as missing, as it does for the encoder.
    unknown = replace(columns, property_type=np.full(1000, 77, dtype=np.int8))
    assert of(houses).count(unknown)["property_type"].tolist() == [0, 0, 0, 0, 0, 1000]


def test_a_column_that_ceases_is_drift_and_one_that_never_was_is_not() -> None:
    columns = make_columns(1000)
    without = with_values(columns, cap_rate=np.nan)
    value, name = largest(of(columns), without)
    assert (value > 1, name) == (True, "cap_rate")
    assert largest(of(without), without)[0] == 0
    assert largest(of(without), columns)[1] == "cap_rate"
    # What is not possible is as good as missing.
    assert largest(of(columns), with_values(columns, bedrooms=-4))[1] == "bedrooms"


def test_values_a_little_beyond_the_old_ones_are_no_drift() -> None:
    values = np.random.default_rng(0).permutation(10_000).astype(np.float64)
    known = Distribution.of_numbers(values)
    for beyond in (-1.0, 10_001.0):
        found = np.where(np.arange(10_000) < 200, beyond, values)
        assert stability_index(known.counts, bin_counts(known.edges, found)) < 0.01


def test_what_a_tenth_had_at_least_is_no_end_that_is_open() -> None:
    """As bedrooms, of which nearly all have three, and none had two."""
    most = with_values(make_columns(500), bedrooms=np.where(np.arange(500) % 20, 3, 4))
    value, name = largest(of(most), with_values(most, bedrooms=2))
    assert (value > 1, name) == (True, "bedrooms")


def test_what_grows_by_itself_is_a_feature() -> None:
    features = of(make_columns(60)).features
    assert features.keys() - judged(dict.fromkeys(features, 1.0)) == {"days_on_market"}


def test_a_warning_for_scores_is_beyond_chance() -> None:
    expected = np.full(11, SAMPLE / 10)
    expected[-1] = 0
    moved = expected * np.array([*[0.64] * 5, *[1.36] * 5, 0])
    assert stability_index(expected, moved) == pytest.approx(0.136, abs=0.001)
    assert drift(expected, moved) > 0.1


def test_a_constant_column_that_moves_either_way_is_drift() -> None:
    same = with_values(make_columns(500), bedrooms=3)
    assert largest(of(same), same)[0] == 0
    for other in (2, 4):
        value, name = largest(of(same), with_values(same, bedrooms=other))
        assert (value > 1, name) == (True, "bedrooms")


@given(
    arrays.arrays(
        np.float64, st.integers(0, 60), elements=st.one_of(st.floats(width=32), st.integers(0, 3))
    )
)
def test_every_value_is_in_one_bin(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    values = np.where(np.isinf(values), 0.0, values)
    found = Distribution.of_numbers(values)
    assert (np.diff(found.edges) > 0).all()
    assert found.counts.sum() == len(values)
    # A single value has a bin of its own, apart from all below and all above.
    if len(set(values[~np.isnan(values)])) == 1:
        assert (len(found.edges), found.counts[0], found.counts[-2]) == (2, 0, 0)
    halves = bin_counts(found.edges, values[::2]) + bin_counts(found.edges, values[1::2])
    assert halves.tolist() == found.counts.tolist()


def test_a_reference_survives_json() -> None:
    columns = with_values(make_columns(300), cap_rate=np.nan)
    known = Reference.of(columns, 2024, np.random.default_rng(0).random((20, 30)))
    again = reference_of({"drift": known.to_json()})
    assert again is not None
    assert again.to_json() == known.to_json()
    assert again.feature_drift(again.count(columns)) == dict.fromkeys(known.features, 0.0)
    assert reference_of({}) is None
    for broken in (
        {},
        known.to_json() | {"features": {}},
        known.to_json() | {"reference_year": None},
        known.to_json() | {"score": {"edges": [1.0], "counts": [1.0]}},
    ):
        with pytest.raises(ValueError, match="drift reference"):
            reference_of({"drift": broken})


def test_scores_hang_together_and_count_as_the_fewer_of_investors_and_properties() -> None:
    rng = np.random.default_rng(0)
    then = Reference.of(make_columns(50), 2024, rng.random((40, 300)))
    assert then.score is not None
    assert then.score.counts.sum() == pytest.approx(40)
    assert then.score_drift(rng.random((50, 200))) == 0
    moved = then.score_drift(rng.random((50, 200)) ** 8)
    assert moved is not None
    assert moved > 0.4
    assert then.score_drift(NOBODY) is None
    assert of(make_columns(50)).score_drift(rng.random((5, 5))) is None


def test_a_version_keeps_how_it_scores_who_approved_of_anything(
    artifact: Artifact, columns: PropertyColumns
) -> None:
    def log(kind: InteractionKind) -> InteractionLog:
        acts = np.arange(60)
        return InteractionLog(
            users=columns.ids[:6],
            user=(acts % 6).astype(np.int32),
            property=(acts * 7 % 200).astype(np.int32),
            kind=np.full(60, KINDS.index(kind), dtype=np.int8),
            occurred_at=acts.astype(np.float64) * 3600,
        )

    known = reference(artifact, columns, log(InteractionKind.SAVE), as_of=1e6)
    assert known.score is not None
    assert known.score.counts.sum() == pytest.approx(6)
    assert known.reference_year == artifact.statistics.reference_year
    again = reference(artifact, columns, log(InteractionKind.SAVE), as_of=1e6)
    assert again.to_json() == known.to_json()
    assert reference(artifact, columns, log(InteractionKind.DISMISS), as_of=1e6).score is None
