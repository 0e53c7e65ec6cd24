import csv
import gzip
import shutil
from pathlib import Path

import pytest

import sample
from sample.__main__ import main
from sample.portfolios import REGIONS, property_type, write_portfolios

# What the source knows of the owner instead of the property.
FINGERPRINTS = ("review", "nights", "am_", "amenities", "bookable", "accommodates")


def read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Entire townhouse", "TOWNHOUSE"),
        ("Private room in rental unit", "CONDO"),
        ("Entire guest suite", "CONDO"),
        ("Room in boutique hotel", "MULTI_FAMILY"),
        ("Private room in bed and breakfast", "MULTI_FAMILY"),
        ("Tent", "LAND"),
        ("Camper/RV", "LAND"),
        ("Entire cottage", "SINGLE_FAMILY"),
        ("", "SINGLE_FAMILY"),
    ],
)
def test_types_are_told_by_their_words(words: str, expected: str) -> None:
    assert property_type(words) == expected


def test_every_region_is_written_whole(tmp_path: Path) -> None:
    rows = {
        region: list(write_portfolios(region, tmp_path / region).values()) for region in REGIONS
    }
    assert rows == {
        "barossa-valley": [777, 792],
        "northern-rivers": [13_691, 13_810],
        "tasmania": [7_996, 8_140],
    }


def test_what_is_written_can_be_imported_and_tells_nothing_of_the_owner(tmp_path: Path) -> None:
    write_portfolios("barossa-valley", tmp_path)
    properties = read(tmp_path / "properties.csv.gz")
    interactions = read(tmp_path / "interactions.csv.gz")
    assert not [name for name in properties[0] if any(word in name for word in FINGERPRINTS)]
    ids = [row["external_id"] for row in properties]
    assert len(set(ids)) == len(ids)
    assert {row["property"] for row in interactions} <= set(ids)
    assert {row["kind"] for row in interactions} == {"DEAL"}
    assert all(row["bedrooms"].isdigit() for row in properties if row["bedrooms"])
    times = [row["occurred_at"] for row in interactions]
    assert times == sorted(times)


def test_files_elsewhere_are_named_by_how_they_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(sample.__file__).parent
    for kind in ("properties", "interactions"):
        name = f"portfolios_barossa-valley_{kind}.csv.gz"
        shutil.copy(source / name, tmp_path / f"portfolios_byron_{kind}.csv.gz")
    main(["portfolios", str(tmp_path / "portfolios_byron"), str(tmp_path / "there")])
    write_portfolios("barossa-valley", tmp_path / "here")
    for name in ("properties.csv.gz", "interactions.csv.gz"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert "--tenant byron --create-users --role analyst" in capsys.readouterr().err


def test_an_unknown_region_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["portfolios", "atlantis", str(tmp_path)])
    assert "portfolios_atlantis_properties.csv.gz" in (said := capsys.readouterr().err)
    assert "tasmania" in said


def test_a_file_without_a_column_is_refused(tmp_path: Path) -> None:
    for kind, header in (("properties", "item_id,latitude\n"), ("interactions", "item_id\n")):
        path = tmp_path / f"odd_{kind}.csv.gz"
        path.write_bytes(gzip.compress(header.encode()))
    with pytest.raises(ValueError, match="lacks the columns bathrooms, bedrooms"):
        write_portfolios(str(tmp_path / "odd"), tmp_path)
