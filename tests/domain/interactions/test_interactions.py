"""What investors do: recorded once, told at once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import func, select

from domain.contract.snapshots import HISTORY_LIMIT
from domain.contract.vocabulary import EXCLUDING, INTERACTION_WEIGHTS, InteractionKind
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.core.work import Job, Work
from domain.interactions import histories, interactions
from domain.interactions.interactions import Interaction
from domain.jobs.index_outbox import Marked
from domain.properties import snapshots, table
from domain.tenants.tenants import Tenant
from tests.factories import add_interaction, add_property, add_user, take_marks
from tests.waiting import until_waiting

KINDS = list(InteractionKind)


class Pair(NamedTuple):
    user_id: UUID
    property_id: UUID


@pytest.fixture
async def pair(database: Database, tenant: Tenant) -> Pair:
    async with database.work(tenant.id) as work:
        return Pair((await add_user(work)).id, (await add_property(work)).id)


async def count(database: Database, tenant: Tenant) -> int:
    async with database.work(tenant.id) as work:
        return await work.session.scalar(select(func.count()).select_from(Interaction)) or 0


async def test_the_same_act_is_recorded_once(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    ids = set()
    for occurred_at in (moment, moment, None, None):
        async with database.work(tenant.id) as work:
            act = await interactions.record(work, *pair, InteractionKind.VIEW, occurred_at)
            ids.add(act.id)
    assert len(ids) == 2
    assert await count(database, tenant) == 2


async def test_the_same_act_at_once_from_many_clients_is_recorded_once(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    async def save() -> UUID:
        async with database.work(tenant.id) as work:
            return (await interactions.record(work, *pair, InteractionKind.SAVE)).id

    async def thumb() -> UUID:
        async with database.work(tenant.id) as work:
            kind = InteractionKind.THUMBS_UP
            return (await interactions.submit_feedback(work, *pair, kind, None)).id

    assert len(set(await asyncio.gather(*(save() for _ in range(8))))) == 1
    assert len(set(await asyncio.gather(*(thumb() for _ in range(8))))) == 1
    assert await count(database, tenant) == 2


async def test_one_opinion_at_a_time(database: Database, tenant: Tenant, pair: Pair) -> None:
    for kind in (InteractionKind.THUMBS_UP, InteractionKind.THUMBS_DOWN):
        for _ in range(2):
            async with database.work(tenant.id) as work:
                await interactions.submit_feedback(work, *pair, kind, "because")
    async with database.work(tenant.id) as work:
        thumbs = await interactions.feedback(work, pair.user_id, [pair.property_id])
        assert thumbs[pair.property_id].kind == InteractionKind.THUMBS_DOWN
        known_since = thumbs[pair.property_id].created_at
        assert await histories.excluded(work, pair.user_id, EXCLUDING) == {
            pair.property_id: known_since
        }
    assert await count(database, tenant) == 1
    for expected in (True, False):
        async with database.work(tenant.id) as work:
            assert await interactions.retract_feedback(work, *pair) is expected
    assert await count(database, tenant) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_engagement_is_the_weighted_sum_and_never_negative(
    database: Database, tenant: Tenant, pair: Pair, kind: InteractionKind
) -> None:
    async with database.work(tenant.id) as work:
        if kind in ("THUMBS_UP", "THUMBS_DOWN"):
            await interactions.submit_feedback(work, *pair, kind, None)
        else:
            await interactions.record(work, *pair, kind)
    async with database.work(tenant.id) as work:
        found = await table.get(work, pair.property_id)
    assert found.engagement == max(0.0, INTERACTION_WEIGHTS[kind])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": InteractionKind.THUMBS_UP}, "kind"),
        ({"occurred_at": datetime.now(UTC) + timedelta(hours=1)}, "occurredAt"),
    ],
)
async def test_what_cannot_be_recorded(
    database: Database, tenant: Tenant, pair: Pair, change: dict[str, object], field: str
) -> None:
    arguments = {"kind": InteractionKind.VIEW} | change
    with pytest.raises(DomainError) as refused:
        async with database.work(tenant.id) as work:
            await interactions.record(work, *pair, **arguments)  # type: ignore[arg-type]
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert refused.value.field == (field,)


@pytest.mark.parametrize(("unknown", "field"), [(0, "userId"), (1, "propertyId")])
async def test_unknown_ids_are_named(
    database: Database, tenant: Tenant, pair: Pair, unknown: int, field: str
) -> None:
    ids = list(pair)
    ids[unknown] = uuid4()
    with pytest.raises(DomainError) as refused:
        async with database.work(tenant.id) as work:
            await interactions.submit_feedback(
                work, ids[0], ids[1], InteractionKind.THUMBS_UP, None
            )
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert refused.value.field == (field,)


async def test_feedback_with_another_kind_is_refused(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    with pytest.raises(DomainError, match="THUMBS_UP or THUMBS_DOWN"):
        async with database.work(tenant.id) as work:
            await interactions.submit_feedback(work, *pair, InteractionKind.VIEW, None)


async def test_histories_are_the_newest_acts_newest_first(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    async with database.work(tenant.id) as work:
        idle = await add_user(work)
        for day in range(HISTORY_LIMIT + 10):
            await add_interaction(
                work, *pair, InteractionKind.VIEW, occurred_at=start + timedelta(days=day)
            )
        found = await histories.get_many(work, [pair.user_id, idle.id])
    history = found[pair.user_id]
    newest = start + timedelta(days=HISTORY_LIMIT + 9)
    assert len(history) == len(history.properties) == HISTORY_LIMIT
    assert history.occurred_at[0] == newest.timestamp()
    assert (history.occurred_at[:-1] > history.occurred_at[1:]).all()
    assert set(history.properties.ids) == {pair.property_id}
    assert len(found[idle.id]) == 0


async def test_a_history_can_be_read_as_it_was_known(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    async with database.work(tenant.id) as work:
        await interactions.record(work, *pair, InteractionKind.SAVE)
    between = datetime.now(UTC)
    async with database.work(tenant.id) as work:
        await interactions.record(work, *pair, InteractionKind.DEAL)
        then = await histories.get_many(work, [pair.user_id], between)
        now = await histories.get_many(work, [pair.user_id])
    assert [KINDS[n] for n in then[pair.user_id].kind] == [InteractionKind.SAVE]
    assert [KINDS[n] for n in now[pair.user_id].kind] == [
        InteractionKind.DEAL,
        InteractionKind.SAVE,
    ]


async def test_the_log_is_oldest_first_and_points_at_rows(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    async with database.work(tenant.id) as work:
        other = await add_property(work)
        left_out = await add_property(work)
        for day, property_id in enumerate((other.id, pair.property_id, left_out.id, other.id)):
            await add_interaction(
                work,
                pair.user_id,
                property_id,
                InteractionKind.SAVE,
                occurred_at=start + timedelta(days=day),
            )
        rows = {pair.property_id: 0, other.id: 1}
        log = await interactions.log(work, rows)
    assert log.users == (pair.user_id,)
    assert log.property.tolist() == [1, 0, 1]
    assert log.user.tolist() == [0, 0, 0]
    assert {KINDS[n] for n in log.kind} == {InteractionKind.SAVE}


async def test_feedback_enqueues_the_projection_of_the_investor(
    database: Database, tenant: Tenant, pair: Pair, enqueued: list[Job]
) -> None:
    async with database.work(tenant.id) as work:
        await interactions.submit_feedback(work, *pair, InteractionKind.THUMBS_UP, None)
    assert [job.function for job in enqueued] == ["index_marked"]
    assert await take_marks(database, tenant) == {(Marked.USER, pair.user_id)}


async def test_owners_are_counted_once_each_and_the_index_follows(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    async with database.work(tenant.id) as work:
        other = await add_user(work)
    day = datetime(2024, 1, 1, tzinfo=UTC)
    for user_id, kind, occurred_at, owners, followed in (
        (pair.user_id, InteractionKind.SAVE, day, 0, False),
        (pair.user_id, InteractionKind.DEAL, day, 1, True),
        (pair.user_id, InteractionKind.DEAL, day + timedelta(days=1), 1, False),
        (other.id, InteractionKind.DEAL, day, 2, True),
    ):
        async with database.work(tenant.id) as work:
            await interactions.record(work, user_id, pair.property_id, kind, occurred_at)
        async with database.work(tenant.id) as work:
            found = await table.get(work, pair.property_id)
            columns = await snapshots.snapshot(work, [pair.property_id])
        assert found.owners == owners
        assert columns.owners.tolist() == snapshots.columns_of([found]).owners.tolist() == [owners]
        assert columns.owners.dtype == np.int32
        marks = await take_marks(database, tenant)
        assert ((Marked.PROPERTY, pair.property_id) in marks) == followed


async def test_owners_fall_when_a_deal_is_removed(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    async with database.work(tenant.id) as work:
        deal = await interactions.record(work, *pair, InteractionKind.DEAL)
    await take_marks(database, tenant)
    async with database.work(tenant.id) as work:
        await work.session.delete(deal)
        await work.session.flush()
        await interactions.refresh_totals(work)
    async with database.work(tenant.id) as work:
        assert (await table.get(work, pair.property_id)).owners == 0
    assert await take_marks(database, tenant) == {(Marked.PROPERTY, pair.property_id)}


async def test_deals_made_at_once_all_count(database: Database, tenant: Tenant, pair: Pair) -> None:
    async with database.work(tenant.id) as work:
        buyers = [(await add_user(work)).id for _ in range(8)]

    async def buy(user_id: UUID) -> None:
        async with database.work(tenant.id) as work:
            await interactions.record(work, user_id, pair.property_id, InteractionKind.DEAL)

    await asyncio.gather(*map(buy, buyers))
    async with database.work(tenant.id) as work:
        found = await table.get(work, pair.property_id)
    assert (found.owners, found.engagement) == (8, 8 * INTERACTION_WEIGHTS[InteractionKind.DEAL])


ACTS: dict[str, Callable[[Work, Pair], Awaitable[object]]] = {
    "record": lambda work, pair: interactions.record(work, *pair, InteractionKind.DEAL),
    "submit_feedback": lambda work, pair: interactions.submit_feedback(
        work, *pair, InteractionKind.THUMBS_UP, None
    ),
    "retract_feedback": lambda work, pair: interactions.retract_feedback(work, *pair),
}


@pytest.mark.parametrize("act", ACTS)
async def test_a_property_that_is_deleted_meanwhile_is_not_found(
    database: Database, tenant: Tenant, pair: Pair, act: str
) -> None:
    async def attempt() -> None:
        async with database.work(tenant.id) as work:
            await ACTS[act](work, pair)

    async with database.work(tenant.id) as work:
        await table.remove(work, pair.property_id)
        acting = asyncio.create_task(attempt())
        await until_waiting(database, 1)
    with pytest.raises(DomainError) as refused:
        await acting
    assert (refused.value.code, refused.value.field) == (ErrorCode.NOT_FOUND, ("propertyId",))


async def test_totals_of_all_count_a_deal_that_is_made_meanwhile(
    database: Database, tenant: Tenant, pair: Pair
) -> None:
    async def refresh() -> None:
        async with database.work(tenant.id) as work:
            viewer = await add_user(work)
            view = {
                "user_id": viewer.id,
                "property_id": pair.property_id,
                "occurred_at": func.now(),
            }
            work.session.add(Interaction(tenant_id=tenant.id, kind=InteractionKind.VIEW, **view))
            await work.session.flush()
            await interactions.refresh_totals(work)

    async with database.work(tenant.id) as work:
        await interactions.record(work, *pair, InteractionKind.DEAL)
        refreshing = asyncio.create_task(refresh())
        await until_waiting(database, 1)
    await refreshing
    async with database.work(tenant.id) as work:
        found = await table.get(work, pair.property_id)
    weights = (INTERACTION_WEIGHTS[kind] for kind in (InteractionKind.DEAL, InteractionKind.VIEW))
    assert (found.owners, found.engagement) == (1, sum(weights))
