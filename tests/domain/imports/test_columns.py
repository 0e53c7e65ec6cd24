"""What combinations of columns make of raw values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.imports.columns import (
    Area,
    Columns,
    Either,
    First,
    Joined,
    Parcel,
    Percent,
    PlusFour,
    Source,
    Total,
    resolve,
)
from domain.imports.formats import FORMATS, recognise

RESO = FORMATS["properties"]["reso"].sources


def made(source: Source, **row: Any) -> Any:
    """The value that a source makes of a row that has the columns of the row alone."""
    found = resolve(source, Columns(list(row)))
    assert found is not None
    return found.value([row[column] for column in found.columns])


BATHS = Total(("full", 1), ("half", 0.5), ("three", 0.75), ("one", 0.25))


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ({"full": 2, "half": 1}, 2.5),
        ({"full": "2", "half": "1"}, 2.5),
        ({"full": " 1,234 ", "half": "2.0"}, 1235),
        ({"full": 2, "half": None}, 2),
        ({"full": "2", "half": "", "three": "1", "one": "1"}, 3),
        ({"full": 0, "half": 1}, 0.5),
        ({"full": "NULL", "half": 1}, None),
        ({"full": None, "half": None}, None),
        # Left to the rules of the field, which refuse it.
        ({"full": "two", "half": "1"}, "two"),
        ({"full": 2, "half": True}, True),
        ({"full": 10**400, "half": 1}, 10**400),
    ],
)
def test_total(row: dict[str, Any], value: Any) -> None:
    assert made(BATHS, **row) == value


def test_total_needs_its_first_two_columns() -> None:
    assert resolve(BATHS, Columns(["full", "three"])) is None


@pytest.mark.parametrize(
    ("values", "value"),
    [
        ((1, 2), 1),
        ((None, 2), 2),
        (("", "b"), "b"),
        (("N/A", "b"), "b"),
        ((0, 2), 2),
        (("0.0", None), "0.0"),
        ((None, "NULL"), None),
        ((False, 2), False),
    ],
)
def test_first(values: tuple[Any, Any], value: Any) -> None:
    assert made(First("a", "b"), a=values[0], b=values[1]) is value


def test_first_of_one_column_is_that_column() -> None:
    found = resolve(First("a", "b"), Columns(["b"]))
    assert found is not None
    assert (found.columns, found.combine, found.how) == (("b",), None, "")


@pytest.mark.parametrize(
    ("area", "unit", "value"),
    [
        (1500, "Square Feet", 1500),
        ("1,500", "sqft", "1,500"),
        (0.25, "Acres", 10890),
        ("0.25", "acres", 10890),
        (100, "Square Meters", 1076.39),
        ("100", "SquareMeters", 1076.39),
        (1, "ha", 107639.1),
        (None, "Acres", None),
        # How much the area is nobody knows.
        (2, None, None),
        (2, "", None),
        (2, "Dimensions", "2 Dimensions"),
        ("0,25", "Acres", 10_890),
        ("6,534 sqft", "Acres", "6,534 sqft"),
    ],
)
def test_area(area: Any, unit: Any, value: Any) -> None:
    assert made(Area("area", "unit"), area=area, unit=unit) == value


def test_area_without_a_unit_is_in_the_default() -> None:
    assert resolve(Area("area", "unit"), Columns(["area"])) is None
    assert made(Area("area", "unit", default="square feet"), area=1500) == 1500
    assert made(Area("area", "unit", default="square feet"), area=1500, unit=None) == 1500
    assert made(Area("area", default="acres"), area="2") == 87120


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ({"StreetNumber": 12, "StreetName": "Main", "StreetSuffix": "St"}, "12 Main St"),
        ({"StreetNumber": 12.0, "StreetName": "Main"}, "12 Main"),
        (
            {"StreetNumber": "12", "StreetDirPrefix": "NW", "StreetName": "Main",
             "StreetSuffix": "St", "UnitNumber": "4"},
            "12 NW Main St #4",
        ),
        ({"StreetName": "Main St", "UnitNumber": "Apt 4"}, "Main St Apt 4"),
        ({"StreetName": "Main St", "UnitNumber": "#4"}, "Main St #4"),
        ({"StreetNumber": "12", "StreetName": None, "UnitNumber": "4"}, None),
        ({"UnparsedAddress": "1 A St", "StreetName": "Main"}, "1 A St"),
        ({"UnparsedAddress": " ", "StreetNumber": "12", "StreetName": "Main"}, "12 Main"),
    ],
)  # fmt: skip
def test_address(row: dict[str, Any], value: Any) -> None:
    assert made(RESO["address"], **row) == value


def test_a_unit_that_the_address_ends_with_is_not_repeated() -> None:
    source = Joined("street", unit="unit")
    assert made(source, street="345 WEST 14TH STREET, 10A", unit="10a") == (
        "345 WEST 14TH STREET, 10A"
    )
    assert made(source, street="345 WEST 14TH STREET", unit="10A") == "345 WEST 14TH STREET #10A"
    assert made(source, street=None, unit="10A") is None


@pytest.mark.parametrize(
    ("code", "plus4", "value"),
    [
        ("02139", "1234", "02139-1234"),
        (2139, 12, "02139-0012"),
        ("02139", None, "02139"),
        ("02139-1234", "1234", "02139-1234"),
        ("V5K 0A1", "", "V5K 0A1"),
        (None, "1234", None),
    ],
)
def test_zipcode(code: Any, plus4: Any, value: Any) -> None:
    assert made(PlusFour("code", "plus4"), code=code, plus4=plus4) == value


def test_parcel() -> None:
    source = Parcel("borough", "block", "lot")
    assert made(source, borough="1", block="373", lot=40) == "1003730040"
    assert made(source, borough=3.0, block="12345.0", lot="7501") == "3123457501"
    assert made(source, borough="1", block="", lot="40") is None
    assert resolve(source, Columns(["block", "lot"])) is None


@pytest.mark.parametrize(
    ("rate", "value"),
    [(6.5, 0.065), ("6.5", 0.065), (0.065, 0.065), ("6.5%", "6.5%"), (None, None), (1, 1)],
)
def test_cap_rate_of_reso(rate: Any, value: Any) -> None:
    assert made(RESO["cap_rate"], CapRate=rate) == value


def test_percent_is_always_a_hundredth() -> None:
    assert made(Percent("rate"), rate="0.5") == 0.005


def test_baths_of_reso_fall_back_in_each_row() -> None:
    names = ("BathroomsTotalDecimal", "BathroomsFull", "BathroomsHalf", "BathroomsTotalInteger")
    for values, baths in [
        ((2.75, 2, 1, 3), 2.75),
        ((None, 2, 1, 3), 2.5),
        ((None, None, 1, 3), 3),
        ((None, None, None, None), None),
    ]:
        assert made(RESO["bathrooms"], **dict(zip(names, values, strict=True))) == baths


def test_the_type_of_reso_is_the_more_specific_one_that_is_given() -> None:
    source = RESO["property_type"]
    assert made(source, PropertySubType="Duplex", PropertyType="Residential") == "Duplex"
    assert made(source, PropertySubType=None, PropertyType="Land") == "Land"


values = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(
    allow_nan=False, allow_infinity=False
)  # fmt: skip
COLUMNS = [name for source in RESO.values() for name in str(source).replace(",", " ").split()]


@given(st.data())
def test_every_combination_takes_every_value(data: st.DataObject) -> None:
    names = ["ListingKey", "StandardStatus", *COLUMNS]
    columns = data.draw(st.lists(st.sampled_from(names), unique=True))
    for source in recognise("properties", columns).fields.values():
        row = [data.draw(values) for _ in source.columns]
        made_of_it = source.value(row)
        assert made_of_it is None or isinstance(made_of_it, bool | int | float | str)


def test_sources_say_what_they_are() -> None:
    source = First(Total((Either("a", "b"), 1), ("c", 0.5)), Area("d", "e", default="acres"))
    assert str(source) == "(a, b) + 0.5 x c; else d in e, else acres"
