"""The simulated sample as the columns that a twin is fitted to."""

from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.snapshots import NUMERIC_COLUMNS, InteractionLog, PropertyColumns
from domain.vocabulary import ListingStatus, PropertyType
from sample.export import Sample


def as_columns(sample: Sample) -> tuple[PropertyColumns, InteractionLog]:
    """The sample as an import would leave it; user ids are the investors' row numbers."""
    houses, listings, done = sample.houses, sample.listings, sample.simulation.interactions
    known = {
        "listing_price": houses.price,
        "estimated_value": sample.estimated_value,
        "bedrooms": houses.bedrooms,
        "bathrooms": houses.bathrooms,
        "square_feet": houses.square_feet,
        "lot_square_feet": houses.lot_square_feet,
        "year_built": houses.year_built,
        "latitude": houses.latitude,
        "longitude": houses.longitude,
        "days_on_market": listings.days_on_market,
        "condition_score": houses.condition_score,
        "renovation_needed": houses.renovation_needed,
        "confidence": np.full(len(houses), 0.95),
    }
    numeric = np.full((len(houses), len(NUMERIC_COLUMNS)), np.nan)
    for name, values in known.items():
        numeric[:, NUMERIC_COLUMNS.index(name)] = values
    statuses = [status.value for status in ListingStatus]
    columns = PropertyColumns(
        ids=tuple(UUID(int=row) for row in range(len(houses))),
        numeric=numeric,
        property_type=np.full(
            len(houses), list(PropertyType).index(PropertyType.SINGLE_FAMILY), dtype=np.int8
        ),
        listing_status=np.array([statuses.index(one) for one in listings.status], dtype=np.int8),
        zipcode=tuple(houses.zipcode.tolist()),
        city=tuple(name or None for name in houses.city.tolist()),
        listed_at=_seconds(listings.listed_on),
        owners=np.zeros(len(houses), dtype=np.int32),
    )
    return columns, InteractionLog(
        users=tuple(UUID(int=row) for row in range(len(sample.simulation.investors))),
        user=done.investor.astype(np.int32),
        property=done.house.astype(np.int32),
        kind=done.kind.astype(np.int8),
        occurred_at=_seconds(done.occurred_at),
    )


def _seconds(moments: NDArray[np.datetime64]) -> NDArray[np.float64]:
    return moments.astype("datetime64[s]").astype(np.int64).astype(np.float64)
