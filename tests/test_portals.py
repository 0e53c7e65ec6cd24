import csv
import json
from collections.abc import Callable

import pytest

from tests import portals
from tests.portals import Export


@pytest.mark.parametrize(
    "make", [portals.redfin_csv, portals.reso_answer, portals.city_sales_csv, portals.crm_csv]
)
def test_the_same_seed_makes_the_same_file(make: Callable[[int, int], Export]) -> None:
    assert make(60, 1) == make(60, 1)
    assert make(60, 1).content != make(60, 2).content
    assert len(make(60, 1).truth) == 60


def test_no_listing_repeats_an_id() -> None:
    for export in (portals.redfin_csv(), portals.reso_answer(), portals.city_sales_csv()):
        assert len({values["external_id"] for values in export.truth}) == len(export.truth)


def test_a_portals_download_has_a_remark_below_its_header() -> None:
    header, remark, *rows = csv.reader(portals.redfin_csv(50).content.decode().splitlines())
    assert len(remark) == 1
    assert len(rows) == 50
    assert {len(row) for row in rows} == {len(header)}


def test_an_mls_answer_says_how_many_records_it_has() -> None:
    answer = json.loads(portals.reso_answer(50).content)
    assert answer["@odata.count"] == len(answer["value"]) == 50
