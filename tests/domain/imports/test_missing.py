"""How much ``delete_missing`` may delete."""

from collections.abc import Awaitable, Callable

import pytest

from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.imports.missing import DeletionLimit
from domain.imports.report import ImportRefusedError, ImportReport
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from tests.factories import add_interaction, add_user, take_marks

Load = Callable[..., Awaitable[ImportReport]]
Stored = Callable[..., Awaitable[dict[str, Property]]]


def feed(*numbers: int, prefix: str = "D") -> str:
    return "external_id,city\n" + "".join(f"{prefix}{number},Kent\n" for number in numbers)


@pytest.mark.parametrize(
    ("written", "count", "total", "allowed"),
    [
        ("10%", 1, 10, True),
        ("10%", 2, 10, False),
        ("10%", 10_000, 100_000, True),
        ("10%", 10_001, 100_000, False),
        ("10%", 1, 5, False),
        ("0.1%", 3, 3_000, True),
        ("0.1%", 4, 3_000, False),
        ("10%", 0, 0, True),
        ("0", 0, 5, True),
        ("0%", 1, 5, False),
        ("3", 3, 3, True),
        ("3", 4, 1_000, False),
        (" 100% ", 7, 7, True),
    ],
)
def test_a_limit_is_a_share_or_a_number(
    written: str, count: int, total: int, allowed: bool
) -> None:
    limit = DeletionLimit.parse(written)
    assert limit.allows(count, total) is allowed
    assert str(limit) == written.strip()


@pytest.mark.parametrize(
    "written", ["", "%", "-1", "101%", "1e3", "1.5", "10 %", "nan%", "٣", "all"]
)
def test_what_is_no_limit_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"use a percentage such as 10%"):
        DeletionLimit.parse(written)


@pytest.mark.parametrize(
    "cut_short",
    [
        feed(0),
        "external_id,city\n" + "D0,Kent\nD1,Ke",
        feed(*range(1_000, 1_100)),
        feed(*range(100), prefix="other-"),
        "city,external_id\n" + "".join(f"D{number},Kent\n" for number in range(100)),
    ],
    ids=["cut short", "cut in a row", "other ids", "another portal", "another column as the id"],
)
async def test_a_file_that_would_delete_most_is_refused(
    database: Database, tenant: Tenant, load: Load, stored: Stored, cut_short: str
) -> None:
    await load(feed(*range(100)))
    before = await stored()
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        await add_interaction(work, user.id, before["D7"].id, InteractionKind.SAVE)
    await take_marks(database, tenant)
    with pytest.raises(ImportRefusedError) as refused:
        await load(cut_short, delete_missing=True)
    assert "of 100 properties (" in str(refused.value)
    assert "Their 1 interactions would go too" in str(refused.value)
    assert "would be deleted, more than --delete-at-most 10%; nothing was imp" in str(refused.value)
    after = await stored()
    assert {name: one.city for name, one in after.items()} == dict.fromkeys(before, "Kent")
    assert await take_marks(database, tenant) == set()


async def test_the_refusal_names_what_would_go(load: Load) -> None:
    await load(feed(*range(100)))
    with pytest.raises(
        ImportRefusedError, match=r"99 of 100 properties \(99%\) would be"
    ) as refused:
        await load(feed(0), delete_missing=True)
    assert str(refused.value).endswith("The first ids: D1, D10, D11, D12, D13")


async def test_the_share_is_of_the_properties_before_the_import(load: Load) -> None:
    await load(feed(*range(10)))
    assert (await load(feed(*range(1, 40)), delete_missing=True)).deleted == 1
    with pytest.raises(ImportRefusedError, match="4 of 39 properties"):
        await load(feed(*range(5, 90)), delete_missing=True)
    report = await load(
        feed(*range(5, 90)), delete_missing=True, delete_at_most=DeletionLimit.parse("4")
    )
    assert (report.inserted, report.deleted) == (50, 4)


async def test_a_first_full_file_deletes_nothing(load: Load) -> None:
    assert (await load(feed(0, 1), delete_missing=True)).deleted == 0


async def test_the_share_is_of_the_tenants_own_properties(load: Load, other_tenant: Tenant) -> None:
    await load(feed(*range(100)), into=other_tenant)
    await load(feed(0, 1))
    with pytest.raises(ImportRefusedError, match="1 of 2 properties"):
        await load(feed(0), delete_missing=True)
