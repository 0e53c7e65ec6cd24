"""Stored moments are those of PostgreSQL's clock, whatever the program's own says."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.interactions import histories, interactions
from domain.interactions.interactions import Interaction
from domain.members import members
from domain.members.members import MemberInput
from domain.properties import table, upsert
from domain.properties.input import PropertyInput
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from domain.users.users import User
from tests.clock import app_clock
from tests.factories import add_interaction, add_property, add_user

WRONG = [timedelta(hours=-1), timedelta(hours=1)]


async def database_time(database: Database) -> datetime:
    async with database.work(None) as work:
        found = await work.session.scalar(select(func.clock_timestamp()))
    assert isinstance(found, datetime)
    return found


@pytest.mark.parametrize("ahead", WRONG)
async def test_what_is_written_bears_the_time_of_the_database(
    database: Database, tenant: Tenant, ahead: timedelta
) -> None:
    async with database.work(tenant.id) as work:
        user, house = await add_user(work), await add_property(work)
    before = await database_time(database)
    with app_clock(ahead):
        async with database.work(tenant.id) as work:
            thumb = await interactions.submit_feedback(
                work, user.id, house.id, InteractionKind.THUMBS_UP, None
            )
            act = await interactions.record(work, user.id, house.id, InteractionKind.SAVE)
            stated = await buy_boxes.state(work, user.id, BuyBox(cities=("Seattle",)))
            sent = [MemberInput(external_id=user.external_id, active=False)]
            ((member, _),) = [(one.user, one.outcome) for one in await members.upsert(work, sent)]
            offered = [PropertyInput(external_id="x", city="Kent")]
            (upserted,) = await upsert.upsert(work, offered)
    after = await database_time(database)
    async with database.work(tenant.id) as work:
        written = await table.get(work, upserted.property_id)
    observed = datetime.fromisoformat(written.provenance["city"]["observed_at"])
    for moment in (
        thumb.occurred_at, thumb.created_at, act.occurred_at, act.created_at,
        stated.buy_box_set_at, member.deactivated_at, observed + timedelta(seconds=1),
    ):  # fmt: skip
        assert moment is not None
        assert before <= moment <= after + timedelta(seconds=1)


@pytest.mark.parametrize("ahead", WRONG)
async def test_histories_end_at_the_time_of_the_database(
    database: Database, tenant: Tenant, ahead: timedelta
) -> None:
    async with database.work(tenant.id) as work:
        user, house = await add_user(work), await add_property(work)
        await add_interaction(work, user.id, house.id, InteractionKind.SAVE)
    before = await database_time(database)
    with app_clock(ahead):
        async with database.read(tenant.id) as reading:
            many = await histories.get_many(reading, [user.id])
            one = (await histories.investors(reading, [user.id])).histories
    after = await database_time(database)
    for history in (many[user.id], one[user.id]):
        assert len(history) == 1
        assert before.timestamp() <= history.as_of <= after.timestamp()


async def test_a_day_is_one_of_the_database(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        user, house = await add_user(work), await add_property(work)
    ids = set()
    for ahead in (timedelta(), timedelta(days=1), timedelta(days=-1)):
        with app_clock(ahead):
            async with database.work(tenant.id) as work:
                kind = InteractionKind.VIEW
                ids.add((await interactions.record(work, user.id, house.id, kind)).id)
    assert len(ids) == 1


async def test_an_act_that_waited_comes_after_the_one_it_waited_for(
    database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        houses = [await add_property(work) for _ in range(2)]
    locked, begun = asyncio.Event(), asyncio.Event()

    async def first() -> Interaction:
        async with database.work(tenant.id) as work:
            await work.session.execute(select(User.id).where(User.id == user.id).with_for_update())
            locked.set()
            await begun.wait()
            return await interactions.record(work, user.id, houses[0].id, InteractionKind.SAVE)

    async def second() -> Interaction:
        await locked.wait()
        async with database.work(tenant.id) as work:
            # Its transaction begins before the first act is written.
            await work.session.execute(select(func.now()))
            begun.set()
            return await interactions.record(work, user.id, houses[1].id, InteractionKind.SAVE)

    one, two = await asyncio.gather(first(), second())
    assert one.created_at < two.created_at
    assert one.occurred_at < two.occurred_at
