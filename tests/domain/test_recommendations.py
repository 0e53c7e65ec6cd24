"""What the recommender answers: with a twin, without one, and after feedback."""

from uuid import UUID, uuid4

import pytest

from domain import interactions, properties
from domain.database import Database
from domain.errors import DomainError, ErrorCode
from domain.reasons import ReasonKind
from domain.recommendations import ENGAGEMENT, Place, Recommendation
from domain.snapshots import PropertyFilter, Range
from domain.tenants import Tenant
from domain.vocabulary import InteractionKind
from jobs.reindexing import Indexer
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, add_property, build_town, train

ALL = PropertyFilter()


def ids(items: list[Recommendation]) -> list[UUID]:
    return [item.property.id for item in items]


async def everything(rt: Runtime, town: Town, user_id: UUID, size: int = 7) -> list[Recommendation]:
    """The whole list of an investor, page by page."""
    items: list[Recommendation] = []
    after: Place | None = None
    while True:
        page = await rt.recommender.recommend(town.tenant.id, user_id, ALL, size, after)
        items += page.items
        if not page.has_next:
            return items
        after = page.items[-1].place


async def test_each_side_is_shown_its_own_houses(rt: Runtime, town: Town) -> None:
    for investors, houses in ((town.southerners, town.south), (town.northerners, town.north)):
        for user_id in investors:
            page = await rt.recommender.recommend(town.tenant.id, user_id, ALL, 10)
            assert set(ids(page.items)) <= set(houses)


async def test_lists_fall_in_score_and_give_a_true_reason(
    rt: Runtime, town: Town, database: Database
) -> None:
    user_id = town.southerners[0]
    items = await everything(rt, town, user_id)
    assert len(set(ids(items))) == len(items) == 60
    assert [item.rank for item in items] == list(range(1, 61))
    scores = [item.score for item in items]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    async with database.work(town.tenant.id) as work:
        history = (await interactions.histories(work, [user_id]))[user_id]
    for item in items:
        (reason,) = item.reasons
        assert reason.property_id in history.properties.ids
        if item.property.id in history.properties.ids:
            assert reason.kind is ReasonKind.OWN_HISTORY
            assert reason.property_id == item.property.id
        else:
            assert reason.kind is ReasonKind.LIKE_HISTORY
            assert "which you" in reason.text


async def test_affinity_is_the_recommended_score(rt: Runtime, town: Town) -> None:
    for user_id in (town.southerners[1], town.northerners[1], town.idle):
        items = await everything(rt, town, user_id)
        scores = await rt.recommender.affinity(
            town.tenant.id, [user_id], [item.property for item in items]
        )
        for item in items:
            assert scores[user_id, item.property.id] == pytest.approx(item.score, abs=1e-5)


async def test_filters_hold_and_pages_are_full(rt: Runtime, town: Town) -> None:
    where = PropertyFilter(zipcodes=("98125",), price=Range(max=930_000))
    page = await rt.recommender.recommend(town.tenant.id, town.southerners[0], where, 100)
    assert set(ids(page.items)) <= set(town.north)
    async with rt.database.work(town.tenant.id) as work:
        assert len(page.items) == await properties.count(work, where)


async def test_thumbs_move_the_very_next_list(rt: Runtime, database: Database) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant)
    user_id = town.southerners[0]
    before = await everything(rt, town, user_id)
    first, last = before[0].property.id, before[-1].property.id
    assert first in town.south
    assert last in town.north

    async with database.work(town.tenant.id) as work:
        await interactions.submit_feedback(
            work, user_id, first, InteractionKind.THUMBS_DOWN, "too dark"
        )
        for liked in town.north[:5]:
            await interactions.submit_feedback(
                work, user_id, liked, InteractionKind.THUMBS_UP, None
            )
    after = await everything(rt, town, user_id)
    assert first not in ids(after)

    def mean_score(items: list[Recommendation], houses: list[UUID]) -> float:
        found = [item.score for item in items if item.property.id in set(houses) - {first}]
        return sum(found) / len(found)

    assert mean_score(after, town.north) > mean_score(before, town.north)
    assert mean_score(after, town.south) < mean_score(before, town.south)

    async with database.work(town.tenant.id) as work:
        await interactions.retract_feedback(work, user_id, first)
        for liked in town.north[:5]:
            await interactions.retract_feedback(work, user_id, liked)
    again = await everything(rt, town, user_id)
    assert ids(again) == ids(before)


async def test_feedback_between_pages_neither_repeats_nor_skips(
    rt: Runtime, database: Database
) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant)
    user_id = town.southerners[0]
    undisturbed = ids(await everything(rt, town, user_id))

    seen: list[UUID] = []
    after: Place | None = None
    disliked = undisturbed[30]
    for _ in range(20):
        page = await rt.recommender.recommend(town.tenant.id, user_id, ALL, 7, after)
        seen += ids(page.items)
        if not page.has_next:
            break
        after = page.items[-1].place
        async with database.work(town.tenant.id) as work:
            await interactions.submit_feedback(
                work, user_id, disliked, InteractionKind.THUMBS_DOWN, None
            )
            await interactions.submit_feedback(
                work, user_id, town.north[len(seen) % 5], InteractionKind.THUMBS_UP, None
            )
    assert seen == [one for one in undisturbed if one != disliked]


async def test_without_history_the_firms_engagement_ranks_and_says_so(
    rt: Runtime, town: Town
) -> None:
    items = await everything(rt, town, town.idle)
    assert len(items) == 60
    engagement = [item.property.engagement for item in items]
    assert engagement == sorted(engagement, reverse=True)
    for item in items:
        assert item.model_version == ENGAGEMENT
        kinds = {reason.kind for reason in item.reasons}
        assert ReasonKind.NO_HISTORY in kinds
        assert (ReasonKind.FIRM_ENGAGEMENT in kinds) == (item.property.engagement > 0)
    northern = PropertyFilter(zipcodes=("98125",))
    page = await rt.recommender.recommend(town.tenant.id, town.idle, northern, 10)
    assert set(ids(page.items)) <= set(town.north)


async def test_without_a_model_the_firms_engagement_ranks_and_says_so(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    town = await build_town(database, tenant)
    page = await rt.recommender.recommend(tenant.id, town.southerners[0], ALL, 5)
    assert {item.model_version for item in page.items} == {ENGAGEMENT}
    assert all(
        ReasonKind.NO_ACTIVE_MODEL in {reason.kind for reason in item.reasons}
        for item in page.items
    )
    with pytest.raises(DomainError) as refused:
        await rt.recommender.similar(tenant.id, town.south[0], ALL, 5)
    assert refused.value.code is ErrorCode.NO_ACTIVE_MODEL
    async with database.work(tenant.id) as work:
        found = await properties.get(work, town.south[0])
    assert await rt.recommender.embeddings(tenant.id, [found]) == {}


async def test_similar_properties_are_of_the_same_kind_and_paged(rt: Runtime, town: Town) -> None:
    anchor = town.south[0]
    seen: list[UUID] = []
    after: Place | None = None
    while True:
        page = await rt.recommender.similar(town.tenant.id, anchor, ALL, 11, after)
        seen += [item.property.id for item in page.items]
        assert all(0 <= item.similarity <= 1 for item in page.items)
        if not page.has_next:
            break
        after = page.items[-1].place
    assert len(seen) == len(set(seen)) == 59
    assert anchor not in seen
    assert set(seen[:29]) == set(town.south) - {anchor}


async def test_a_new_property_is_scored_at_once_and_found_once_indexed(
    rt: Runtime, database: Database
) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant)
    user_id = town.southerners[0]
    async with database.work(town.tenant.id) as work:
        new = await add_property(
            work, latitude=47.303, longitude=-122.297, zipcode="98030",
            listing_price=310_000.0, square_feet=1050.0,
        )  # fmt: skip
    score = (await rt.recommender.affinity(town.tenant.id, [user_id], [new]))[user_id, new.id]
    assert score > 0.5
    assert new.id not in ids(await everything(rt, town, user_id))
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    await indexer.index_properties(town.tenant.id, [new.id])
    assert new.id in ids(await everything(rt, town, user_id))


async def test_a_deleted_property_is_gone_before_the_index_knows(
    rt: Runtime, database: Database
) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant)
    first = (await everything(rt, town, town.southerners[0]))[0].property.id
    async with database.work(town.tenant.id) as work:
        await properties.remove(work, first)
    page = await rt.recommender.recommend(town.tenant.id, town.southerners[0], ALL, 20)
    assert first not in ids(page.items)
    assert len(page.items) == 20


async def test_a_cursor_of_another_version_is_refused(rt: Runtime, database: Database) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant)
    user_id = town.southerners[0]
    page = await rt.recommender.recommend(town.tenant.id, user_id, ALL, 5)
    await train(rt, town.tenant, seed=1)
    with pytest.raises(DomainError) as refused:
        await rt.recommender.recommend(town.tenant.id, user_id, ALL, 5, page.items[-1].place)
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED


async def test_another_tenants_ids_are_not_found(
    rt: Runtime, town: Town, other_tenant: Tenant
) -> None:
    for call in (
        rt.recommender.recommend(other_tenant.id, town.southerners[0], ALL, 5),
        rt.recommender.similar(other_tenant.id, town.south[0], ALL, 5),
        rt.recommender.recommend(other_tenant.id, uuid4(), ALL, 5),
    ):
        with pytest.raises(DomainError) as refused:
            await call
        assert refused.value.code is ErrorCode.NOT_FOUND
    found = await rt.recommender.affinity(other_tenant.id, [town.southerners[0]], [])
    assert found == {}
