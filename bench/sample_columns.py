"""The sample data as the columns that a twin is fitted to, as an import would leave them."""

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import NUMERIC_COLUMNS, InteractionLog, PropertyColumns
from domain.contract.vocabulary import InteractionKind, ListingStatus, PropertyType
from sample.export import Sample
from sample.portfolios import write_portfolios


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


def portfolio_columns(region: str) -> tuple[PropertyColumns, InteractionLog]:
    """A region of ``sample.portfolios``, or files like it; user ids are numbers of no meaning."""
    with TemporaryDirectory() as folder:
        files = write_portfolios(region, Path(folder))
        properties, deals = (_rows(path) for path in files)
    numeric = np.full((len(properties), len(NUMERIC_COLUMNS)), np.nan)
    for place, name in enumerate(NUMERIC_COLUMNS):
        if name in properties[0]:
            numeric[:, place] = [float(row[name] or "nan") for row in properties]
    types = [kind.value for kind in PropertyType]
    columns = PropertyColumns(
        ids=tuple(UUID(int=row) for row in range(len(properties))),
        numeric=numeric,
        property_type=np.array(
            [types.index(row["property_type"]) for row in properties], dtype=np.int8
        ),
        listing_status=np.full(len(properties), -1, dtype=np.int8),
        zipcode=(None,) * len(properties),
        city=tuple(row["city"] or None for row in properties),
        listed_at=np.array([_moment(row["listed_at"]) for row in properties]),
        owners=np.zeros(len(properties), dtype=np.int32),
    )
    deals = sorted(deals, key=lambda row: row["occurred_at"])
    users = {name: row for row, name in enumerate(dict.fromkeys(one["user"] for one in deals))}
    rows = {one["external_id"]: row for row, one in enumerate(properties)}
    return columns, InteractionLog(
        users=tuple(UUID(int=row) for row in range(len(users))),
        user=np.array([users[one["user"]] for one in deals], dtype=np.int32),
        property=np.array([rows[one["property"]] for one in deals], dtype=np.int32),
        kind=np.full(len(deals), list(InteractionKind).index(InteractionKind.DEAL), dtype=np.int8),
        occurred_at=np.array([_moment(one["occurred_at"]) for one in deals]),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() if text else np.nan


def _seconds(moments: NDArray[np.datetime64]) -> NDArray[np.float64]:
    return moments.astype("datetime64[s]").astype(np.int64).astype(np.float64)
