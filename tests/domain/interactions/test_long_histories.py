"""Of an investor who did much, the newest acts are read and no others."""

import copy
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from sqlalchemy import insert, select, text

import runtime
from domain.contract.snapshots import HISTORY_LIMIT
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.driver import options
from domain.core.reading import Reading, Row, Statement
from domain.core.work import Work
from domain.interactions import histories
from domain.interactions.interactions import Interaction
from domain.tenants.tenants import Tenant
from tests.factories import add_property, add_user

START = datetime(2024, 1, 1, tzinfo=UTC)
KINDS = list(InteractionKind)
ACTS = text(
    """
    INSERT INTO interactions (tenant_id, user_id, property_id, kind, occurred_at)
    SELECT :tenant_id, :user_id, :property_id, 'VIEW', now() - n * interval '1 minute'
    FROM generate_series(1, :count) AS n
    """
)


class Explained:
    """A reader that runs each statement and keeps how many interactions that read."""

    def __init__(self, reading: Reading) -> None:
        self.tenant_id = reading.tenant_id
        self.acts_read = 0
        self._reading = reading

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        explained = copy.copy(statement)
        explained.text = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"
        ((plan,),) = await self._reading.fetch(explained, **values)
        for node in _nodes(json.loads(plan)[0]["Plan"]):
            if node.get("Relation Name") == "interactions":
                rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
                self.acts_read += rows * node["Actual Loops"]
        return await self._reading.fetch(statement, **values)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


async def busy_users(work: Work, users: int, acts: int) -> list[UUID]:
    house = await add_property(work)
    ids = [(await add_user(work)).id for _ in range(users)]
    for user_id in ids:
        values = {"tenant_id": work.tenant_id, "user_id": user_id, "property_id": house.id}
        await work.session.execute(ACTS, values | {"count": acts})
    return ids


async def count_anew(services: runtime.Services) -> None:
    """Have PostgreSQL count, as autovacuum would in time: from its statistics it chooses plans."""
    owner = await asyncpg.connect(**options(services.migration_database_url or ""))
    try:
        await owner.execute("ANALYZE interactions, users")
    finally:
        await owner.close()


async def test_no_more_acts_are_read_than_a_history_holds(
    database: Database, services: runtime.Services, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        (user_id,) = await busy_users(work, 1, 5000)
    await count_anew(services)
    async with database.read(tenant.id) as reading:
        reader = Explained(reading)
        found = await histories.investors(reader, [user_id])
    assert len(found.histories[user_id]) == HISTORY_LIMIT
    assert 0 < reader.acts_read <= 2 * HISTORY_LIMIT


async def test_of_many_investors_each_is_read_so(
    database: Database, services: runtime.Services, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        ids = await busy_users(work, 8, 1000)
    await count_anew(services)
    async with database.read(tenant.id) as reading:
        reader = Explained(reading)
        found = await histories.get_many(reader, ids)
    assert [len(found[one]) for one in ids] == [HISTORY_LIMIT] * len(ids)
    assert 0 < reader.acts_read <= 2 * HISTORY_LIMIT * len(ids)


async def test_the_newest_are_those_of_all_acts_in_order(
    database: Database, tenant: Tenant
) -> None:
    """Many at the same time, some known later than others."""
    rng = np.random.default_rng(3)
    async with database.work(tenant.id) as work:
        houses = [await add_property(work) for _ in range(12)]
        ids = [(await add_user(work)).id for _ in range(5)]
        did = {
            (user_id, houses[rng.integers(12)].id, KINDS[rng.integers(4)], rng.integers(30))
            for user_id, count in zip(ids, (600, 400, 129, 3, 0), strict=True)
            for _ in range(count)
        }
        acts = [
            {
                "tenant_id": tenant.id, "user_id": user_id, "property_id": house, "kind": kind,
                "occurred_at": START + timedelta(hours=int(hour)),
                "created_at": START + timedelta(days=int(rng.integers(10))),
            }
            for user_id, house, kind, hour in did
        ]  # fmt: skip
        await work.session.execute(insert(Interaction), acts)
    as_of = START + timedelta(days=7)
    async with database.work(tenant.id) as work:
        rows = list(await work.session.scalars(select(Interaction)))
        many = await histories.get_many(work, ids, as_of)
        some = (await histories.investors(work, ids, as_of)).histories
    for user_id in ids:
        known = [row for row in rows if row.user_id == user_id and row.created_at <= as_of]
        known.sort(key=lambda row: (row.occurred_at, row.id), reverse=True)
        newest = known[:HISTORY_LIMIT]
        for history in (many[user_id], some[user_id]):
            assert history.properties.ids == tuple(row.property_id for row in newest)
            assert [KINDS[kind] for kind in history.kind] == [row.kind for row in newest]
            times = [row.occurred_at.timestamp() for row in newest]
            assert history.occurred_at.tolist() == times
