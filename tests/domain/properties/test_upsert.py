import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from domain.core.database import Database
from domain.core.errors import DomainError
from domain.core.outcome import Outcome
from domain.core.work import Job, Work
from domain.jobs.index_outbox import Marked
from domain.properties.input import PROPERTY_COLUMNS, PropertyInput
from domain.properties.table import Property
from domain.properties.upsert import GIVEN, UPSERT_LIMIT, Upserted, upsert
from domain.tenants.tenants import Tenant
from tests.factories import take_marks


@pytest.fixture
async def work(database: Database, tenant: Tenant) -> AsyncIterator[Work]:
    async with database.work(tenant.id) as opened:
        yield opened


async def send(database: Database, tenant: Tenant, *items: dict[str, Any]) -> list[Upserted]:
    async with database.work(tenant.id) as work:
        return await upsert(work, [PropertyInput(**item) for item in items])


async def stored(database: Database, tenant: Tenant) -> dict[str, Property]:
    async with database.work(tenant.id) as work:
        return {one.external_id: one for one in await work.session.scalars(select(Property))}


def test_the_columns_of_the_rules_are_those_of_the_table() -> None:
    assert set(PROPERTY_COLUMNS) <= set(Property.__table__.columns.keys())
    assert PROPERTY_COLUMNS[0] == "external_id"
    assert len(set(GIVEN.values())) == len(PROPERTY_COLUMNS)
    assert max(GIVEN.values()) < 2**31


async def test_create_update_and_leave_alone(
    database: Database, tenant: Tenant, enqueued: list[Job]
) -> None:
    (created,) = await send(database, tenant, {"external_id": "A", "city": "Kent", "bedrooms": 3})
    assert created.outcome is Outcome.CREATED
    before = (await stored(database, tenant))["A"]
    assert (before.id, before.city, before.bedrooms) == (created.property_id, "Kent", 3)
    assert before.provenance["city"]["source"] == "api"

    await take_marks(database, tenant)
    enqueued.clear()
    results = await send(
        database,
        tenant,
        {"external_id": "B", "source_system": "crm", "listed_at": datetime(2024, 5, 1, tzinfo=UTC)},
        {"external_id": "A", "city": "Kent"},
    )
    assert [result.outcome for result in results] == [Outcome.CREATED, Outcome.UNCHANGED]
    after = await stored(database, tenant)
    assert [result.property_id for result in results] == [after["B"].id, created.property_id]
    assert after["A"].updated_at == before.updated_at
    assert after["B"].listed_at == datetime(2024, 5, 1, tzinfo=UTC)
    assert after["B"].provenance["listed_at"]["source"] == "crm"
    assert [job.function for job in enqueued] == ["index_marked"]
    assert await take_marks(database, tenant) == {(Marked.PROPERTY, after["B"].id)}


async def test_each_item_sets_its_own_fields(database: Database, tenant: Tenant) -> None:
    whole = {"city": "Kent", "state": "WA", "bedrooms": 3, "source_system": "crm"}
    await send(database, tenant, *({"external_id": name, **whole} for name in "ABC"))
    before = await stored(database, tenant)
    results = await send(
        database,
        tenant,
        {"external_id": "A", "city": "Auburn"},
        {"external_id": "B", "state": None, "bedrooms": 3},
        {"external_id": "C"},
    )
    assert [result.outcome for result in results] == [
        Outcome.UPDATED,
        Outcome.UPDATED,
        Outcome.UNCHANGED,
    ]
    found = await stored(database, tenant)
    values = {
        name: (one.city, one.state, one.bedrooms, one.source_system) for name, one in found.items()
    }
    assert values == {
        "A": ("Auburn", "WA", 3, "crm"),
        "B": ("Kent", None, 3, "crm"),
        "C": ("Kent", "WA", 3, "crm"),
    }
    assert found["A"].provenance["city"]["source"] == "api"
    assert found["A"].provenance["state"] == before["A"].provenance["state"]
    assert found["B"].provenance.keys() == {"city", "bedrooms"}


async def test_refusals_change_nothing(
    database: Database, tenant: Tenant, work: Work, enqueued: list[Job]
) -> None:
    with pytest.raises(DomainError, match="'A' appears twice") as caught:
        await send(database, tenant, {"external_id": "A"}, {"external_id": "A"})
    assert caught.value.field == ("1", "externalId")
    many = [PropertyInput(external_id=str(number)) for number in range(UPSERT_LIMIT + 1)]
    with pytest.raises(DomainError, match="501 properties: send at most 500"):
        await upsert(work, many)
    assert await upsert(work, []) == []
    assert await stored(database, tenant) == {}
    assert enqueued == []


async def test_the_limit_itself_is_fine(work: Work) -> None:
    items = [PropertyInput(external_id=f"{number}") for number in range(UPSERT_LIMIT)]
    results = await upsert(work, items[::-1])
    found = {one.id: one.external_id for one in await work.session.scalars(select(Property))}
    assert [found[result.property_id] for result in results] == [
        item.external_id for item in items[::-1]
    ]


async def test_tenants_have_their_own_external_ids(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    (mine,) = await send(database, tenant, {"external_id": "A", "bedrooms": 1})
    (theirs,) = await send(database, other_tenant, {"external_id": "A", "bedrooms": 2})
    assert theirs.outcome is Outcome.CREATED
    assert mine.property_id != theirs.property_id
    assert (await stored(database, tenant))["A"].bedrooms == 1


async def test_concurrent_upserts_of_the_same_ids(database: Database, tenant: Tenant) -> None:
    async def one(bedrooms: int) -> list[Upserted]:
        names = [str(number) for number in range(100)][:: 1 if bedrooms % 2 else -1]
        items = [{"external_id": name, "bedrooms": bedrooms} for name in names]
        return await send(database, tenant, *items)

    results = await asyncio.gather(*(one(bedrooms) for bedrooms in range(1, 7)))
    outcomes = [result.outcome for batch in results for result in batch]
    assert outcomes.count(Outcome.CREATED) == 100
    assert outcomes.count(Outcome.UPDATED) == 500
    ids: set[UUID] = {result.property_id for batch in results for result in batch}
    assert len(ids) == 100
