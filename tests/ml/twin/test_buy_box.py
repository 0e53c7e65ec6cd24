import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.filters import Range
from domain.contract.snapshots import BuyBox, PropertyColumns
from domain.contract.vocabulary import PropertyType
from ml.index.filters import payloads
from ml.twin.buy_box import FIELDS, columns_of, share_met
from tests.ml.worlds import make_columns

SIDE = st.none() | st.floats(1e5, 2e6)
BOXES = st.builds(
    BuyBox,
    property_types=st.lists(st.sampled_from(PropertyType), max_size=3, unique=True).map(tuple),
    zipcodes=st.lists(st.sampled_from(["98101", "98102", "x"]), max_size=2).map(tuple),
    cities=st.lists(st.sampled_from(["Seattle", "Renton"]), max_size=2).map(tuple),
    price=st.none() | st.builds(Range, SIDE, SIDE),
    bedrooms=st.none()
    | st.builds(Range, st.none() | st.integers(1, 3), st.none() | st.integers(3, 5)),
)


def inside(value: float, wanted: Range) -> bool:
    low = -np.inf if wanted.min is None else wanted.min
    high = np.inf if wanted.max is None else wanted.max
    return bool(low <= value <= high)


def share(box: BuyBox, columns: PropertyColumns, row: int) -> float:
    """By the definition, one property at a time."""
    met = []
    kind = int(columns.property_type[row])
    if box.property_types:
        met.append(kind >= 0 and list(PropertyType)[kind] in box.property_types)
    if box.zipcodes:
        met.append(columns.zipcode[row] in box.zipcodes)
    if box.cities:
        met.append(columns.city[row] in box.cities)
    if box.price is not None:
        met.append(inside(float(columns.column("listing_price")[row]), box.price))
    if box.bedrooms is not None:
        met.append(inside(float(columns.column("bedrooms")[row]), box.bedrooms))
    return sum(met) / len(met) if met else 0.0


@given(box=BOXES)
def test_the_share_of_what_is_stated(box: BuyBox) -> None:
    columns = make_columns(60)
    found = share_met(box, columns)
    np.testing.assert_allclose(found, [share(box, columns, row) for row in range(60)])


@given(box=BOXES)
def test_the_index_brings_all_that_a_buy_box_asks_about(box: BuyBox) -> None:
    columns = make_columns(60)
    told = [{key: one[key] for key in FIELDS if key in one} for one in payloads(columns)]
    found = columns_of(columns.ids, told)
    assert found.ids == columns.ids
    np.testing.assert_array_equal(share_met(box, found), share_met(box, columns))


def test_nothing_stated_is_met_by_nothing() -> None:
    columns = make_columns(5)
    assert share_met(None, columns).tolist() == [0.0] * 5
    assert share_met(BuyBox(), columns).tolist() == [0.0] * 5
    assert share_met(BuyBox(cities=("Seattle",)), columns.take([])).shape == (0,)
