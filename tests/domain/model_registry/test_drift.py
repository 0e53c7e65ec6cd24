"""What was measured is judged by the tenant's policy, and kept for a year."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from domain.core.database import Database
from domain.core.work import Work
from domain.model_registry import drift, model_versions
from domain.model_registry.drift import KEPT, DriftLevel, DriftMeasurement, hold, level_of, worst
from domain.tenants import policies
from domain.tenants.policies import Policy
from domain.tenants.tenants import Tenant


async def add_version(work: Work) -> UUID:
    return (await model_versions.add(work, b"weights", {}, {})).id


@pytest.mark.parametrize(
    ("features", "score", "level"),
    [
        ({}, None, DriftLevel.STABLE),
        ({"bedrooms": 0.0999}, 0.0, DriftLevel.STABLE),
        ({"bedrooms": 0.1}, None, DriftLevel.WARNING),
        ({"bedrooms": 0.0}, 0.1, DriftLevel.WARNING),
        ({"bedrooms": 0.25, "age": 0.1}, 0.1, DriftLevel.ALERT),
        ({"bedrooms": 0.4}, None, DriftLevel.ALERT),
        ({"bedrooms": 0.0}, 0.41, DriftLevel.BLOCKING),
        # It grows by itself.
        ({"bedrooms": 0.0, "days_on_market": 9.0}, None, DriftLevel.STABLE),
    ],
)
def test_the_worst_index_decides_the_level(
    features: dict[str, float], score: float | None, level: DriftLevel
) -> None:
    assert level_of(Policy(), features, score) is level


def test_what_moved_most_holds_a_version_by_its_name() -> None:
    held = {"drift": 14.3, "drifted": "listing_price"}
    assert hold(Policy(), held) == (
        "drift: listing_price has moved by 14.3, above 0.4; look at the data, then activate it"
    )
    assert hold(Policy(drift_block=15), held) is None
    assert hold(Policy(), {"drift": 0.4, "drifted": "age"}) is None
    assert hold(Policy(), {}) is None
    assert worst({"age": 0.2, "days_on_market": 9.0}, 0.1) == ("age", 0.2)
    assert worst({"age": 0.2}, 0.5) == ("affinity", 0.5)
    assert worst({}, None)[1] == 0


async def test_a_measurement_is_judged_by_the_tenants_own_policy(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        await policies.change(work, {"drift_warning": 0.3, "drift_alert": 0.5, "drift_block": 0.6})
    levels = []
    for one in (tenant, other_tenant):
        async with database.work(one.id) as work:
            found = await drift.record(work, await add_version(work), {"age": 0.45}, 0.1)
            levels.append(found.level)
    assert levels == [DriftLevel.WARNING, DriftLevel.BLOCKING]


async def test_the_newest_of_a_version_is_shown_and_a_year_is_kept(
    database: Database, tenant: Tenant
) -> None:
    now = datetime.now(UTC)
    async with database.work(tenant.id) as work:
        version, other = await add_version(work), await add_version(work)
        await drift.record(work, other, {"age": 0.9}, None)
        for days, value in ((400, 0.4), (364, 0.3), (1, 0.2)):
            kept = await drift.record(work, version, {"age": value}, None)
            await work.session.execute(
                update(DriftMeasurement)
                .where(DriftMeasurement.id == kept.id)
                .values(created_at=now - timedelta(days=days))
            )
    async with database.work(tenant.id) as work:
        found = await drift.latest(work, [version, other])
        shown = {one: kept.features["age"] for one, kept in found.items()}
        assert shown == {version: 0.2, other: 0.9}
        await drift.record(work, version, {"age": 0.1}, None)
        oldest = await work.session.scalar(select(func.min(DriftMeasurement.created_at)))
        count = await work.session.scalar(select(func.count()).select_from(DriftMeasurement))
    assert oldest is not None
    assert oldest > now - KEPT
    # The one of 400 days ago was gone with the next one already.
    assert count == 4
