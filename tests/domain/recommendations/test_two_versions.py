"""While two versions answer: each investor's answers come from its own, and none mixes them."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.interactions import histories
from domain.interactions.interactions import submit_feedback
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.model_registry import comparison, model_versions
from domain.properties import rows
from domain.recommendations.paging import Cursor, Page
from domain.recommendations.ranking import Recommendation
from domain.tenants import experiments, policies
from jobs.reindexing.indexer import Indexer
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, add_property, build_town, train

ALL = PropertyFilter()


@pytest.fixture(scope="module")
async def versions(rt: Runtime, database: Database) -> Town:
    """A town with two versions in the index, the second one active."""
    town = await build_town(database, await new_tenant(database))
    async with database.work(town.tenant.id) as work:
        # Two epochs make no good version, but another one.
        await policies.change(work, {"least_f1": 0, "least_accuracy": 0, "ndcg_tolerance": 1})
    for seed in (1, 2):
        await train(rt, town.tenant, epochs=2, seed=seed)
    return town


@pytest.fixture
async def split(database: Database, versions: Town) -> AsyncIterator[Town]:
    """That town, in which no experiment runs yet; that of the test ends with it."""
    yield versions
    async with database.work(versions.tenant.id) as work:
        await experiments.stop(work)


async def begin(database: Database, town: Town) -> dict[UUID, UUID | None]:
    """Start an experiment that has investors in both arms; the version of each investor."""
    people = [*town.southerners, *town.northerners, town.idle]
    while True:
        async with database.work(town.tenant.id) as work:
            await comparison.start(work, 1, None, 0.5)
        async with database.work(town.tenant.id) as work:
            versions = (await histories.investors(work, people)).versions
            if len({versions[one] for one in people[:-1]}) == 2:
                return versions
            await experiments.stop(work)


async def first_page(rt: Runtime, town: Town, user_id: UUID) -> Page[Recommendation]:
    return await rt.recommender.recommend(town.tenant.id, user_id, ALL, 7)


async def test_answers_for_an_investor_are_all_of_its_version(
    rt: Runtime, database: Database, split: Town
) -> None:
    versions = await begin(database, split)
    async with database.work(split.tenant.id) as work:
        found = list((await rows.get_many(work, split.south + split.north)).values())
    # At once for investors of both arms.
    affinity = await rt.recommender.affinity(split.tenant.id, list(versions), found)
    assert len(affinity) == len(versions) * len(found)
    for user_id, version in versions.items():
        page = await first_page(rt, split, user_id)
        ranked_by = {item.ranking.version for item in page.items}
        assert ranked_by == {"engagement" if user_id == split.idle else str(version)}
        for item in page.items:
            judged = affinity[user_id, item.property.id]
            assert judged.score == pytest.approx(item.score, abs=1e-6)
            assert item.ranking.version == str(judged.model_version or "engagement")
        # The list that this version alone would give, and its reasons.
        if user_id != split.idle:
            assert version is not None
            ranking = page.items[0].ranking
            assert ranking.model == ModelKey(split.tenant.id, version)
            alone = await rt.twin.rank(ranking.model, ranking.history, ALL, ranking.exclude)
            assert [item.property.id for item in page.items] == [
                one.property_id for one in alone.items[:7]
            ]
        assert all(await rt.recommender.reasons(page.items[0].ranking, found[:3]))


async def test_what_is_asked_without_an_investor_is_answered_by_the_active_version(
    rt: Runtime, database: Database, split: Town
) -> None:
    async def answers() -> tuple[object, ...]:
        async with database.work(split.tenant.id) as work:
            (anchor,) = (await rows.get_many(work, [split.south[0]])).values()
        similar = await rt.recommender.likeness.similar(split.tenant.id, anchor.id, ALL, 9)
        kin = await rt.recommender.audience.similar(split.tenant.id, split.southerners[0], 9)
        return (
            [
                (item.property.id, item.similarity, item.cursor.snapshot.version)
                for item in similar.items
            ],
            [(item.user.id, item.score, item.cursor.snapshot.version) for item in kin.items],
            await rt.recommender.embeddings(split.tenant.id, [anchor]),
        )

    before = await answers()
    await begin(database, split)
    assert await answers() == before


async def test_a_cursor_goes_on_where_the_version_stays_and_expires_where_it_changes(
    rt: Runtime, database: Database, split: Town
) -> None:
    people = [*split.southerners, *split.northerners]

    async def second_page(user_id: UUID, after: Cursor) -> list[UUID] | None:
        """None where the cursor expired."""
        try:
            page = await rt.recommender.recommend(split.tenant.id, user_id, ALL, 7, after)
        except DomainError as refused:
            if refused.code is ErrorCode.CURSOR_EXPIRED:
                return None
            raise
        assert {item.ranking.version for item in page.items} == {after.snapshot.version}
        return [item.property.id for item in page.items]

    async def cursors() -> dict[UUID, Cursor]:
        return {one: (await first_page(rt, split, one)).items[-1].cursor for one in people}

    async with database.work(split.tenant.id) as work:
        active = await model_versions.active(work)
    assert active is not None
    before = await cursors()
    pages = {one: await second_page(one, before[one]) for one in people}
    assert None not in pages.values()

    versions = await begin(database, split)
    moved = {one for one in people if versions[one] != active.id}
    during = {one: await second_page(one, before[one]) for one in people}
    assert during == {one: None if one in moved else pages[one] for one in people}

    own = await cursors()
    async with database.work(split.tenant.id) as work:
        await experiments.stop(work)
    after = {one: await second_page(one, own[one]) for one in people}
    assert {one for one, page in after.items() if page is None} == moved
    # And what began before the experiment goes on after it as if there had been none.
    assert {one: await second_page(one, before[one]) for one in people} == pages


async def test_both_versions_hear_of_what_changes(
    rt: Runtime, database: Database, split: Town
) -> None:
    versions = await begin(database, split)
    async with database.work(split.tenant.id) as work:
        assert set(versions.values()) == set(await model_versions.indexed(work))
        house = await add_property(
            work, latitude=47.303, longitude=-122.297, zipcode="98030", listing_price=310_000.0
        )
        await index_outbox.mark(work, Marked.PROPERTY, [house.id])
        for one in split.southerners:
            await submit_feedback(work, one, split.south[0], InteractionKind.THUMBS_DOWN, None)
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    await indexer.index_marked(split.tenant.id)

    for one in split.southerners:
        page = await rt.recommender.recommend(split.tenant.id, one, ALL, 100)
        shown = [item.property.id for item in page.items]
        assert house.id in shown
        assert split.south[0] not in shown


async def test_an_experiment_of_another_tenant_moves_nobody(
    rt: Runtime, database: Database, split: Town, town: Town
) -> None:
    before = await first_page(rt, town, town.southerners[0])
    await begin(database, split)
    after = await first_page(rt, town, town.southerners[0])
    assert [item.property.id for item in after.items] == [item.property.id for item in before.items]
    assert after.items[0].ranking.model == before.items[0].ranking.model
