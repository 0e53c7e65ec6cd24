"""Write a large file of made-up properties, to measure imports with.

    python bench/generate_properties.py 1000000 /tmp/properties.csv.gz --seed 7

The same seed gives the same rows. Memory does not grow with their number.
"""

import argparse
import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import IO, cast

COLUMNS = (
    "external_id", "address", "city", "state", "zipcode", "latitude", "longitude",
    "property_type", "listing_status", "listing_price", "estimated_value", "cap_rate",
    "cash_on_cash_return", "bedrooms", "bathrooms", "square_feet", "lot_square_feet",
    "year_built", "days_on_market", "condition_score", "renovation_needed", "listed_at",
    "source_system", "confidence",
)  # fmt: skip
CITIES = (
    ("Seattle", "981", 47.61, -122.33),
    ("Bellevue", "980", 47.61, -122.20),
    ("Renton", "980", 47.48, -122.21),
    ("Tacoma", "984", 47.25, -122.44),
    ("Everett", "982", 47.98, -122.20),
)
STREETS = ("Main St", "1st Ave", "Pine St", "Lake Rd", "Cedar Ct", "Hill Dr", "Park Pl")
TYPES = ("SINGLE_FAMILY", "CONDO", "TOWNHOUSE", "MULTI_FAMILY", "LAND")
STATUSES = ("ACTIVE", "PENDING", "SOLD", "OFF_MARKET")
FIRST_LISTING = datetime(2023, 1, 1, tzinfo=UTC)


def rows(count: int, seed: int) -> Iterator[tuple[object, ...]]:
    """Yield ``count`` rows of ``COLUMNS``; about one optional value in ten is missing."""
    random = Random(seed)

    def maybe(value: object) -> object:
        return value if random.random() < 0.9 else None

    for number in range(count):
        city, zip_prefix, latitude, longitude = random.choice(CITIES)
        (kind,) = random.choices(TYPES, weights=(60, 18, 10, 8, 4))
        square_feet = None if kind == "LAND" else round(random.lognormvariate(7.5, 0.4))
        price = round(random.lognormvariate(13.1, 0.5), -2)
        listed_at = FIRST_LISTING + timedelta(minutes=random.randrange(1_000_000))
        yield (
            f"bench-{number:09d}",
            f"{random.randrange(1, 20_000)} {random.choice(STREETS)}",
            city,
            "WA",
            f"{zip_prefix}{random.randrange(100):02d}",
            round(random.gauss(latitude, 0.05), 6),
            round(random.gauss(longitude, 0.05), 6),
            kind,
            random.choices(STATUSES, weights=(70, 10, 15, 5))[0],
            price,
            maybe(round(price * random.gauss(1.02, 0.1), -2)),
            maybe(round(min(0.3, max(0.0, random.gauss(0.055, 0.015))), 4)),
            maybe(round(random.gauss(0.07, 0.04), 4)),
            maybe(random.randrange(1, 7)),
            maybe(random.randrange(2, 17) / 4),
            square_feet,
            maybe(round(random.lognormvariate(8.8, 0.8))),
            maybe(random.randrange(1900, 2024)),
            random.randrange(0, 200),
            maybe(round(random.random(), 2)),
            maybe(random.random() < 0.15),
            listed_at.isoformat(),
            "bench",
            round(random.uniform(0.7, 1.0), 2),
        )


def write(path: Path, count: int, seed: int = 7) -> None:
    """Write ``count`` rows as CSV, gzipped if the path ends in .gz."""
    with open_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows(count, seed))


def open_text(path: Path) -> IO[str]:
    """Open a file for writing, gzipped if the path ends in .gz."""
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "wt", 1, encoding="utf-8", newline=""))
    return path.open("w", encoding="utf-8", newline="")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="rows")
    parser.add_argument("path", type=Path, help="a file ending in .csv or .csv.gz")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    write(arguments.path, arguments.count, arguments.seed)


if __name__ == "__main__":
    main()
