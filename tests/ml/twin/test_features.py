from dataclasses import replace
from json import dumps, loads
from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from ml.twin.artifacts import Artifact
from ml.twin.features import ATTRIBUTE_NAMES, FEATURE_NAMES, FeatureStatistics, attributes, encode

ANY_NUMBER = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -1.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), 2024.0]),
)
ANY_NUMERIC = st.integers(1, 6).flatmap(
    lambda rows: arrays(np.float64, (rows, len(NUMERIC_COLUMNS)), elements=ANY_NUMBER)
)


def of(numeric: NDArray[np.float64], code: int = -1) -> PropertyColumns:
    count = len(numeric)
    codes = np.full(count, code, dtype=np.int8)
    return PropertyColumns(
        ids=tuple(UUID(int=row) for row in range(count)),
        numeric=numeric,
        property_type=codes,
        listing_status=codes,
        zipcode=(None,) * count,
        city=(None,) * count,
        listed_at=np.full(count, np.nan),
        owners=np.zeros(count, dtype=np.int32),
    )


def test_order_of_features() -> None:
    assert FEATURE_NAMES[:3] == ("listing_price", "price_per_sqft", "estimated_value")
    assert FEATURE_NAMES[9:12] == ("age", "latitude", "longitude")
    assert FEATURE_NAMES[15:17] == ("confidence", "property_type=SINGLE_FAMILY")
    assert FEATURE_NAMES[-1] == "listing_status=OFF_MARKET"
    assert len(FEATURE_NAMES) == 25


@given(numeric=ANY_NUMERIC, code=st.integers(-128, 127))
def test_any_input_gives_finite_features_and_unit_vectors(
    artifact: Artifact, numeric: NDArray[np.float64], code: int
) -> None:
    features = encode(of(numeric, code), artifact.statistics)
    assert features.shape == (len(numeric), 25)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    vectors = artifact.tower(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@given(numeric=ANY_NUMERIC, code=st.integers(-128, 127))
def test_any_training_data_give_usable_statistics(
    columns: PropertyColumns, numeric: NDArray[np.float64], code: int
) -> None:
    statistics = FeatureStatistics.fit(of(numeric, code), 2024)
    assert FeatureStatistics.from_json(loads(dumps(statistics.to_json(), allow_nan=False))) == (
        statistics
    )
    assert np.isfinite(encode(columns, statistics)).all()
    assert np.isfinite(encode(of(numeric), statistics)).all()


@given(rows=st.lists(st.integers(0, 199), min_size=1, max_size=50))
def test_a_row_alone_and_in_a_batch_are_the_same(
    artifact: Artifact, columns: PropertyColumns, rows: list[int]
) -> None:
    together = encode(columns.take(rows), artifact.statistics)
    alone = np.concatenate([encode(columns.take([row]), artifact.statistics) for row in rows])
    np.testing.assert_array_equal(together, alone)
    embedded = artifact.tower(torch.from_numpy(together)).numpy()
    single = [artifact.tower(torch.from_numpy(row[None])).numpy() for row in alone]
    np.testing.assert_allclose(embedded, np.concatenate(single), atol=1e-6)


def test_training_data_come_out_standardised(columns: PropertyColumns) -> None:
    features = encode(columns, FeatureStatistics.fit(columns, 2024))
    # A tenth of the values is imputed by the median, hence not quite 0 and 1.
    np.testing.assert_allclose(features[:, :16].mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(features[:, :16].std(axis=0), 1, atol=0.15)


def test_a_missing_value_counts_as_the_median_and_a_missing_type_as_its_share(
    columns: PropertyColumns,
) -> None:
    statistics = FeatureStatistics.fit(columns, 2024)
    features = encode(of(np.full((1, len(NUMERIC_COLUMNS)), np.nan)), statistics)[0]
    expected = (np.array(statistics.median) - statistics.mean) / np.array(statistics.spread)
    np.testing.assert_allclose(features[:16], expected, rtol=1e-5)
    np.testing.assert_allclose(features[16:21], statistics.property_type_share, rtol=1e-6)
    assert features[16:21].sum() == pytest.approx(1)


def test_derived_features() -> None:
    numeric = np.full((3, len(NUMERIC_COLUMNS)), np.nan)
    numeric[:, NUMERIC_COLUMNS.index("listing_price")] = (100_000, 200_000, 400_000)
    numeric[:, NUMERIC_COLUMNS.index("square_feet")] = (1000, 1000, 0)
    numeric[:, NUMERIC_COLUMNS.index("year_built")] = (2000, 2010, 2023)
    statistics = FeatureStatistics.fit(of(numeric), 2024)
    of_two_with_an_area = (np.log1p(100) + np.log1p(200)) / 2
    assert statistics.median[1] == pytest.approx(of_two_with_an_area)
    assert statistics.median[9] == 14


def test_an_impossible_value_counts_as_missing(columns: PropertyColumns) -> None:
    statistics = FeatureStatistics.fit(columns, 2024)
    numeric = np.full((2, len(NUMERIC_COLUMNS)), np.nan)
    numeric[1, NUMERIC_COLUMNS.index("latitude")] = 4766.0
    numeric[1, NUMERIC_COLUMNS.index("listing_price")] = -1.0
    missing, impossible = encode(of(numeric), statistics)
    np.testing.assert_array_equal(missing, impossible)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"median": [1.0]}, "median must hold 16 numbers"),
        ({"low": None}, "low must hold 16 numbers"),
        ({"mean": [float("nan")] * 16}, "mean must be finite"),
        ({"spread": [0.0] * 16}, "spread must be positive"),
        ({"reference_year": "2024"}, "reference_year must be an integer"),
    ],
)
def test_broken_statistics_are_named(
    artifact: Artifact, change: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        FeatureStatistics.from_json(artifact.statistics.to_json() | change)


def test_age_is_counted_from_the_reference_year(columns: PropertyColumns) -> None:
    statistics = FeatureStatistics.fit(columns, 2024)
    later = encode(columns, replace(statistics, reference_year=2034))
    assert (later[:, 9] >= encode(columns, statistics)[:, 9]).all()
    assert later[:, 9].mean() > encode(columns, statistics)[:, 9].mean()


@given(numeric=ANY_NUMERIC)
def test_attributes_are_finite_and_zero_where_unknown(
    columns: PropertyColumns, numeric: NDArray[np.float64]
) -> None:
    values, known = attributes(of(numeric), FeatureStatistics.fit(columns, 2024))
    assert values.shape == known.shape == (len(numeric), len(ATTRIBUTE_NAMES))
    assert np.isfinite(values).all()
    assert (values[~known] == 0).all()


def test_attributes_are_the_features_that_are_known(columns: PropertyColumns) -> None:
    statistics = FeatureStatistics.fit(columns, 2024)
    values, known = attributes(columns, statistics)
    features = encode(columns, statistics)[
        :, [FEATURE_NAMES.index(n) for n in ATTRIBUTE_NAMES[:-1]]
    ]
    np.testing.assert_allclose(values[:, :-1][known[:, :-1]], features[known[:, :-1]], rtol=1e-5)
    np.testing.assert_array_equal(
        known[:, ATTRIBUTE_NAMES.index("bedrooms")], ~np.isnan(columns.column("bedrooms"))
    )


def test_the_discount_is_what_a_property_is_worth_above_its_price(
    columns: PropertyColumns,
) -> None:
    numeric = np.full((3, len(NUMERIC_COLUMNS)), np.nan)
    numeric[:, NUMERIC_COLUMNS.index("listing_price")] = (100_000, 100_000, 100_000)
    numeric[:, NUMERIC_COLUMNS.index("estimated_value")] = (100_000, 100_000 * np.exp(0.15), np.nan)
    values, known = attributes(of(numeric), FeatureStatistics.fit(columns, 2024))
    np.testing.assert_allclose(values[:, -1], (0, 1, 0), atol=1e-4)
    np.testing.assert_array_equal(known[:, -1], (True, True, False))
