"""The floor: no table gives or takes a row of another tenant.

Every check uses separate, committed transactions, since the tenant's setting survives savepoints
and a rolled-back fixture would hide an omission.
"""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

import runtime
from domain.changes.changes import Change, Noun, Operation
from domain.contract.filters import PropertyFilter
from domain.contract.property_search import Order
from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import EXCLUDING, InteractionKind, Role
from domain.core.database import Database
from domain.core.driver import UnsafeRoleError
from domain.core.errors import DomainError, ErrorCode
from domain.core.leases import Lease
from domain.core.work import Work
from domain.imports import record
from domain.imports.reso.feeds import ResoFeed
from domain.imports.sources import RecordSource
from domain.imports.undo import undo
from domain.interactions import histories, interactions
from domain.interactions.interactions import Interaction
from domain.jobs import job_runs
from domain.jobs.index_outbox import IndexMark, Marked
from domain.jobs.property_log import PropertyChange
from domain.model_registry import comparison, drift, model_versions
from domain.model_registry.drift import DriftLevel, DriftMeasurement
from domain.properties import rows, search, snapshots
from domain.properties import table as properties
from domain.properties.table import Property
from domain.recommendations.cold_start import ColdListing, cold_order, interest, likeness
from domain.recommendations.concentration import concentration
from domain.tables import Base
from domain.tenants import experiments, tenants
from domain.tenants.experiments import Experiment
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes, users
from domain.users.users import User
from tests.factories import add_interaction, add_property, add_user

SCOPED_TABLES = sorted(table for table in Base.metadata.tables if table != "tenants")


@pytest.fixture
async def row_ids(database: Database, tenant: Tenant) -> dict[str, Any]:
    """One committed row of ``tenant`` in every table."""
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        found = await add_property(work)
        await buy_boxes.state(work, user.id, BuyBox(zipcodes=("98103",)))
        act = await add_interaction(work, user.id, found.id, InteractionKind.DEAL)
        version = await model_versions.add(work, b"weights", {}, {})
        second = await model_versions.add(work, b"weights", {}, {})
        run = await job_runs.request(work, job_runs.REINDEX)
        mark = IndexMark(tenant_id=tenant.id, kind=Marked.PROPERTY, subject_id=found.id)
        measured = DriftMeasurement(
            tenant_id=tenant.id, version_id=version.id, features={}, level=DriftLevel.STABLE
        )
        experiment = Experiment(
            tenant_id=tenant.id, control_id=version.id, treatment_id=second.id, share=0.5
        )
        lease = Lease(
            tenant_id=tenant.id, purpose="index", holder_id=uuid4(), expires_at=datetime.now(UTC)
        )
        feed = ResoFeed(tenant_id=tenant.id, url="https://api.example.com/odata/Property")
        change = Change(
            tenant_id=tenant.id,
            noun=Noun.PROPERTY,
            operation=Operation.UPDATE,
            subject_id=found.id,
            before={},
        )
        logged = PropertyChange(tenant_id=tenant.id, property_id=found.id)
        work.session.add_all([mark, measured, experiment, lease, change, feed, logged])
        imported = await record.record(work, Noun.PROPERTY, RecordSource("houses", []))
        await work.session.flush()
    ids: dict[str, Any] = {
        "changes": change.id,
        "imports": imported,
        "users": user.id,
        "properties": found.id,
        "interactions": act.id,
        "model_versions": version.id,
        "job_runs": run.id,
        "index_marks": mark.id,
        "drift_measurements": measured.id,
        "experiments": experiment.id,
        "leases": lease.id,
        "property_log": logged.id,
        "reso_feeds": feed.id,
    }
    assert sorted(ids) == SCOPED_TABLES, (
        f"the fixture row_ids needs a row of {set(SCOPED_TABLES) - ids.keys()}"
    )
    return ids


@pytest.mark.parametrize("table", SCOPED_TABLES)
async def test_row_level_security_is_forced(database: Database, table: str) -> None:
    async with database.work(None) as work:
        enabled, forced, policies = (
            await work.session.execute(
                text(
                    "SELECT relrowsecurity, relforcerowsecurity,"
                    " (SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid)"
                    " FROM pg_class WHERE oid = CAST(:table AS regclass)"
                ),
                {"table": table},
            )
        ).one()
    assert (enabled, forced, policies) == (True, True, 1), f"call protect({table!r}) in a migration"


@pytest.mark.parametrize("table", SCOPED_TABLES)
async def test_no_tenant_sees_or_changes_rows_of_another(
    database: Database, tenant: Tenant, other_tenant: Tenant, row_ids: dict[str, Any], table: str
) -> None:
    count = f"SELECT count(*) FROM {table} WHERE id = :id"
    own = {"id": row_ids[table]}
    for foreign in (other_tenant.id, None):
        async with database.work(foreign) as work:
            assert await work.session.scalar(text(count), own) == 0
            for change in (
                f"UPDATE {table} SET created_at = now() WHERE id = :id RETURNING id",
                f"DELETE FROM {table} WHERE id = :id RETURNING id",
            ):
                assert (await work.session.execute(text(change), own)).all() == []
    async with database.work(tenant.id) as work:
        assert await work.session.scalar(text(count), own) == 1


@pytest.mark.parametrize("table", SCOPED_TABLES)
async def test_a_row_cannot_be_given_to_another_tenant(
    database: Database, tenant: Tenant, other_tenant: Tenant, row_ids: dict[str, Any], table: str
) -> None:
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.work(tenant.id) as work:
            await work.session.execute(
                text(f"UPDATE {table} SET tenant_id = :other WHERE id = :id"),
                {"other": other_tenant.id, "id": row_ids[table]},
            )


async def test_a_child_cannot_point_at_another_tenants_parent(
    database: Database, other_tenant: Tenant, row_ids: dict[str, Any]
) -> None:
    async with database.work(other_tenant.id) as work:
        own_user = await add_user(work)
    with pytest.raises(IntegrityError, match="property_id"):
        async with database.work(other_tenant.id) as work:
            await work.session.execute(
                insert(Interaction).values(
                    tenant_id=other_tenant.id,
                    user_id=own_user.id,
                    property_id=row_ids["properties"],
                    kind=InteractionKind.VIEW,
                    occurred_at=func.now(),
                )
            )


async def test_a_tenant_row_is_written_by_its_own_tenant_alone(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with database.work(other_tenant.id) as work:
        changed = await work.session.execute(
            text("UPDATE tenants SET name = 'taken over' WHERE id = :id RETURNING id"),
            {"id": tenant.id},
        )
        assert changed.all() == []
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.work(other_tenant.id) as work:
            work.session.add(Tenant(id=uuid4(), slug=f"forged-{uuid4().hex}", name="forged"))
            await work.session.flush()


async def test_a_tenant_cannot_activate_another_tenants_model(
    database: Database, other_tenant: Tenant, row_ids: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match="active_model_version_id"):
        async with database.work(other_tenant.id) as work:
            await work.session.execute(
                text("UPDATE tenants SET active_model_version_id = :version WHERE id = :id"),
                {"version": row_ids["model_versions"], "id": other_tenant.id},
            )


async def test_every_domain_query_is_blind_to_other_tenants(
    database: Database, tenant: Tenant, other_tenant: Tenant, row_ids: dict[str, Any]
) -> None:
    user_id, property_id = row_ids["users"], row_ids["properties"]
    async with database.work(tenant.id) as work:
        house = await properties.get(work, property_id)
    async with database.work(other_tenant.id) as work:
        assert await users.list_all(work) == []
        assert await users.get_many(work, [user_id]) == {}
        assert await rows.get_many(work, [property_id]) == {}
        assert len(await snapshots.snapshot(work, [property_id])) == 0
        assert [batch async for batch in snapshots.snapshots(work)] == []
        assert await search.count(work, PropertyFilter()) == 0
        assert await search.page(work, PropertyFilter(), Order(), 100) == []
        assert await interactions.feedback(work, user_id, [property_id]) == {}
        assert await histories.excluded(work, user_id, EXCLUDING) == {}
        assert await interactions.active_investors(work) == []
        history = (await histories.get_many(work, [user_id]))[user_id]
        assert (len(history), history.buy_box) == (0, None)
        assert len(await interactions.log(work, {property_id: 0})) == 0
        for box in (None, BuyBox(cities=("Seattle",))):
            for order in (cold_order(box), likeness(house)):
                listing = ColdListing(lambda: nullcontext(work), Property, order, ())
                assert await listing.behind(None, 10) == []
        investors = ColdListing(lambda: nullcontext(work), User, interest(house, 0.5), ())
        assert await investors.behind(None, 10) == []
        # Nothing of the other's holdings counts, and none of its owners.
        own = await add_property(work, zipcode="98103")
        (risen,) = await concentration(work, user_id, [own])
        assert risen.zipcode is not None
        assert (risen.zipcode.before, risen.zipcode.after) == (0, 1)
        await interactions.refresh_totals(work, [own.id, property_id])
        assert (await snapshots.snapshot(work, [own.id])).owners.tolist() == [0]
        assert await model_versions.page(work, 100) == []
        assert await job_runs.recent(work) == []
        assert await tenants.active_version_id(work) is None
        assert await drift.latest(work, [row_ids["model_versions"]]) == {}
        people, drawn = await drift.sample(work, 100)
        assert (people, drawn.ids) == ([], (own.id,))
        assert await record.page(work) == []
        assert await record.get_many(work, [row_ids["imports"]]) == []
        assert await record.count(work) == 0
        assert await experiments.running(work) is None
        assert await experiments.latest(work) is None
        assert not await experiments.stop(work)
        assert (await histories.investors(work, [user_id])).versions == {}
    for call in (
        lambda work: users.get(work, user_id),
        lambda work: properties.get(work, property_id),
        lambda work: properties.remove(work, property_id),
        lambda work: undo(work, row_ids["imports"], "test"),
        lambda work: model_versions.stored(work, row_ids["model_versions"]),
        lambda work: model_versions.activate(work, row_ids["model_versions"]),
        lambda work: _outcomes(work, row_ids),
        lambda work: interactions.record(work, user_id, property_id, InteractionKind.SAVE),
        lambda work: interactions.retract_feedback(work, user_id, property_id),
        lambda work: buy_boxes.state(work, user_id, BuyBox(cities=("Seattle",))),
    ):
        with pytest.raises(DomainError) as refused:
            async with database.work(other_tenant.id) as work:
                await call(work)
        assert refused.value.code is ErrorCode.NOT_FOUND


async def _outcomes(work: Work, row_ids: dict[str, Any]) -> None:
    theirs = Experiment(
        id=row_ids["experiments"],
        control_id=row_ids["model_versions"],
        treatment_id=row_ids["model_versions"],
        created_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    await comparison.outcomes(work, theirs)


async def test_external_ids_and_emails_of_two_tenants_do_not_meet(
    database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    for owner in (tenant, other_tenant):
        async with database.work(owner.id) as work:
            await add_property(work, external_id="same")
            await add_user(work, external_id="same", email="same@example.com")


async def test_the_tenant_does_not_outlive_its_transaction(
    services: runtime.Services, tenant: Tenant, row_ids: dict[str, Any]
) -> None:
    # One connection only, so that a setting left on it would be seen by the next user of it.
    engine = create_async_engine(services.database_url, pool_size=1, max_overflow=0)
    setting = text("SELECT set_config('app.tenant_id', :tenant_id, true)")
    async with engine.begin() as connection:
        await connection.execute(setting, {"tenant_id": str(tenant.id)})
        assert await connection.scalar(text("SELECT count(*) FROM users")) == 1
    async with engine.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM users")) == 0
    await engine.dispose()


@pytest.fixture
async def owner_database(services: runtime.Services) -> AsyncIterator[Database]:
    assert services.migration_database_url is not None

    async def nothing(jobs: object) -> None:
        raise AssertionError(f"unexpected jobs: {jobs}")

    opened = Database(services.migration_database_url, nothing)
    yield opened
    await opened.close()


async def test_start_up_refuses_the_role_that_owns_the_tables(owner_database: Database) -> None:
    with pytest.raises(UnsafeRoleError, match="twin_owner"):
        await owner_database.refuse_unsafe_role()


async def test_row_level_security_binds_the_owner_too(
    owner_database: Database, row_ids: dict[str, Any]
) -> None:
    async with owner_database.work(None) as work:
        assert await work.session.scalar(select(func.count()).select_from(Interaction)) == 0


async def test_role_of_a_user_is_one_of_the_vocabulary(database: Database, tenant: Tenant) -> None:
    with pytest.raises(IntegrityError, match="ck_users_role"):
        async with database.work(tenant.id) as work:
            await work.session.execute(
                text(
                    "INSERT INTO users (tenant_id, external_id, role)"
                    " VALUES (:tenant, 'x', 'emperor')"
                ),
                {"tenant": tenant.id},
            )
    assert [role.value for role in Role] == ["viewer", "analyst", "admin"]
