"""How much of a buy box properties meet."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import NUMERIC_COLUMNS, BuyBox, PropertyColumns
from domain.contract.vocabulary import PropertyType

FIELDS = ("property_type", "zipcode", "city", "listing_price", "bedrooms")
"""What of a property's payload in the index a buy box asks about."""

_TYPES = list(PropertyType)


def share_met(box: BuyBox | None, properties: PropertyColumns) -> NDArray[np.float64]:
    """The share of the stated criteria that each property meets, float64 (n,) in [0, 1].

    The criteria are those of the domain: each side counts alike. What a property does not say
    of itself it does not meet. Zeros if nothing is stated.
    """
    met: list[NDArray[np.bool_]] = []
    if box is not None and box.property_types:
        met.append(np.isin(properties.property_type, [_TYPES.index(t) for t in box.property_types]))
    if box is not None and box.zipcodes:
        met.append(_among(properties.zipcode, box.zipcodes))
    if box is not None and box.cities:
        met.append(_among(properties.city, box.cities))
    ranges = {"listing_price": box.price, "bedrooms": box.bedrooms} if box is not None else {}
    for name, wanted in ranges.items():
        if wanted is not None:
            low = -np.inf if wanted.min is None else wanted.min
            high = np.inf if wanted.max is None else wanted.max
            values = properties.column(name)
            met.append((values >= low) & (values <= high))
    return np.mean(met, axis=0) if met else np.zeros(len(properties))


def columns_of(ids: Sequence[UUID], fields: Sequence[Mapping[str, Any]]) -> PropertyColumns:
    """Properties of which no more is known than ``FIELDS``, from the index."""
    numeric = np.full((len(ids), len(NUMERIC_COLUMNS)), np.nan)
    for name in ("listing_price", "bedrooms"):
        values = [one.get(name, np.nan) for one in fields]
        numeric[:, NUMERIC_COLUMNS.index(name)] = values
    kinds = [_TYPES.index(one["property_type"]) if "property_type" in one else -1 for one in fields]
    return PropertyColumns(
        ids=tuple(ids),
        numeric=numeric,
        property_type=np.array(kinds, dtype=np.int8),
        listing_status=np.full(len(ids), -1, dtype=np.int8),
        zipcode=tuple(one.get("zipcode") for one in fields),
        city=tuple(one.get("city") for one in fields),
        listed_at=np.full(len(ids), np.nan),
        owners=np.zeros(len(ids), dtype=np.int32),
    )


def _among(values: Sequence[str | None], wanted: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([value in wanted for value in values], dtype=np.bool_)
