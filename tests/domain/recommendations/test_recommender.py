"""What the recommender answers: with a twin, without one, and after feedback."""

from collections.abc import Sequence
from statistics import mean
from uuid import UUID, uuid4

import numpy as np
import pytest

from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import NUMERIC_COLUMNS, BuyBox
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.interactions import histories, interactions
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.properties import rows as property_rows
from domain.properties import search, snapshots, table
from domain.properties.rows import PropertyValues
from domain.recommendations.cold_start import ENGAGEMENT
from domain.recommendations.counterfactuals import STEPS
from domain.recommendations.discovery import RecommendationHistory
from domain.recommendations.paging import Cursor
from domain.recommendations.ranking import Ranking, Recommendation
from domain.recommendations.reasons import NearnessReason, RangeReason, ReasonKind
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from jobs.reindexing.indexer import Indexer
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, add_property, add_user, build_town, train

ALL = PropertyFilter()
ANY = RecommendationHistory.ANY


@pytest.fixture(scope="module")
async def lively(rt: Runtime, database: Database) -> Town:
    """A trained tenant whose investors act: each of those named in a test, in that test alone."""
    built = await build_town(database, await new_tenant(database))
    await train(rt, built.tenant)
    return built


def ids(items: list[Recommendation]) -> list[UUID]:
    return [item.property.id for item in items]


async def everything(
    rt: Runtime, town: Town, user_id: UUID, size: int = 7, diversity: float = 0.0
) -> list[Recommendation]:
    """The whole list of an investor, page by page, with what it has acted on."""
    items: list[Recommendation] = []
    after: Cursor | None = None
    while True:
        page = await rt.recommender.recommend(
            town.tenant.id, user_id, ALL, size, after, diversity, history=ANY
        )
        items += page.items
        if not page.has_next:
            return items
        after = page.items[-1].cursor


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
        history = (await histories.get_many(work, [user_id]))[user_id]
    own = set(history.properties.ids)
    explained = await rt.recommender.reasons(items[0].ranking, [item.property for item in items])
    for item, reasons in zip(items, explained, strict=True):
        assert len(reasons) <= 3
        kinds = [reason.kind for reason in reasons]
        if item.property.id in own and len(reasons) < 3:
            assert ReasonKind.OWN_HISTORY in kinds
        known = [reason.strength for reason in reasons if reason.strength is not None]
        assert known == sorted(known, reverse=True)
        assert all(strength > 0 for strength in known)
        for reason in reasons:
            if reason.property_id is not None:
                assert reason.property_id in own
            if reason.kind is ReasonKind.OWN_HISTORY:
                assert reason.property_id == item.property.id
            if isinstance(reason, RangeReason) and reason.value is not None:
                assert reason.low is not None
                assert reason.high is not None
                assert reason.low <= reason.value <= reason.high
            if isinstance(reason, NearnessReason):
                assert reason.distance_km <= 5
    # The best have something that speaks for them.
    assert all(explained[:10])


async def test_affinity_is_the_recommended_score(rt: Runtime, town: Town) -> None:
    for user_id in (town.southerners[1], town.northerners[1], town.idle):
        items = await everything(rt, town, user_id)
        scores = await rt.recommender.affinity(
            town.tenant.id, [user_id], [item.property for item in items]
        )
        for item in items:
            found = scores[user_id, item.property.id]
            assert found.score == pytest.approx(item.score, abs=1e-5)
            assert item.ranking.version == str(found.model_version or ENGAGEMENT)
            assert (found.reason and found.reason.kind) == (
                ReasonKind.NO_HISTORY if user_id == town.idle else None
            )


async def test_filters_hold_and_pages_are_full(rt: Runtime, town: Town) -> None:
    where = PropertyFilter(zipcodes=("98125",), price=Range(max=930_000))
    page = await rt.recommender.recommend(town.tenant.id, town.southerners[0], where, 100)
    assert set(ids(page.items)) <= set(town.north)
    async with rt.database.work(town.tenant.id) as work:
        assert len(page.items) == await search.count(work, where)


async def test_thumbs_move_the_very_next_list(
    rt: Runtime, database: Database, lively: Town
) -> None:
    town, user_id = lively, lively.southerners[0]
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
    rt: Runtime, database: Database, lively: Town
) -> None:
    town, user_id = lively, lively.southerners[1]
    undisturbed = ids(await everything(rt, town, user_id))

    seen: list[UUID] = []
    after: Cursor | None = None
    disliked = undisturbed[30]
    # Which house is the thirtieth is not known: an opinion of the same one would replace the other.
    liked = [one for one in town.north if one != disliked]
    for _ in range(20):
        page = await rt.recommender.recommend(town.tenant.id, user_id, ALL, 7, after, history=ANY)
        seen += ids(page.items)
        if not page.has_next:
            break
        after = page.items[-1].cursor
        async with database.work(town.tenant.id) as work:
            await interactions.submit_feedback(
                work, user_id, disliked, InteractionKind.THUMBS_DOWN, None
            )
            await interactions.submit_feedback(
                work, user_id, liked[len(seen) % 5], InteractionKind.THUMBS_UP, None
            )
    assert seen == [one for one in undisturbed if one != disliked]


async def test_pages_of_a_diverse_list_are_the_list_whatever_happens_between(
    rt: Runtime, database: Database, lively: Town
) -> None:
    town, user_id = lively, lively.southerners[2]
    plain = await everything(rt, town, user_id)
    undisturbed = await everything(rt, town, user_id, 100, diversity=0.6)
    assert set(ids(undisturbed)) == set(ids(plain))
    assert ids(undisturbed) != ids(plain)
    assert ids(undisturbed)[0] == ids(plain)[0]
    by_id = {item.property.id: item.score for item in plain}
    assert {item.property.id: item.score for item in undisturbed} == pytest.approx(by_id, abs=1e-5)
    assert ids(await everything(rt, town, user_id, 11, diversity=0.6)) == ids(undisturbed)

    seen: list[Recommendation] = []
    after: Cursor | None = None
    disliked = {undisturbed[2].property.id, undisturbed[30].property.id}
    liked = [one for one in town.north if one not in disliked]
    while True:
        page = await rt.recommender.recommend(
            town.tenant.id, user_id, ALL, 7, after, 0.6, history=ANY
        )
        seen += page.items
        if not page.has_next:
            break
        assert len(page.items) == 7
        after = page.items[-1].cursor
        async with database.work(town.tenant.id) as work:
            for one in disliked:
                await interactions.submit_feedback(
                    work, user_id, one, InteractionKind.THUMBS_DOWN, None
                )
            await interactions.submit_feedback(
                work, user_id, liked[len(seen) % 5], InteractionKind.THUMBS_UP, None
            )
    assert ids(seen) == [one for one in ids(undisturbed) if one != undisturbed[30].property.id]
    assert [item.rank for item in seen] == list(range(1, 60))

    first = await rt.recommender.recommend(town.tenant.id, user_id, ALL, 7, None, 0.6)
    with pytest.raises(DomainError) as refused:
        await rt.recommender.recommend(town.tenant.id, user_id, ALL, 7, first.items[-1].cursor, 0.5)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, ("after",))


async def test_pages_of_a_long_list_are_of_one_list(rt: Runtime, database: Database) -> None:
    town = await build_town(database, await new_tenant(database), houses=400)
    await train(rt, town.tenant, epochs=2)
    user_id = town.northerners[0]
    for diversity in (0.0, 0.5):
        found = ids(await everything(rt, town, user_id, 45, diversity))
        # A diverse list ends with the candidates of its first page.
        assert len(found) == len(set(found)) >= (200 if diversity else 300)
        if diversity > 0:
            # Whatever the size of the pages; a plain list may look deeper from a page on.
            assert ids(await everything(rt, town, user_id, 100, diversity)) == found


async def test_pages_of_diverse_similar_properties_are_the_list(rt: Runtime, town: Town) -> None:
    async def listed(size: int, diversity: float) -> list[UUID]:
        seen: list[UUID] = []
        after: Cursor | None = None
        while True:
            page = await rt.recommender.likeness.similar(
                town.tenant.id, town.south[0], ALL, size, after, diversity
            )
            seen += [item.property.id for item in page.items]
            if not page.has_next:
                return seen
            after = page.items[-1].cursor

    whole = await listed(100, 0.7)
    assert await listed(7, 0.7) == whole
    plain = await listed(100, 0.0)
    assert set(whole) == set(plain)
    assert whole != plain


async def test_a_list_whose_feedback_was_taken_back_expires(
    rt: Runtime, database: Database, lively: Town
) -> None:
    town, liked = lively, lively.north[0]
    async with database.work(town.tenant.id) as work:
        await interactions.submit_feedback(work, town.idle, liked, InteractionKind.THUMBS_UP, None)
    page = await rt.recommender.recommend(town.tenant.id, town.idle, ALL, 5)
    assert page.items[0].ranking.model is not None
    async with database.work(town.tenant.id) as work:
        await interactions.retract_feedback(work, town.idle, liked)
    with pytest.raises(DomainError, match="taken back") as refused:
        await rt.recommender.recommend(town.tenant.id, town.idle, ALL, 5, page.items[-1].cursor)
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED


async def lifting_steps(
    rt: Runtime, ranking: Ranking, rows: Sequence[PropertyValues], threshold: float
) -> list[list[float]]:
    """The changes of each price, in the order of trial, that lift the score above the threshold."""
    assert ranking.model is not None
    columns = snapshots.columns_of([row for row in rows for _ in STEPS])
    change = 1 + np.tile(STEPS, len(rows))
    price = columns.numeric[:, NUMERIC_COLUMNS.index("listing_price")]
    price[:] = [round(one, 2) for one in (price * change).tolist()]
    columns.numeric[:, NUMERIC_COLUMNS.index("cap_rate")] /= change
    (scores,) = await rt.twin.score(ranking.model, [ranking.history], columns)
    lifts = np.reshape(scores, (len(rows), len(STEPS))) > threshold
    return [
        [step for step, lifted in zip(STEPS, of_row, strict=True) if lifted] for of_row in lifts
    ]


async def test_the_price_that_would_bring_it_among_the_best(rt: Runtime, town: Town) -> None:
    items = await everything(rt, town, town.southerners[0], 60)
    rows = [item.property for item in items]
    found = await rt.recommender.counterfactuals(items[0].ranking, rows)
    assert found[:10] == [None] * 10
    assert any(found[10:])
    lifting = await lifting_steps(rt, items[0].ranking, rows[10:30], items[9].score)
    for row, change, steps in zip(rows[10:30], found[10:30], lifting, strict=True):
        assert (change and change.change) == (steps[0] if steps else None)
        if change:
            assert row.listing_price is not None
            price = row.listing_price * (1 + change.change)
            assert change.listing_price == pytest.approx(price, abs=0.01)


async def test_no_price_is_named_that_the_filter_shuts_out(rt: Runtime, town: Town) -> None:
    shut_out = 0
    for investor, low, high in (
        (town.southerners[0], 900_000, 925_000),
        (town.southerners[0], 300_000, 320_000),
        (town.northerners[0], 300_000, 325_000),
        (town.northerners[0], 920_000, 940_000),
    ):
        where = PropertyFilter(price=Range(low, high))
        page = await rt.recommender.recommend(town.tenant.id, investor, where, 60, history=ANY)
        ranking, rows = page.items[0].ranking, [item.property for item in page.items]
        found = await rt.recommender.counterfactuals(ranking, rows)
        lifting = await lifting_steps(rt, ranking, rows[10:], page.items[9].score)
        for row, change, steps in zip(rows[10:], found[10:], lifting, strict=True):
            assert row.listing_price is not None
            allowed = [step for step in steps if low <= row.listing_price * (1 + step) <= high]
            shut_out += allowed[:1] != steps[:1]
            assert (change and change.change) == (allowed[0] if allowed else None)
    assert shut_out


async def test_no_price_is_named_for_a_short_list_or_without_a_model(
    rt: Runtime, town: Town
) -> None:
    few = PropertyFilter(price=Range(max=305_000))
    for user_id, where in ((town.southerners[0], few), (town.idle, ALL)):
        page = await rt.recommender.recommend(town.tenant.id, user_id, where, 20)
        rows = [item.property for item in page.items]
        assert rows
        assert where is ALL or len(rows) < 10
        found = await rt.recommender.counterfactuals(page.items[0].ranking, rows)
        assert found == [None] * len(rows)


async def test_a_buy_box_counts_for_an_investor_with_a_short_history(
    rt: Runtime, database: Database, lively: Town
) -> None:
    town = lively
    async with database.work(town.tenant.id) as work:
        user_id = (await add_user(work)).id
        await interactions.record(work, user_id, town.south[0], InteractionKind.VIEW)
    before = {one.property.id: one.score for one in await everything(rt, town, user_id)}
    async with database.work(town.tenant.id) as work:
        await buy_boxes.state(work, user_id, BuyBox(zipcodes=("98125",)))
    after = await everything(rt, town, user_id)
    rise = {one.property.id: one.score - before[one.property.id] for one in after}
    assert all(rise[north] > rise[south] for north in town.north for south in town.south)


async def test_without_history_the_firms_engagement_ranks_and_says_so(
    rt: Runtime, town: Town
) -> None:
    items = await everything(rt, town, town.idle)
    assert len(items) == 60
    engagement = [item.property.engagement for item in items]
    assert engagement == sorted(engagement, reverse=True)
    explained = await rt.recommender.reasons(items[0].ranking, [item.property for item in items])
    for item, reasons in zip(items, explained, strict=True):
        assert item.ranking.version == ENGAGEMENT
        kinds = {reason.kind for reason in reasons}
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
    assert {item.ranking.version for item in page.items} == {ENGAGEMENT}
    explained = await rt.recommender.reasons(
        page.items[0].ranking, [item.property for item in page.items]
    )
    assert all(reasons[-1].kind is ReasonKind.NO_ACTIVE_MODEL for reasons in explained)
    async with database.work(tenant.id) as work:
        found = await table.get(work, town.south[0])
    assert await rt.recommender.embeddings(tenant.id, [found]) == {}


async def test_similar_properties_are_of_the_same_kind_and_paged(rt: Runtime, town: Town) -> None:
    anchor = town.south[0]
    seen: list[UUID] = []
    similarity: dict[UUID, float] = {}
    after: Cursor | None = None
    while True:
        page = await rt.recommender.likeness.similar(town.tenant.id, anchor, ALL, 11, after)
        seen += [item.property.id for item in page.items]
        similarity |= {item.property.id: item.similarity for item in page.items}
        if not page.has_next:
            break
        after = page.items[-1].cursor
    assert len(seen) == len(set(seen)) == 59
    assert anchor not in seen
    assert seen == sorted(seen, key=lambda one: -similarity[one])
    assert all(0 <= one <= 1 for one in similarity.values())
    own, other = (
        mean(similarity[one] for one in half if one != anchor) for half in (town.south, town.north)
    )
    # Of so small a town a few houses may be told apart badly.
    assert own > other + 0.05


async def test_a_property_is_scored_at_once_found_once_indexed_and_gone_when_it_is_deleted(
    rt: Runtime, database: Database, lively: Town
) -> None:
    town, user_id = lively, lively.southerners[3]
    async with database.work(town.tenant.id) as work:
        new = await add_property(
            work, latitude=47.303, longitude=-122.297, zipcode="98030",
            listing_price=310_000.0, square_feet=1050.0,
        )  # fmt: skip
        far = list((await property_rows.get_many(work, town.north)).values())
    scores = await rt.recommender.affinity(town.tenant.id, [user_id], [new, *far])
    assert scores[user_id, new.id].score > max(scores[user_id, one.id].score for one in far)
    assert new.id not in ids(await everything(rt, town, user_id))
    async with database.work(town.tenant.id) as work:
        await index_outbox.mark(work, Marked.PROPERTY, [new.id])
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    await indexer.index_marked(town.tenant.id)
    found = ids(await everything(rt, town, user_id))
    assert new.id in found

    # Before the index knows; a page that it was on is as full as ever.
    async with database.work(town.tenant.id) as work:
        await table.remove(work, new.id)
    size = found.index(new.id) + 1
    page = await rt.recommender.recommend(town.tenant.id, user_id, ALL, size, history=ANY)
    assert ids(page.items) == [one for one in found if one != new.id][:size]
    await indexer.index_marked(town.tenant.id)


async def test_a_cursor_of_another_version_is_refused(rt: Runtime, database: Database) -> None:
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant, epochs=2)
    user_id = town.southerners[0]
    page = await rt.recommender.recommend(town.tenant.id, user_id, ALL, 5)
    await train(rt, town.tenant, epochs=2, seed=1)
    with pytest.raises(DomainError) as refused:
        await rt.recommender.recommend(town.tenant.id, user_id, ALL, 5, page.items[-1].cursor)
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED


async def test_another_tenants_ids_are_not_found(
    rt: Runtime, town: Town, other_tenant: Tenant
) -> None:
    for call in (
        rt.recommender.recommend(other_tenant.id, town.southerners[0], ALL, 5),
        rt.recommender.likeness.similar(other_tenant.id, town.south[0], ALL, 5),
        rt.recommender.recommend(other_tenant.id, uuid4(), ALL, 5),
    ):
        with pytest.raises(DomainError) as refused:
            await call
        assert refused.value.code is ErrorCode.NOT_FOUND
    found = await rt.recommender.affinity(other_tenant.id, [town.southerners[0]], [])
    assert found == {}
