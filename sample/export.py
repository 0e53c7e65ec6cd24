"""The sample as files to import: real columns, derived ones and simulated ones kept apart."""

import csv
import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sample.king_county import Houses, load_houses
from sample.listings import Listings, simulate_listings
from sample.simulation import KINDS, Simulation, simulate
from sample.valuation import estimate_values

DEFAULT_SEED = 7
DEFAULT_INVESTORS = 300


@dataclass(frozen=True)
class Sample:
    """The houses with everything derived and simulated around them, rows in the same order."""

    houses: Houses
    estimated_value: NDArray[np.float64]
    listings: Listings
    simulation: Simulation


def build_sample(
    *, seed: int = DEFAULT_SEED, investors: int = DEFAULT_INVESTORS, most_houses: int | None = None
) -> Sample:
    """Load the houses, estimate their values and simulate listings and investors (seconds).

    All houses, or at most so many of them from all over the county.
    """
    houses = load_houses()
    if most_houses is not None:
        houses = houses.thinned(most_houses)
    estimated_value = estimate_values(houses)
    listings = simulate_listings(houses, seed=seed)
    simulation = simulate(houses, estimated_value, listings, seed=seed, investors=investors)
    return Sample(houses, estimated_value, listings, simulation)


def write_properties(sample: Sample, path: Path) -> int:
    """Write what the county recorded of each house; return the number of rows."""
    houses = sample.houses
    return write_columns(
        path,
        {
            "external_id": houses.external_id.tolist(),
            "state": ["WA"] * len(houses),
            "zipcode": houses.zipcode.tolist(),
            "latitude": houses.latitude.tolist(),
            "longitude": houses.longitude.tolist(),
            "property_type": ["SINGLE_FAMILY"] * len(houses),
            "listing_price": houses.price.tolist(),
            "bedrooms": houses.bedrooms.tolist(),
            "bathrooms": houses.bathrooms.tolist(),
            "square_feet": houses.square_feet.tolist(),
            "lot_square_feet": houses.lot_square_feet.tolist(),
            "year_built": houses.year_built.tolist(),
            "condition_score": houses.condition_score.tolist(),
            "source_system": ["king-county-records"] * len(houses),
            "confidence": [0.95] * len(houses),
        },
    )


def write_derived(sample: Sample, path: Path) -> int:
    """Write what follows from the records by a rule; return the number of rows.

    The confidence is one minus the estimates' median error (8%), rounded down.
    """
    houses = sample.houses
    return write_columns(
        path,
        {
            "external_id": houses.external_id.tolist(),
            "city": houses.city.tolist(),
            "estimated_value": sample.estimated_value.tolist(),
            "renovation_needed": houses.renovation_needed.tolist(),
            "source_system": ["derived"] * len(houses),
            "confidence": [0.9] * len(houses),
        },
    )


def write_simulated(sample: Sample, path: Path) -> int:
    """Write the simulated columns of each house, with confidence 0; return the number of rows."""
    listings = sample.listings
    return write_columns(
        path,
        {
            "external_id": sample.houses.external_id.tolist(),
            "listing_status": listings.status.tolist(),
            "days_on_market": listings.days_on_market.tolist(),
            "listed_at": _timestamps(listings.listed_on),
            "source_system": ["simulated"] * len(sample.houses),
            "confidence": [0.0] * len(sample.houses),
        },
    )


def write_users(sample: Sample, path: Path) -> int:
    """Write the simulated investors; return the number of rows."""
    investors = sample.simulation.investors
    return write_columns(
        path,
        {
            "external_id": [investor.external_id for investor in investors],
            "email": [investor.email for investor in investors],
            "name": [investor.name for investor in investors],
            "simulated": [True] * len(investors),
        },
    )


def write_interactions(sample: Sample, path: Path) -> int:
    """Write what the simulated investors did, oldest first; return the number of rows.

    `property` and `user` are external ids, `occurred_at` is UTC.
    """
    done = sample.simulation.interactions
    users = np.array([investor.external_id for investor in sample.simulation.investors], dtype=str)
    return write_columns(
        path,
        {
            "property": sample.houses.external_id[done.house].tolist(),
            "user": users[done.investor].tolist(),
            "kind": np.array(KINDS)[done.kind].tolist(),
            "occurred_at": _timestamps(done.occurred_at),
            "simulated": [True] * len(done),
        },
    )


# In the order to import them in: later files name houses and users of earlier ones.
WRITERS: dict[str, Callable[[Sample, Path], int]] = {
    "properties.csv.gz": write_properties,
    "properties-derived.csv.gz": write_derived,
    "properties-simulated.csv.gz": write_simulated,
    "users.csv.gz": write_users,
    "interactions.csv.gz": write_interactions,
}


def write_sample(sample: Sample, directory: Path) -> dict[Path, int]:
    """Write every file into `directory`, made if need be; return the rows of each, in order.

    The same sample gives the same bytes. Files of the same name are replaced.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return {directory / name: write(sample, directory / name) for name, write in WRITERS.items()}


def write_columns(path: Path, columns: Mapping[str, Sequence[object]]) -> int:
    """Write columns of equal length as CSV with a header, gzipped where `path` ends in .gz.

    Return the number of rows. The same columns give the same bytes.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    rows = list(zip(*(map(_text, column) for column in columns.values()), strict=True))
    writer.writerows(rows)
    data = buffer.getvalue().encode("utf-8")
    # Without a time in its header, a gzip file of the same rows has the same bytes.
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return len(rows)


def _text(value: object) -> str:
    """Write booleans as true and false, and whole numbers without a fraction."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _timestamps(moments: NDArray[np.datetime64]) -> list[str]:
    texts: list[str] = np.datetime_as_string(moments.astype("datetime64[s]")).tolist()
    return [f"{text}Z" for text in texts]
