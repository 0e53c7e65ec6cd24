"""Buy boxes: kept as said, refused where they make no sense, met as SQL and Python agree."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.filters import Range
from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import InteractionKind, PropertyType
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.interactions import histories
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes, users
from domain.users.buy_boxes import MAX_TEXT, MAX_VALUES, Criterion
from tests.factories import add_interaction, add_property, add_user

TYPES = list(PropertyType)
WHOLE = BuyBox(
    property_types=(PropertyType.CONDO, PropertyType.LAND),
    zipcodes=("98103",),
    cities=("Seattle", "Renton"),
    price=Range(100_000, None),
    bedrooms=Range(2, 4),
)

bounds = st.none() | st.integers(0, 1000)
ranges = st.none() | st.tuples(bounds, bounds).filter(any).map(
    lambda pair: Range(*sorted(pair)) if None not in pair else Range(*pair)  # type: ignore[type-var]
)
texts = st.lists(st.text(min_size=1, max_size=8), max_size=3, unique=True).map(tuple)
boxes = st.builds(
    BuyBox,
    property_types=st.lists(st.sampled_from(TYPES), max_size=3, unique=True).map(tuple),
    zipcodes=texts,
    cities=texts,
    price=ranges,
    bedrooms=ranges,
)


@given(boxes)
def test_a_box_survives_json(box: BuyBox) -> None:
    kept = json.loads(json.dumps(buy_boxes._dumps(box)))
    assert buy_boxes.loads(kept) == (box if buy_boxes.stated(box) else None)


def test_what_is_met() -> None:
    fits = Property(
        property_type=PropertyType.LAND, canonical_zipcode="98103", city="Renton",
        listing_price=1e5, bedrooms=4,
    )  # fmt: skip
    bare = Property()
    assert buy_boxes.met(WHOLE, fits) == buy_boxes.stated(WHOLE) == tuple(Criterion)
    assert buy_boxes.met(WHOLE, bare) == ()
    assert buy_boxes.met(BuyBox(), fits) == buy_boxes.stated(BuyBox()) == ()
    for change, missed in (
        ({"property_type": PropertyType.CONDO}, None),
        ({"property_type": PropertyType.TOWNHOUSE}, Criterion.PROPERTY_TYPE),
        ({"canonical_zipcode": "98104"}, Criterion.ZIPCODE),
        ({"city": "renton"}, Criterion.CITY),
        ({"listing_price": 99_999.0}, Criterion.PRICE),
        ({"bedrooms": 1}, Criterion.BEDROOMS),
        ({"bedrooms": 5}, Criterion.BEDROOMS),
    ):
        values: dict[str, Any] = {
            "property_type": PropertyType.LAND, "canonical_zipcode": "98103", "city": "Renton",
            "listing_price": 1e5, "bedrooms": 4,
        }  # fmt: skip
        met = buy_boxes.met(WHOLE, Property(**(values | change)))
        assert set(Criterion) - set(met) == ({missed} if missed else set())


async def test_a_box_is_kept_read_with_the_history_and_taken_back(
    database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        idle, active = await add_user(work), await add_user(work)
        for _ in range(2):
            house = await add_property(work)
            await add_interaction(work, active.id, house.id, InteractionKind.SAVE)
        before = datetime.now(UTC)
        for user in (idle, active):
            await buy_boxes.state(work, user.id, WHOLE)
    async with database.work(tenant.id) as work:
        found = await histories.get_many(work, [idle.id, active.id])
        assert [(len(one), one.buy_box) for one in found.values()] == [(0, WHOLE), (2, WHOLE)]
        again = await buy_boxes.state(work, idle.id, WHOLE)
        said_at = again.buy_box_set_at
        assert said_at is not None
        assert said_at > before
    async with database.work(tenant.id) as work:
        assert (await users.get(work, idle.id)).buy_box_set_at == said_at
        gone = await buy_boxes.state(work, idle.id, BuyBox())
        assert gone.buy_box is None
        assert gone.buy_box_set_at is not None
        assert gone.buy_box_set_at > said_at
    async with database.work(tenant.id) as work:
        assert (await histories.get_many(work, [idle.id]))[idle.id].buy_box is None


@pytest.mark.parametrize(
    ("box", "field", "words"),
    [
        (BuyBox(zipcodes=tuple(map(str, range(MAX_VALUES + 1)))), ("zipcodes",), "51 values"),
        (BuyBox(cities=tuple(map(str, range(MAX_VALUES + 1)))), ("cities",), "at most 50"),
        (BuyBox(cities=("Kent", "x" * (MAX_TEXT + 1))), ("cities", "1"), "1 to 100"),
        (BuyBox(zipcodes=("",)), ("zipcodes", "0"), "''"),
        (BuyBox(zipcodes=("  ",)), ("zipcodes", "0"), "1 to 100"),
        (BuyBox(cities=("a\x00b",)), ("cities", "0"), "zero bytes"),
        (BuyBox(cities=("\ud800",)), ("cities", "0"), "1 to 100"),
        (BuyBox(price=Range(-1, None)), ("price", "min"), "price.min -1: use 0"),
        (BuyBox(price=Range(None, 1e13)), ("price", "max"), "price.max 1e+13"),
        (BuyBox(price=Range(float("nan"), None)), ("price", "min"), "nan"),
        (BuyBox(price=Range(2, 1)), ("price", "min"), "min 2 is above max 1"),
        (BuyBox(bedrooms=Range(3, 2)), ("bedrooms", "min"), "min 3 is above max 2"),
        (BuyBox(bedrooms=Range(None, 1001)), ("bedrooms", "max"), "use 0 to 1000"),
    ],
)
async def test_a_box_against_the_rules_is_refused(
    database: Database, tenant: Tenant, box: BuyBox, field: tuple[str, ...], words: str
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    with pytest.raises(DomainError) as refused:
        async with database.work(tenant.id) as work:
            await buy_boxes.state(work, user.id, box)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, field)
    assert words in refused.value.message


async def test_an_unknown_user_is_named(database: Database, tenant: Tenant) -> None:
    with pytest.raises(DomainError) as refused:
        async with database.work(tenant.id) as work:
            await buy_boxes.state(work, uuid4(), WHOLE)
    assert (refused.value.code, refused.value.field) == (ErrorCode.NOT_FOUND, ("userId",))
