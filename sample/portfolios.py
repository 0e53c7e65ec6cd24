"""Real portfolios: who came to own or manage which short-term rental, and when.

Only what describes the property is taken over. Reviews, amenity lists and booking rules are left
out: they are the owner's habits, and a model that reads them recognises the owner instead of
understanding the property. See README.md for the source and its licence.
"""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from sample.export import write_columns

REGIONS = ("barossa-valley", "northern-rivers", "tasmania")
"""The regions whose files are beside this module."""

# The first row with a word that the source's type contains decides.
_TYPE_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("TOWNHOUSE", ("townhouse",)),
    ("CONDO", ("rental unit", "condo", "apartment", "loft", "guest suite")),
    (
        "MULTI_FAMILY",
        ("hotel", "bed and breakfast", "bed & breakfast", "hostel", "resort", "motel"),
    ),
    ("LAND", ("tent", "camp", "camper", "island", "yurt", "rv")),
)

Rows = list[dict[str, str]]


def write_portfolios(region: str, directory: Path) -> dict[Path, int]:
    """Write a region's properties and deals as files to import; return the rows of each.

    The same region gives the same bytes. Files of the same name are replaced.

    Args:
        region: one of ``REGIONS``, or the path that two files of the same layout begin with:
            ``/data/portfolios_byron`` for ``/data/portfolios_byron_properties.csv.gz`` and
            ``/data/portfolios_byron_interactions.csv.gz``.
        directory: made if need be.

    Raises:
        FileNotFoundError: there is no such region, or no such file.
        ValueError: a file lacks a column that is needed.
    """
    properties, interactions = _read(region)
    directory.mkdir(parents=True, exist_ok=True)
    written = {
        directory / "properties.csv.gz": {
            "external_id": [row["item_id"] for row in properties],
            "city": [row["neighbourhood"] for row in properties],
            "latitude": [row["latitude"] for row in properties],
            "longitude": [row["longitude"] for row in properties],
            "property_type": [property_type(row["property_type"]) for row in properties],
            # In AUD for one night: what the source has for a price.
            "listing_price": [_whole(row["nightly_price"]) for row in properties],
            "bedrooms": [_whole(row["bedrooms"]) for row in properties],
            "bathrooms": [_whole(row["bathrooms"]) for row in properties],
            "listed_at": [row["first_seen"] for row in properties],
            "source_system": ["inside-airbnb"] * len(properties),
        },
        directory / "interactions.csv.gz": {
            "property": [row["item_id"] for row in interactions],
            "user": [f"owner-{row['user_id']}" for row in interactions],
            "kind": ["DEAL"] * len(interactions),
            "occurred_at": [row["timestamp"] for row in interactions],
        },
    }
    return {path: write_columns(path, columns) for path, columns in written.items()}


def property_type(words: str) -> str:
    """The domain's property type for the source's words, "Entire townhouse" for one."""
    words = words.lower()
    for kind, parts in _TYPE_WORDS:
        if any(part in words for part in parts):
            return kind
    return "SINGLE_FAMILY"


def import_commands(region: str, directory: Path) -> str:
    """The commands that load the written files into a tenant of their own."""
    tenant = Path(region).name.removeprefix("portfolios_").replace("_", "-").lower()
    return (
        f"twin import properties {directory / 'properties.csv.gz'} "
        f"--tenant {tenant} --create-tenant\n"
        f"twin import interactions {directory / 'interactions.csv.gz'} "
        f"--tenant {tenant} --create-users --role analyst\n"
        f"twin evaluate --tenant {tenant}"
    )


def _read(region: str) -> tuple[Rows, Rows]:
    prefix = region if "/" in region else str(Path(__file__).parent / f"portfolios_{region}")
    needed = {
        "properties": {
            "item_id", "neighbourhood", "latitude", "longitude", "property_type",
            "nightly_price", "bedrooms", "bathrooms", "first_seen",
        },
        "interactions": {"user_id", "item_id", "timestamp"},
    }  # fmt: skip
    properties, interactions = (
        list(_rows(Path(f"{prefix}_{name}.csv.gz"), columns)) for name, columns in needed.items()
    )
    # Oldest first, whatever the order of the file.
    interactions.sort(key=lambda row: row["timestamp"])
    return properties, interactions


def _rows(path: Path, needed: set[str]) -> Iterator[dict[str, str]]:
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}: name one of {', '.join(REGIONS)}, or the path that both files "
            "of a region begin with"
        )
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := needed - set(reader.fieldnames or ()):
            raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}")
        yield from reader


def _whole(number: str) -> str:
    """A whole number without its fraction, which an import of bedrooms expects."""
    return number.removesuffix(".0")
