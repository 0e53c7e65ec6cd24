import csv
import gzip
from collections import defaultdict

import numpy as np
import pytest

from sample.export import Sample
from sample.king_county import POSTAL_CITIES, SOURCE, load_houses


def test_each_house_once_with_its_latest_sale(sample: Sample) -> None:
    houses = sample.houses
    assert len(houses) == 21_436
    assert len(set(houses.external_id.tolist())) == 21_436
    sold: dict[str, list[tuple[str, float]]] = defaultdict(list)
    with gzip.open(SOURCE, "rt", newline="") as file:
        for sale in csv.DictReader(file):
            sold[sale["id"].zfill(10)].append((sale["date"], float(sale["price"])))
    latest = {parcel: max(sales)[1] for parcel, sales in sold.items()}
    assert len([parcel for parcel, sales in sold.items() if len(sales) > 1]) > 100
    for parcel, price in zip(houses.external_id.tolist(), houses.price.tolist(), strict=True):
        assert price == pytest.approx(latest[parcel], abs=0.5)


def test_every_zip_code_has_a_city_beside_the_citys_others(sample: Sample) -> None:
    houses = sample.houses
    zipcodes = set(houses.zipcode.tolist())
    assert zipcodes == POSTAL_CITIES.keys()
    centre = {
        zipcode: np.median(houses.kilometres[houses.zipcode == zipcode], axis=0)
        for zipcode in zipcodes
    }
    for zipcode, city in POSTAL_CITIES.items():
        # A ZIP code listed under a distant city would lie alone.
        others = [z for z in zipcodes if POSTAL_CITIES[z] == city and z != zipcode]
        gaps = [float(np.linalg.norm(centre[zipcode] - centre[other])) for other in others]
        assert min(gaps, default=0.0) < 8, (zipcode, city)
    assert houses.city.tolist() == [POSTAL_CITIES[zipcode] for zipcode in houses.zipcode]


def test_condition_runs_from_0_to_1_and_renovation_follows_it(sample: Sample) -> None:
    houses = sample.houses
    assert sorted(set(houses.condition_score.tolist())) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert houses.renovation_needed.tolist() == (houses.condition_score < 0.5).tolist()


def test_kilometres_agree_with_the_great_circle(sample: Sample) -> None:
    houses = sample.houses
    random = np.random.default_rng(1)
    a, b = random.integers(0, len(houses), (2, 500))
    latitude, longitude = np.radians(houses.latitude), np.radians(houses.longitude)
    half = (
        np.sin((latitude[a] - latitude[b]) / 2) ** 2
        + np.cos(latitude[a]) * np.cos(latitude[b]) * np.sin((longitude[a] - longitude[b]) / 2) ** 2
    )
    true = 2 * 6371.0 * np.arcsin(np.sqrt(half))
    flat = np.linalg.norm(houses.kilometres[a] - houses.kilometres[b], axis=1)
    np.testing.assert_allclose(flat, true, rtol=0.01, atol=0.01)


def test_another_file_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("other") / "other.csv.gz"
    path.write_bytes(gzip.compress(b"name,price\nx,1\n"))
    with pytest.raises(KeyError, match="id"):
        load_houses(path)


def test_thinned_houses_are_all_over_the_county(sample: Sample) -> None:
    houses = sample.houses
    few = houses.thinned(500)
    assert 450 < len(few) <= 500
    assert set(few.external_id) < set(houses.external_id)
    assert (few.kilometres.std(axis=0) > 0.8 * houses.kilometres.std(axis=0)).all()
    assert len(houses.thinned(10**6)) == len(houses)
