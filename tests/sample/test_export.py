import gzip
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from sample.__main__ import main
from sample.export import DEFAULT_SEED, WRITERS, Sample, write_properties, write_sample
from sample.simulation import KINDS, simulate

pytestmark = pytest.mark.slow

Rows = list[dict[str, str]]
PROPERTY_FILES = ("properties", "properties-derived", "properties-simulated")
# The columns an import of properties knows.
PROPERTY_COLUMNS = [
    "external_id",
    "address",
    "city",
    "state",
    "zipcode",
    "latitude",
    "longitude",
    "property_type",
    "listing_status",
    "listing_price",
    "estimated_value",
    "cap_rate",
    "cash_on_cash_return",
    "bedrooms",
    "bathrooms",
    "square_feet",
    "lot_square_feet",
    "year_built",
    "days_on_market",
    "condition_score",
    "renovation_needed",
    "listed_at",
    "source_system",
    "confidence",
]


@pytest.mark.parametrize("name", PROPERTY_FILES)
def test_every_property_file_has_every_house_once(files: dict[str, Rows], name: str) -> None:
    ids = [row["external_id"] for row in files[name]]
    assert len(ids) == len(set(ids)) == 21_436
    assert ids == [row["external_id"] for row in files["properties"]]
    assert files[name][0].keys() <= set(PROPERTY_COLUMNS)


def test_no_two_property_files_claim_the_same_column(files: dict[str, Rows]) -> None:
    claims = Counter(column for name in PROPERTY_FILES for column in files[name][0])
    shared = {column for column, count in claims.items() if count > 1}
    assert shared == {"external_id", "source_system", "confidence"}
    sources = {name: {row["source_system"] for row in files[name]} for name in PROPERTY_FILES}
    assert list(sources.values()) == [{"king-county-records"}, {"derived"}, {"simulated"}]
    assert {row["confidence"] for row in files["properties-simulated"]} == {"0"}


@pytest.mark.parametrize(
    ("name", "column", "low", "high"),
    [
        ("properties", "latitude", 47.1, 47.8),
        ("properties", "longitude", -122.6, -121.3),
        ("properties", "listing_price", 50_000, 10_000_000),
        ("properties", "bedrooms", 0, 40),
        ("properties", "bathrooms", 0, 10),
        ("properties", "square_feet", 200, 20_000),
        ("properties", "lot_square_feet", 300, 2_000_000),
        ("properties", "year_built", 1900, 2015),
        ("properties", "condition_score", 0, 1),
        ("properties", "confidence", 0, 1),
        ("properties-derived", "estimated_value", 50_000, 10_000_000),
        ("properties-derived", "confidence", 0, 1),
        ("properties-simulated", "days_on_market", 1, 365),
    ],
)
def test_numbers_are_all_there_and_in_range(
    files: dict[str, Rows], name: str, column: str, low: float, high: float
) -> None:
    values = [float(row[column]) for row in files[name]]
    assert low <= min(values) < max(values) <= high or len(set(values)) == 1
    assert all(low <= value <= high for value in values)


@pytest.mark.parametrize(
    ("name", "column", "known"),
    [
        ("properties", "property_type", {"SINGLE_FAMILY"}),
        ("properties", "state", {"WA"}),
        ("properties-derived", "renovation_needed", {"true", "false"}),
        ("properties-simulated", "listing_status", {"ACTIVE", "PENDING", "SOLD", "OFF_MARKET"}),
        ("users", "simulated", {"true"}),
        ("interactions", "simulated", {"true"}),
        ("interactions", "kind", set(KINDS)),
    ],
)
def test_words_are_the_known_ones_and_all_occur(
    files: dict[str, Rows], name: str, column: str, known: set[str]
) -> None:
    assert {row[column] for row in files[name]} == known


def test_whole_number_columns_have_no_fraction(files: dict[str, Rows]) -> None:
    for name, column in (
        ("properties", "bedrooms"),
        ("properties", "year_built"),
        ("properties-simulated", "days_on_market"),
    ):
        assert all(row[column].isdigit() for row in files[name])


def test_interactions_name_written_houses_and_users(files: dict[str, Rows]) -> None:
    houses = {row["external_id"] for row in files["properties"]}
    users = {row["external_id"] for row in files["users"]}
    listed = {r["external_id"]: r["listed_at"] for r in files["properties-simulated"]}
    assert len(users) == 300
    assert {row["user"] for row in files["interactions"]} < users
    for row in files["interactions"]:
        assert row["property"] in houses
        moment = datetime.fromisoformat(row["occurred_at"])
        assert moment.tzinfo is not None
        assert moment >= datetime.fromisoformat(listed[row["property"]])


def test_users_cannot_be_mistaken_for_people(files: dict[str, Rows]) -> None:
    for row in files["users"]:
        assert row["email"] == f"{row['external_id']}@simulated.example"
        assert row["name"].startswith("Simulated investor ")


def test_the_same_seed_writes_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    # Another process, with one thread where this one may have more.
    command = [sys.executable, "-m", "sample", str(tmp_path / "a"), "--investors", "12"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=root, env={"OMP_NUM_THREADS": "1"}, capture_output=True, check=True, text=True
    )
    assert done.stdout == ""
    assert "properties.csv.gz: 21,436 rows" in done.stderr
    # The houses, their values and their listings are the same whoever looks at them.
    few = simulate(
        sample.houses, sample.estimated_value, sample.listings, seed=DEFAULT_SEED, investors=12
    )
    write_sample(replace(sample, simulation=few), tmp_path / "b")
    for name in WRITERS:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.usefixtures("files")
def test_a_path_without_gz_is_written_plain(sample: Sample, folder: Path, tmp_path: Path) -> None:
    write_properties(sample, tmp_path / "plain.csv")
    packed = gzip.decompress((folder / "properties.csv.gz").read_bytes())
    assert (tmp_path / "plain.csv").read_bytes() == packed


@pytest.mark.parametrize("value", ["-1", "many"])
def test_a_bad_number_is_named(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "never"), "--investors", value])
    assert "--investors" in (message := capsys.readouterr().err)
    assert value in message
    assert not (tmp_path / "never").exists()
