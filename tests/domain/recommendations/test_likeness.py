"""Without a model: what is like a property by its attributes, and whom it would suit."""

import math
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.contract.filters import EARTH_RADIUS_KM, PropertyFilter, Range
from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import InteractionKind, PropertyType
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.core.work import Work
from domain.interactions import interactions
from domain.model_registry import model_versions
from domain.properties import table
from domain.properties.rows import PropertyValues
from domain.properties.table import Property
from domain.recommendations.audience import AudienceAsk, FoundUser
from domain.recommendations.cold_start import (
    LOG_RANGES,
    PLACE_RANGE_KM,
    RANGES,
    ColdListing,
    cold_score,
    interest,
    liked,
    likeness,
    wanted,
)
from domain.recommendations.paging import JudgedPage
from domain.recommendations.ranking import SimilarProperty
from domain.recommendations.reasons import ReasonKind
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from domain.users.users import User
from runtime import Runtime
from tests.conftest import new_tenant
from tests.drawing import few
from tests.factories import add_interaction, add_property, add_user

ALL = PropertyFilter()
BLANK: dict[str, Any] = dict.fromkeys(
    ("property_type", "latitude", "longitude", *LOG_RANGES, *RANGES), None
)

TINY = ("latitude", "longitude", "listing_price", "square_feet", "bathrooms")
NOWHERE: dict[str, Any] = dict.fromkeys(TINY, 0.0)


def distance_km(one: PropertyValues, other: PropertyValues) -> float:
    assert one.latitude is not None
    assert one.longitude is not None
    assert other.latitude is not None
    assert other.longitude is not None
    north, south = math.radians(one.latitude), math.radians(other.latitude)
    east = math.radians(one.longitude - other.longitude)
    chord = (
        math.sin((north - south) / 2) ** 2
        + math.cos(north) * math.cos(south) * math.sin(east / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1, chord)))


def gower(one: PropertyValues, other: PropertyValues) -> float:
    """The coefficient in plain Python."""

    def near(difference: float, width: float) -> float:
        return max(0.0, 1 - abs(difference) / width)

    parts = []
    if one.property_type is not None:
        parts.append(float(one.property_type == other.property_type))
    for name, times in LOG_RANGES.items():
        own, theirs = getattr(one, name), getattr(other, name)
        if own is not None:
            known = theirs is not None
            log = math.log(max(own, 1) / max(theirs, 1)) if known else math.inf
            parts.append(near(log, math.log(times)))
    for name, width in RANGES.items():
        own, theirs = getattr(one, name), getattr(other, name)
        if own is not None:
            parts.append(near(own - theirs, width) if theirs is not None else 0.0)
    if one.latitude is not None and one.longitude is not None:
        known = other.latitude is not None and other.longitude is not None
        parts.append(near(distance_km(one, other), PLACE_RANGE_KM) if known else 0.0)
    return sum(parts) / len(parts) if parts else 0.0


def degrees(limit: float, home: float) -> st.SearchStrategy[float]:
    return st.floats(-limit, limit) | st.floats(home - 0.2, home + 0.2)


amounts = st.sampled_from([0.0, 5e-324, 0.5, 1.0, 1e12]) | st.floats(1e5, 1e6)
some_property = st.fixed_dictionaries(
    {
        "property_type": st.none() | st.sampled_from(PropertyType),
        "latitude": st.none() | degrees(90, 47.6),
        "longitude": st.none() | degrees(180, -122.3),
        "listing_price": st.none() | amounts,
        "square_feet": st.none() | amounts,
        "bedrooms": st.none() | st.integers(0, 6) | st.just(10_000),
        "bathrooms": st.none() | st.floats(0, 5) | st.just(5e-324),
        "year_built": st.none() | st.integers(1950, 2020) | st.sampled_from([1000, 2200]),
    }
)


@few(25)
@given(st.lists(some_property, min_size=2, max_size=7), st.integers(1, 3))
# Differences whose quotients and squares are too small for a number in SQL.
@example([BLANK | NOWHERE, BLANK | NOWHERE | dict.fromkeys(TINY, 5e-324)], 1)
async def test_the_coefficient_of_sql_is_that_of_python_page_by_page(
    database: Database, drawn: list[dict[str, Any]], size: int
) -> None:
    tenant = await new_tenant(database)
    async with database.work(tenant.id) as work:
        # One that lies at the first one's place, and one of which nothing is known.
        drawn += [drawn[0], BLANK]
        rows = [await add_property(work, **fields) for fields in drawn]
    for one in (rows[0], rows[-1]):
        listing = ColdListing(
            lambda: database.work(tenant.id), Property, likeness(one), wanted(ALL, [one.id])
        )
        seen = await listing.behind(None, size)
        while page := await listing.behind(seen[-1].key, size):
            seen += page
        assert {item.row.id for item in seen} == {row.id for row in rows} - {one.id}
        assert [item.key for item in seen] == sorted(item.key for item in seen)
        for place, item in enumerate(seen):
            assert 0 <= item.score <= 1
            assert item.score == pytest.approx(gower(one, item.row), abs=1e-6)
            before = await listing.before(item.key, size)
            assert [found.key for found in before] == [
                found.key for found in seen[max(0, place - size) : place]
            ]


async def similar(
    rt: Runtime, tenant: Tenant, of: UUID, size: int = 100, **asked: Any
) -> JudgedPage[SimilarProperty]:
    where = asked.pop("where", ALL)
    return await rt.recommender.likeness.similar(tenant.id, of, where, size, **asked)


def ids(page: JudgedPage[SimilarProperty]) -> list[UUID]:
    return [item.property.id for item in page.items]


async def test_what_is_alike_comes_first_and_what_is_unknown_last(
    rt: Runtime, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(other_tenant.id) as work:
        await add_property(work)
    async with database.work(tenant.id) as work:
        one = await add_property(work)
        blank = await add_property(work, **BLANK)
        other = await add_property(
            work, property_type=PropertyType.CONDO, bedrooms=1, listing_price=1_000_000.0
        )
        near = await add_property(work, latitude=47.67)
        dearer = await add_property(work, latitude=47.67, listing_price=600_000.0)
        twin = await add_property(work)
    page = await similar(rt, tenant, one.id)
    assert ids(page) == [twin.id, near.id, dearer.id, other.id, blank.id]
    assert (page.items[0].similarity, page.items[-1].similarity) == (1, 0)
    assert page.model_version is None
    assert page.reason is not None
    assert page.reason.kind is ReasonKind.NO_ACTIVE_MODEL
    assert page.reason.text == (
        "No model is active yet, so this list follows attributes and location."
    )
    # Filters hold, and there is nothing to be varied.
    cheap = PropertyFilter(price=Range(max=550_000))
    assert ids(await similar(rt, tenant, one.id, where=cheap)) == [twin.id, near.id]
    assert ids(await similar(rt, tenant, one.id, diversity=0.5)) == ids(page)
    # Of what nothing is known of, nothing is more alike than anything else.
    unknown = await similar(rt, tenant, blank.id)
    assert ids(unknown) == sorted(ids(unknown))
    assert {item.similarity for item in unknown.items} == {0}
    assert unknown.reason is not None
    assert "nothing is known" in unknown.reason.text


async def activate(work: Work) -> None:
    """A version that answers, for what never asks it anything."""
    version = await model_versions.add(work, b"", {}, {})
    await model_versions.judge(work, version.id, [], None)
    await model_versions.begin_filling(work, version.id)
    await model_versions.complete(work, version.id)
    await model_versions.activate(work, version.id)


async def test_a_list_goes_on_until_the_property_changes_or_a_model_ranks(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        houses = [await add_property(work, bedrooms=number) for number in range(6)]
        await add_interaction(work, user.id, houses[1].id, InteractionKind.SAVE)
    one = houses[0].id
    first = await similar(rt, tenant, one, 2, diversity=0.5)
    place = first.items[-1].cursor
    again = partial(similar, rt, tenant, one, 2, after=place, diversity=0.5)
    assert (first.has_next, first.has_previous) == (True, False)
    rest = await again()
    assert ids(first) + ids(rest) == [house.id for house in houses[1:5]]
    last = rest.items[-1].cursor
    back = await similar(rt, tenant, one, 3, before=last, diversity=0.5)
    assert ids(back) == [house.id for house in houses[1:4]]

    ask = AudienceAsk(one, 1)
    (interested,) = await rt.recommender.audience.interested(tenant.id, [ask])
    assert isinstance(interested, JudgedPage)
    people = ask._replace(after=interested.items[-1].cursor)

    async def refusals() -> list[ErrorCode]:
        codes = []
        with pytest.raises(DomainError) as refused:
            await again()
        codes.append(refused.value.code)
        (answer,) = await rt.recommender.audience.interested(tenant.id, [people])
        assert isinstance(answer, DomainError)
        return [*codes, answer.code]

    expired = [ErrorCode.CURSOR_EXPIRED] * 2
    of_a_model = place._replace(snapshot=place.snapshot._replace(version=str(uuid4())))
    with pytest.raises(DomainError, match="Another model") as refused:
        await similar(rt, tenant, one, 2, after=of_a_model, diversity=0.5)
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED
    async with database.work(tenant.id) as work:
        (await table.get(work, one)).bedrooms = 5
    assert await refusals() == expired
    async with database.work(tenant.id) as work:
        (await table.get(work, one)).bedrooms = 0
    assert ids(await again()) == ids(rest)
    async with database.work(tenant.id) as work:
        await activate(work)
    assert await refusals() == expired


ranges = st.none() | st.builds(Range, st.none() | st.just(2.0), st.just(4.0))
some_box = st.builds(
    BuyBox,
    property_types=st.lists(st.sampled_from(PropertyType), max_size=2, unique=True).map(tuple),
    zipcodes=st.lists(st.sampled_from(["1", "2"]), max_size=2, unique=True).map(tuple),
    cities=st.lists(st.sampled_from(['Ke"nt', "price"]), max_size=1).map(tuple),
    price=ranges,
    bedrooms=ranges,
)
wished_property = st.fixed_dictionaries(
    {
        "property_type": st.none() | st.sampled_from(PropertyType),
        "zipcode": st.none() | st.sampled_from(["1", "2"]),
        "city": st.none() | st.sampled_from(['Ke"nt', "price"]),
        "listing_price": st.none() | st.sampled_from([1.0, 2.0, 3.5, 4.0, 5.0]),
        "bedrooms": st.none() | st.integers(1, 5),
        "engagement": st.sampled_from([0.0, 1.0, 7.0]),
    }
)


@few(15)
@given(st.lists(some_box, max_size=8), wished_property)
async def test_the_interest_of_sql_is_the_affinity_of_python(
    database: Database, boxes: list[BuyBox], fields: dict[str, Any]
) -> None:
    tenant = await new_tenant(database)
    stated: dict[UUID, BuyBox | None] = {}
    async with database.work(tenant.id) as work:
        house = await add_property(work, **fields)
        for box in [*boxes, BuyBox()]:
            user = await buy_boxes.state(work, (await add_user(work)).id, box)
            stated[user.id] = box if user.buy_box else None
    score = interest(house, liked(house))
    listing = ColdListing(lambda: database.work(tenant.id), User, score, ())
    found = await listing.behind(None, 100)
    assert {item.row.id: item.score for item in found} == {
        user_id: cold_score(house, box) for user_id, box in stated.items()
    }
    assert [item.key for item in found] == sorted(item.key for item in found)


async def interested(rt: Runtime, tenant: Tenant, ask: AudienceAsk) -> JudgedPage[FoundUser]:
    (page,) = await rt.recommender.audience.interested(tenant.id, [ask])
    assert isinstance(page, JudgedPage), page
    return page


async def test_without_a_model_a_property_suits_whom_its_affinity_says(
    rt: Runtime, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    save, deal, dismiss = InteractionKind.SAVE, InteractionKind.DEAL, InteractionKind.DISMISS
    async with database.work(other_tenant.id) as work:
        stranger, theirs = await add_user(work), await add_property(work)
        await add_interaction(work, stranger.id, theirs.id, save)
    async with database.work(tenant.id) as work:
        house, other = await add_property(work, city="Kent"), await add_property(work)
        people = [await add_user(work) for _ in range(9)]
        for user in people[:8]:
            await add_interaction(work, user.id, other.id, save)
        owner, bored, gone, keen, averse = people[:5]
        await add_interaction(work, owner.id, house.id, deal)
        await add_interaction(work, bored.id, house.id, dismiss)
        gone.deactivated_at = gone.created_at
        await buy_boxes.state(work, keen.id, BuyBox(cities=("Kent",)))
        await buy_boxes.state(work, averse.id, BuyBox(cities=("Renton",)))
    whole = await interested(rt, tenant, AudienceAsk(house.id, 100))
    indifferent = [user.id for user in people[5:8]]
    assert [item.user.id for item in whole.items] == [keen.id, *indifferent, averse.id]
    assert [item.cursor.rank for item in whole.items] == [1, 2, 3, 4, 5]
    async with database.work(tenant.id) as work:
        found = await table.get(work, house.id)
    judged = await rt.recommender.affinity(tenant.id, [user.id for user in people], [found])
    for item in whole.items:
        assert item.score == judged[item.user.id, house.id].score
    assert whole.model_version is None
    assert whole.reason is not None
    assert whole.reason.kind is ReasonKind.NO_ACTIVE_MODEL
    assert "buy boxes" in whole.reason.text

    # Page by page, while the engagement with the property grows.
    seen: list[FoundUser] = []
    ask = AudienceAsk(house.id, 1)
    while True:
        page = await interested(rt, tenant, ask)
        seen += page.items
        if not page.has_next:
            break
        ask = ask._replace(after=page.items[-1].cursor)
        async with database.work(tenant.id) as work:
            await interactions.record(work, people[8].id, house.id, InteractionKind.OUTREACH)
    assert [(one.user.id, one.score) for one in seen if one.user.id != people[8].id] == [
        (one.user.id, one.score) for one in whole.items
    ]
    back = await interested(rt, tenant, AudienceAsk(house.id, 2, None, seen[-1].cursor))
    assert [one.user.id for one in back.items] == [one.user.id for one in seen[-3:-1]]
