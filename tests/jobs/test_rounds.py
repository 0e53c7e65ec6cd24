"""Rounds over all tenants: none left out, none twice at once."""

import asyncio
from uuid import UUID, uuid4

import pytest

from domain.core.database import Database
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from jobs.schedules import Round


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """All tenants that there are."""
    listed = [Tenant(id=uuid4()) for _ in range(3)]

    async def list_all(_: object) -> list[Tenant]:
        return listed

    monkeypatch.setattr(tenants, "list_all", list_all)
    return sorted(one.id for one in listed)


async def test_a_round_that_is_cut_short_is_gone_on_with(
    database: Database, three: list[UUID]
) -> None:
    first, second, third = three
    seen: list[UUID] = []

    async def see_to(tenant_id: UUID) -> None:
        seen.append(tenant_id)
        if seen == [first, second]:
            await asyncio.sleep(60)

    going = Round()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await going.go(database, see_to, "see to")
    assert seen == [first, second]

    await going.go(database, see_to, "see to")
    assert seen[2:] == [third, first, second]
    await going.go(database, see_to, "see to")
    assert seen[5:] == [third, first, second]


async def test_a_round_under_way_is_not_begun_again(database: Database, three: list[UUID]) -> None:
    seen: list[UUID] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def see_to(tenant_id: UUID) -> None:
        seen.append(tenant_id)
        begun.set()
        await go_on.wait()

    going = Round()
    slow = asyncio.create_task(going.go(database, see_to, "see to"))
    await begun.wait()
    await going.go(database, see_to, "see to")
    assert len(seen) == 1
    go_on.set()
    await slow
    assert seen == three


async def test_trouble_with_one_tenant_is_logged(
    database: Database, three: list[UUID], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[UUID] = []

    async def see_to(tenant_id: UUID) -> None:
        seen.append(tenant_id)
        if tenant_id == three[0]:
            raise ConnectionError("no route")

    await Round().go(database, see_to, "look after")
    assert seen == three
    assert f"could not look after tenant {three[0]}" in caplog.text
