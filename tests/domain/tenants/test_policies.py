"""A tenant's rules: what they may be, and who sets them at the same time."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.model_registry import retention
from domain.tenants import policies
from domain.tenants.policies import Policy
from domain.tenants.tenants import Tenant
from tests.waiting import until_waiting


@pytest.mark.parametrize(
    ("name", "value", "bounds"),
    [
        ("train_after", 1e19, "0 to 2147483647"),
        ("least_approvals", 2**31, "0 to 2147483647"),
        ("grace_days", 1e10, "0 to 3650"),
        ("changes_days", 3651, "0 to 3650"),
        ("least_f1", 1.01, "0 to 1"),
        ("drift_block", -0.1, "0 or more"),
        ("drift_block", float("inf"), "0 or more"),
        ("least_properties", 1.5, "a whole number"),
    ],
)
async def test_what_no_rule_can_be_is_refused(
    database: Database, tenant: Tenant, name: str, value: float, bounds: str
) -> None:
    async with database.work(tenant.id) as work:
        with pytest.raises(DomainError, match=f"^{name} .*: use {bounds}$") as raised:
            await policies.change(work, {"least_f1": 0.5, name: value})
        assert (raised.value.code, raised.value.field) == (ErrorCode.INVALID_INPUT, (name,))
        assert await policies.get(work) == Policy()


async def test_the_largest_rules_can_be_followed(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        await policies.change(work, {"train_after": 2**31 - 1, "grace_days": 3650})
        assert await retention.unneeded(work, datetime.now(UTC)) == []


async def test_a_rule_is_taken_back(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        assert (await policies.change(work, {"train_after": 3})).train_after == 3
        assert await policies.change(work, {"train_after": None}) == Policy()


async def test_who_changes_other_rules_at_the_same_time_loses_none(
    database: Database, tenant: Tenant
) -> None:
    async def change(name: str) -> None:
        async with database.work(tenant.id) as work:
            # As whoever read the rules before.
            await policies.get(work)
            await policies.change(work, {name: 7})

    names = ("train_after", "grace_days", "least_approvals", "least_properties")
    async with database.work(tenant.id) as work:
        await policies.change(work, {"least_investors": 7})
        changing = asyncio.gather(*map(change, names))
        await until_waiting(database, len(names))
    await changing

    async with database.work(tenant.id) as work:
        found = await policies.get(work)
    assert {getattr(found, name) for name in (*names, "least_investors")} == {7}


async def test_who_does_not_exist_has_no_rules(database: Database) -> None:
    async with database.work(uuid4()) as work:
        with pytest.raises(DomainError, match="No such tenant"):
            await policies.change(work, {"train_after": 3})
