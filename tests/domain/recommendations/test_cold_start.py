"""Without approvals: what the firm engages with and the investor says, as SQL and Python agree."""

import random

import pytest

from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import InteractionKind, PropertyType
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.interactions import interactions
from domain.properties.table import Property
from domain.recommendations.cold_start import ENGAGEMENT, ColdListing, cold_order, cold_score
from domain.recommendations.paging import Cursor
from domain.recommendations.ranking import Recommendation
from domain.recommendations.reasons import BuyBoxReason, EngagementReason, ReasonKind
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from runtime import Runtime
from tests.factories import add_interaction, add_property, add_user

ALL = PropertyFilter()
TYPES = list(PropertyType)
ZIPCODES = ("98101", "98102", "98103")
CITIES = ("Seattle", "Renton")


def any_box(chance: random.Random) -> BuyBox:
    low = chance.choice([None, 100, 300])
    return BuyBox(
        property_types=tuple(chance.sample(TYPES, chance.randrange(3))),
        zipcodes=tuple(chance.sample(ZIPCODES, chance.randrange(3))),
        cities=tuple(chance.sample(CITIES, chance.randrange(2))),
        price=chance.choice([None, Range(low, 500), Range(200, None)]),
        bedrooms=chance.choice([None, Range(2, 3)]),
    )


async def test_the_order_of_sql_is_the_score_of_python_page_by_page(
    database: Database, tenant: Tenant
) -> None:
    chance = random.Random(7)
    async with database.work(tenant.id) as work:
        for _ in range(40):
            await add_property(
                work,
                property_type=chance.choice([None, *TYPES]),
                zipcode=chance.choice([None, *ZIPCODES]),
                city=chance.choice([None, *CITIES]),
                listing_price=chance.choice([None, 50.0, 150.0, 250.0, 550.0]),
                bedrooms=chance.choice([None, 1, 2, 3]),
                # Many ties, and numbers that no float holds exactly.
                engagement=chance.choice([0.0, 0.0, 0.1, 1 / 3, 7.0, 1000.0]),
            )
    for _ in range(12):
        box = any_box(chance)
        stated = box if buy_boxes.stated(box) else None
        listing = ColdListing(lambda: database.work(tenant.id), Property, cold_order(stated), ())
        seen = await listing.behind(None, 7)
        while page := await listing.behind(seen[-1].key, 7):
            seen += page
        assert len(seen) == 40
        expected = sorted(
            (item.row for item in seen), key=lambda one: (-cold_score(one, stated), one.id)
        )
        assert [item.key.id for item in seen] == [found.id for found in expected]
        if stated:
            assert [-item.key.value for item in seen] == [
                cold_score(item.row, stated) for item in seen
            ]
        for place, item in enumerate(seen):
            before = await listing.before(item.key, 7)
            assert [one.key for one in before] == [
                one.key for one in seen[max(0, place - 7) : place]
            ]


def scores(items: list[Recommendation]) -> list[float]:
    return [item.score for item in items]


async def test_a_stated_wish_moves_the_list_and_is_named(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    box = BuyBox(cities=("Renton",), price=Range(None, 300_000))
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        loved = await add_property(work, engagement=75.0)
        wanted = await add_property(work, city="Renton", listing_price=250_000.0)
        partly = await add_property(work, city="Renton", engagement=25.0)
    page = await rt.recommender.recommend(tenant.id, user.id, ALL, 10)
    assert [item.property.id for item in page.items][:2] == [loved.id, partly.id]
    assert scores(page.items) == [0.75, 0.5, 0.0]

    async with database.work(tenant.id) as work:
        await buy_boxes.state(work, user.id, box)
    page = await rt.recommender.recommend(tenant.id, user.id, ALL, 10)
    tied = sorted([wanted, partly], key=lambda one: one.id)
    assert [item.property.id for item in page.items] == [one.id for one in (*tied, loved)]
    assert scores(page.items) == [0.5, 0.5, 0.375]
    assert {item.ranking.version for item in page.items} == {ENGAGEMENT}

    rows = [item.property for item in page.items]
    affinity = await rt.recommender.affinity(tenant.id, [user.id], rows)
    judged = [affinity[user.id, row.id] for row in rows]
    assert [one.score for one in judged] == scores(page.items)
    assert {one.model_version for one in judged} == {None}
    (why,) = {one.reason for one in judged}
    assert why is not None
    assert why.kind is ReasonKind.NO_ACTIVE_MODEL
    assert why.text == (
        "No model is active yet, so this score follows your buy box and what your firm's "
        "investors engage with."
    )

    given = dict(
        zip(
            [row.id for row in rows],
            await rt.recommender.reasons(page.items[0].ranking, rows),
            strict=True,
        )
    )
    kinds = {key: [reason.kind for reason in found] for key, found in given.items()}
    assert kinds == {
        loved.id: [ReasonKind.FIRM_ENGAGEMENT, ReasonKind.NO_ACTIVE_MODEL],
        wanted.id: [ReasonKind.BUY_BOX, ReasonKind.NO_ACTIVE_MODEL],
        partly.id: [ReasonKind.BUY_BOX, ReasonKind.FIRM_ENGAGEMENT, ReasonKind.NO_ACTIVE_MODEL],
    }
    whole, part = given[wanted.id][0], given[partly.id][0]
    assert isinstance(whole, BuyBoxReason)
    assert isinstance(part, BuyBoxReason)
    assert whole.criteria == (buy_boxes.Criterion.CITY, buy_boxes.Criterion.PRICE)
    assert whole.text == "Meets all of your buy box: city, price."
    assert part.text == "Meets your buy box in part: city."
    engaged = given[partly.id][1]
    assert isinstance(engaged, EngagementReason)
    assert engaged.engagement == 25
    assert "your buy box and what your firm" in given[wanted.id][-1].text
    assert all(reason.strength is None for found in given.values() for reason in found)


async def test_pages_join_leave_out_what_is_excluded_since_and_end(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        houses = [
            await add_property(work, engagement=float(n % 4), zipcode=ZIPCODES[n % 3])
            for n in range(23)
        ]
        dismissed = await add_property(work)
        await add_interaction(work, user.id, dismissed.id, InteractionKind.DISMISS)
        await buy_boxes.state(work, user.id, BuyBox(zipcodes=ZIPCODES[:1]))
    whole = (await rt.recommender.recommend(tenant.id, user.id, ALL, 100)).items
    assert {item.property.id for item in whole} == {one.id for one in houses}
    gone = whole[10].property.id

    seen: list[Recommendation] = []
    after: Cursor | None = None
    while True:
        page = await rt.recommender.recommend(tenant.id, user.id, ALL, 4, after, 0.3)
        seen += page.items
        if not page.has_next:
            break
        after = page.items[-1].cursor
        if len(seen) == 4:
            async with database.work(tenant.id) as work:
                await interactions.record(work, user.id, gone, InteractionKind.DISMISS)
    assert [one.property.id for one in seen] == [
        one.property.id for one in whole if one.property.id != gone
    ]
    assert [one.rank for one in seen] == list(range(1, 23))


async def test_a_page_of_another_wish_is_refused(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        for _ in range(3):
            await add_property(work)
    page = await rt.recommender.recommend(tenant.id, user.id, ALL, 1)
    cursor = page.items[-1].cursor
    forged = cursor._replace(snapshot=cursor.snapshot._replace(version="None"))
    with pytest.raises(DomainError, match="Another model") as refused:
        await rt.recommender.recommend(tenant.id, user.id, ALL, 1, forged)
    async with database.work(tenant.id) as work:
        await buy_boxes.state(work, user.id, BuyBox(cities=("Renton",)))
    with pytest.raises(DomainError, match="buy box was changed") as refused:
        await rt.recommender.recommend(tenant.id, user.id, ALL, 1, cursor)
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED
