"""The houses of the sample: King County's records of sale, one row for each house.

Everything here is in the source or follows from it by a stated rule; what is estimated is in
valuation.py, what is simulated in listings.py and simulation.py. See README.md for the licence.
"""

import csv
import gzip
from dataclasses import dataclass, fields
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).with_name("king_county_sales.csv.gz")

# The place name the postal service prefers for each ZIP code. It is a postal name and not always
# the municipality: 98155, for one, is delivered as Seattle and governed by Shoreline.
POSTAL_CITIES: dict[str, str] = {
    zipcode: city
    for city, zipcodes in {
        "Auburn": "98001 98002 98092",
        "Bellevue": "98004 98005 98006 98007 98008",
        "Black Diamond": "98010",
        "Bothell": "98011",
        "Carnation": "98014",
        "Duvall": "98019",
        "Enumclaw": "98022",
        "Fall City": "98024",
        "Federal Way": "98003 98023",
        "Issaquah": "98027 98029",
        "Kenmore": "98028",
        "Kent": "98030 98031 98032 98042",
        "Kirkland": "98033 98034",
        "Maple Valley": "98038",
        "Medina": "98039",
        "Mercer Island": "98040",
        "North Bend": "98045",
        "Redmond": "98052 98053",
        "Renton": "98055 98056 98058 98059",
        "Sammamish": "98074 98075",
        "Seattle": (
            "98102 98103 98105 98106 98107 98108 98109 98112 98115 98116 98117 98118 98119 98122 "
            "98125 98126 98133 98136 98144 98146 98148 98155 98166 98168 98177 98178 98188 98198 "
            "98199"
        ),
        "Snoqualmie": "98065",
        "Vashon": "98070",
        "Woodinville": "98072 98077",
    }.items()
    for zipcode in zipcodes.split()
}

# Kilometres per degree, and the point in the middle of the county that east and north count from.
KM_PER_DEGREE = 111.2
ORIGIN_LATITUDE, ORIGIN_LONGITUDE = 47.5, -122.2


@dataclass(frozen=True)
class Houses:
    """The latest recorded sale of each house, as columns of n rows in the order of external_id.

    Text columns are str arrays, the others float64. `external_id` is the ten-digit parcel number,
    `price` the price of sale in US dollars, `condition` the assessor's 1 (worn out) to 5 (very
    good), `grade` the assessor's quality of construction from 1 to 13, `view` a rating from 0 to
    4, `waterfront` 0 or 1. Areas are in square feet, coordinates in degrees.
    """

    external_id: NDArray[np.str_]
    zipcode: NDArray[np.str_]
    sold_on: NDArray[np.datetime64]
    price: NDArray[np.float64]
    bedrooms: NDArray[np.float64]
    bathrooms: NDArray[np.float64]
    square_feet: NDArray[np.float64]
    lot_square_feet: NDArray[np.float64]
    year_built: NDArray[np.float64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    condition: NDArray[np.float64]
    grade: NDArray[np.float64]
    view: NDArray[np.float64]
    waterfront: NDArray[np.float64]

    def __len__(self) -> int:
        """Count the houses."""
        return len(self.external_id)

    def thinned(self, most: int) -> "Houses":
        """Every so many-th house, so that there are at most so many, all over the county."""
        step = max(1, -(-len(self) // most))
        return Houses(*(getattr(self, field.name)[::step] for field in fields(self)))

    @cached_property
    def city(self) -> NDArray[np.str_]:
        """Postal place name, from the ZIP code; empty where the table has none."""
        return np.array([POSTAL_CITIES.get(zipcode, "") for zipcode in self.zipcode.tolist()])

    @property
    def condition_score(self) -> NDArray[np.float64]:
        """Condition moved from 1..5 to 0..1, evenly."""
        return (self.condition - 1.0) / 4.0

    @property
    def renovation_needed(self) -> NDArray[np.bool_]:
        """Conditions 1 and 2: the assessor describes them as needing much repair or overhaul."""
        return self.condition <= 2.0

    @cached_property
    def kilometres(self) -> NDArray[np.float64]:
        """Kilometres east and north of the county's middle, (n, 2), on a locally flat earth."""
        east = (self.longitude - ORIGIN_LONGITUDE) * np.cos(np.radians(ORIGIN_LATITUDE))
        return np.column_stack([east, self.latitude - ORIGIN_LATITUDE]) * KM_PER_DEGREE


def load_houses(path: Path = SOURCE) -> Houses:
    """Read the sales at `path` (gzipped CSV) and keep the latest of each house.

    Raises OSError where the file cannot be read, and KeyError or ValueError where it is not the
    file described in README.md.
    """
    latest: dict[str, dict[str, str]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for sale in csv.DictReader(file):
            # The published file stores parcel numbers as integers, without their leading zeros.
            parcel = sale["id"].zfill(10)
            if parcel not in latest or sale["date"] > latest[parcel]["date"]:
                latest[parcel] = sale
    parcels = sorted(latest)
    sales = [latest[parcel] for parcel in parcels]

    def numbers(column: str) -> NDArray[np.float64]:
        return np.array([float(sale[column]) for sale in sales])

    return Houses(
        external_id=np.array(parcels),
        zipcode=np.array([sale["zipcode"] for sale in sales]),
        sold_on=np.array(
            [date.fromisoformat(sale["date"][:8]) for sale in sales], dtype="datetime64[D]"
        ),
        price=np.round(numbers("price")),
        bedrooms=numbers("bedrooms"),
        bathrooms=numbers("bathrooms"),
        square_feet=numbers("sqft_living"),
        lot_square_feet=numbers("sqft_lot"),
        year_built=numbers("yr_built"),
        latitude=numbers("lat"),
        longitude=numbers("long"),
        condition=numbers("condition"),
        grade=numbers("grade"),
        view=numbers("view"),
        waterfront=numbers("waterfront"),
    )
