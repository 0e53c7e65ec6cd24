"""The one encoder of the 25 features, for training and serving alike.

Money and areas are skewed, so their logarithm is taken; everything is winsorised and standardised
with statistics of the training data; what is missing, or is no possible value of its column, is
imputed from the same statistics. Any input gives finite features.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from domain.contract.vocabulary import ListingStatus, PropertyType


class _Numeric(NamedTuple):
    """A numeric feature: whether its logarithm is taken, and which values are possible at all."""

    name: str
    logarithm: bool
    lowest: float
    highest: float


_NUMERIC: tuple[_Numeric, ...] = (
    _Numeric("listing_price", True, 0, 1e12),
    _Numeric("price_per_sqft", True, 0, 1e9),
    _Numeric("estimated_value", True, 0, 1e12),
    _Numeric("cap_rate", False, -1e4, 1e4),
    _Numeric("cash_on_cash_return", False, -1e4, 1e4),
    _Numeric("bedrooms", False, 0, 1e4),
    _Numeric("bathrooms", False, 0, 1e4),
    _Numeric("square_feet", True, 0, 1e9),
    _Numeric("lot_square_feet", True, 0, 1e12),
    _Numeric("age", False, -10, 5000),
    _Numeric("latitude", False, -90, 90),
    _Numeric("longitude", False, -180, 180),
    _Numeric("days_on_market", True, 0, 1e5),
    _Numeric("condition_score", False, -1e4, 1e4),
    _Numeric("renovation_needed", False, -1e4, 1e4),
    _Numeric("confidence", False, -1e4, 1e4),
)

FEATURE_NAMES: tuple[str, ...] = (
    *(feature.name for feature in _NUMERIC),
    *(f"property_type={value}" for value in PropertyType),
    *(f"listing_status={value}" for value in ListingStatus),
)
"""The 25 features in the order of the encoder's columns."""

FEATURE_COUNT = len(FEATURE_NAMES)
LATITUDE = FEATURE_NAMES.index("latitude")
LONGITUDE = FEATURE_NAMES.index("longitude")

# The numeric table by columns. The two derived features start from one of the columns they need.
_DERIVED_FROM = {"price_per_sqft": "listing_price", "age": "year_built"}
_SOURCE = [NUMERIC_COLUMNS.index(_DERIVED_FROM.get(f.name, f.name)) for f in _NUMERIC]
_PRICE_PER_SQFT, _AGE = FEATURE_NAMES.index("price_per_sqft"), FEATURE_NAMES.index("age")
_LOGARITHM = np.flatnonzero([feature.logarithm for feature in _NUMERIC])
_LOWEST = np.array([feature.lowest for feature in _NUMERIC])
_HIGHEST = np.array([feature.highest for feature in _NUMERIC])

_WINSOR = 0.001
"""The share of a column's values at either end that is drawn in to the rest."""

_SMALLEST_SPREAD = 1e-6
"""A column that varies less than this share of its size counts as constant."""


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """What the encoder learned of the training data. Plain numbers, so JSON carries it unchanged.

    The five tuples have one entry per numeric feature, after the logarithm where one is taken.

    Attributes:
        reference_year: the year from which ``age`` is counted.
        median: stands in for a missing value.
        low: smaller values are drawn in to this.
        high: greater values are drawn in to this.
        mean: of the winsorised column.
        spread: standard deviation of the winsorised column, 1 where it is constant or missing.
        property_type_share: how frequent each type is; stands in for a missing type.
        listing_status_share: how frequent each status is; stands in for a missing status.
    """

    reference_year: int
    median: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    property_type_share: tuple[float, ...]
    listing_status_share: tuple[float, ...]

    @classmethod
    def fit(cls, columns: PropertyColumns, reference_year: int) -> "FeatureStatistics":
        """Statistics of the training properties; columns may be constant or wholly missing."""
        median, low, high, mean, spread = zip(
            *map(_summary, _numeric(columns, reference_year).T), strict=True
        )
        return cls(
            reference_year=reference_year,
            median=median,
            low=low,
            high=high,
            mean=mean,
            spread=spread,
            property_type_share=_shares(columns.property_type, len(PropertyType)),
            listing_status_share=_shares(columns.listing_status, len(ListingStatus)),
        )

    def to_json(self) -> dict[str, Any]:
        """The statistics as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "FeatureStatistics":
        """The inverse of ``to_json``.

        Raises ValueError naming the entry that is absent, of the wrong length, or not finite.
        """
        sizes = dict.fromkeys(("median", "low", "high", "mean", "spread"), len(_NUMERIC))
        sizes |= {
            "property_type_share": len(PropertyType),
            "listing_status_share": len(ListingStatus),
        }
        tuples: dict[str, tuple[float, ...]] = {}
        for name, size in sizes.items():
            entry = value.get(name)
            if not isinstance(entry, list | tuple) or len(entry) != size:
                raise ValueError(f"feature statistics: {name} must hold {size} numbers: {entry!r}")
            tuples[name] = tuple(float(number) for number in entry)
            if not np.isfinite(tuples[name]).all():
                raise ValueError(f"feature statistics: {name} must be finite: {entry!r}")
        if min(tuples["spread"]) <= 0:
            raise ValueError(f"feature statistics: spread must be positive: {tuples['spread']!r}")
        year = value.get("reference_year")
        if not isinstance(year, int):
            raise ValueError(f"feature statistics: reference_year must be an integer: {year!r}")
        return cls(reference_year=year, **tuples)

    def kilometres_per_unit(self) -> tuple[float, float]:
        """How far one unit of the latitude and of the longitude feature goes, in kilometres."""
        degree = 111.195  # along a meridian of the mean sphere
        narrowing = float(np.cos(np.radians(self.mean[LATITUDE])))
        return degree * self.spread[LATITUDE], degree * self.spread[LONGITUDE] * narrowing


def encode(columns: PropertyColumns, statistics: FeatureStatistics) -> NDArray[np.float32]:
    """The features of n properties, float32 (n, 25), finite for any input.

    A row's features depend on that row alone, never on the others of its batch.
    """
    numeric = _numeric(columns, statistics.reference_year)
    numeric = np.where(np.isnan(numeric), np.array(statistics.median), numeric)
    numeric = np.clip(numeric, statistics.low, statistics.high)
    numeric = (numeric - np.array(statistics.mean)) / np.array(statistics.spread)
    return np.concatenate(
        (
            numeric,
            _one_hot(columns.property_type, statistics.property_type_share),
            _one_hot(columns.listing_status, statistics.listing_status_share),
        ),
        axis=1,
        dtype=np.float32,
    )


ATTRIBUTE_NAMES: tuple[str, ...] = (
    *(name for name in FEATURE_NAMES[: len(_NUMERIC)] if name not in {"latitude", "longitude"}),
    "discount",
)
"""What two properties are compared by beside place and type: numbers that may be missing."""

_COMPARED = [FEATURE_NAMES.index(name) for name in ATTRIBUTE_NAMES[:-1]]
_PRICE, _VALUE = FEATURE_NAMES.index("listing_price"), FEATURE_NAMES.index("estimated_value")
_DISCOUNT_SPREAD = 0.15
"""One unit of ``discount``: the usual spread of ln(estimated value / price)."""


def attributes(
    columns: PropertyColumns, statistics: FeatureStatistics
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What two properties are compared by, in the order of ``ATTRIBUTE_NAMES``.

    Returns:
        The standardised values, float32 (n, 15), 0 where missing, and whether each is known. The
        last one, ``discount``, is ln(estimated value / listing price) in units of 0.15.
    """
    raw = _numeric(columns, statistics.reference_year)
    drawn_in = np.clip(raw, statistics.low, statistics.high)
    standard = (drawn_in - np.array(statistics.mean)) / np.array(statistics.spread)
    discount = np.clip((raw[:, _VALUE] - raw[:, _PRICE]) / _DISCOUNT_SPREAD, -4, 4)
    values = np.concatenate((standard[:, _COMPARED], discount[:, None]), axis=1)
    known = ~np.isnan(values)
    return np.where(known, values, 0.0).astype(np.float32), known


def numbers(columns: PropertyColumns, reference_year: int) -> NDArray[np.float64]:
    """The 16 numeric features as they are, float64 (n, 16), NaN where missing or impossible."""
    result = columns.numeric[:, _SOURCE]
    with np.errstate(all="ignore"):
        result[:, _PRICE_PER_SQFT] /= columns.column("square_feet")
        result[:, _AGE] = reference_year - result[:, _AGE]
        possible = (result >= _LOWEST) & (result <= _HIGHEST)
        result[~possible] = np.nan
    return result


def _numeric(columns: PropertyColumns, reference_year: int) -> NDArray[np.float64]:
    """The same, with the logarithm where one is taken."""
    result = numbers(columns, reference_year)
    result[:, _LOGARITHM] = np.log1p(result[:, _LOGARITHM])
    return result


def _summary(column: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Median, low, high, mean and spread of one numeric feature."""
    present = column[~np.isnan(column)]
    if not len(present):
        return 0.0, 0.0, 0.0, 0.0, 1.0
    low, median, high = np.quantile(present, (_WINSOR, 0.5, 1 - _WINSOR))
    drawn_in = np.clip(present, low, high)
    mean, spread = float(drawn_in.mean()), float(drawn_in.std())
    if spread <= _SMALLEST_SPREAD * max(1.0, abs(mean)):
        spread = 1.0
    return float(median), float(low), float(high), mean, spread


def _shares(codes: NDArray[np.int8], size: int) -> tuple[float, ...]:
    """How frequent each code is among the valid ones; zeros if none is valid."""
    counts = np.bincount(codes[(codes >= 0) & (codes < size)], minlength=size)
    return tuple((counts / max(1, counts.sum())).tolist())


def _one_hot(codes: NDArray[np.int8], shares: tuple[float, ...]) -> NDArray[np.float64]:
    """One column per code; the shares where the code is missing or unknown."""
    table = np.eye(len(shares) + 1, len(shares))
    table[-1] = shares
    known = (codes >= 0) & (codes < len(shares))
    return table[np.where(known, codes, len(shares))]
