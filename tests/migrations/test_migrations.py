"""The migrations lead to the tables that the models describe, and back."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

import runtime
from tests.conftest import clone_database, in_database


@pytest.fixture(scope="module")
def empty(services: runtime.Services) -> runtime.Services:
    """Services whose database holds no table."""
    url = make_url(services.database_url)
    name = f"{url.database}_empty"
    owner_url = str(services.migration_database_url)
    asyncio.run(clone_database(owner_url, name, template="template1"))
    return replace(
        services,
        database_url=in_database(services.database_url, name),
        migration_database_url=in_database(owner_url, name),
    )


def tables(found: runtime.Services) -> set[str]:
    async def read() -> set[str]:
        assert found.migration_database_url is not None
        engine = create_async_engine(found.migration_database_url)
        async with engine.connect() as connection:
            names = await connection.scalars(
                text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            )
            result = set(names)
        await engine.dispose()
        return result

    return asyncio.run(read())


def test_up_down_and_up_again(empty: runtime.Services) -> None:
    runtime.migrate(empty)
    full = tables(empty)
    assert {"tenants", "properties", "interactions"} < full
    runtime.migrate(empty, "base")
    assert tables(empty) == {"alembic_version"}
    runtime.migrate(empty)
    assert tables(empty) == full


def test_the_newest_migration_is_known_by_its_file() -> None:
    known = ScriptDirectory.from_config(Config(runtime.ALEMBIC_INI))
    assert runtime.latest_revision() == known.get_current_head()


def test_models_and_migrations_agree(empty: runtime.Services) -> None:
    runtime.migrate(empty)
    config = Config(runtime.ALEMBIC_INI)
    config.attributes["services"] = empty
    command.check(config)


def run_as_owner(found: runtime.Services, *statements: str) -> list[tuple[object, ...]]:
    """Run the statements in one transaction; the rows of the last."""

    async def run() -> list[tuple[object, ...]]:
        assert found.migration_database_url is not None
        engine = create_async_engine(found.migration_database_url)
        async with engine.begin() as connection:
            for statement in statements[:-1]:
                await connection.execute(text(statement))
            rows = [tuple(row) for row in await connection.execute(text(statements[-1]))]
        await engine.dispose()
        return rows

    return asyncio.run(run())


@contextmanager
def in_use(found: runtime.Services, table: str) -> Iterator[None]:
    """Somebody reads the table in a transaction that goes on."""
    held, leave = threading.Event(), threading.Event()

    async def hold() -> None:
        engine = create_async_engine(found.database_url)
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT FROM {table}"))
            held.set()
            await asyncio.to_thread(leave.wait)
        await engine.dispose()

    holder = threading.Thread(target=lambda: asyncio.run(hold()))
    holder.start()
    held.wait(20)
    try:
        yield
    finally:
        leave.set()
        holder.join()


def test_a_table_in_use_is_not_waited_for(empty: runtime.Services) -> None:
    runtime.migrate(empty, "base")
    runtime.migrate(empty, "0003")
    with in_use(empty, "properties"), pytest.raises(DBAPIError, match="lock timeout"):
        runtime.migrate(empty)
    assert run_as_owner(empty, "SELECT version_num FROM alembic_version") == [("0003",)]
    runtime.migrate(empty)


def test_owners_are_counted_from_the_deals_known_before(empty: runtime.Services) -> None:
    runtime.migrate(empty, "base")
    runtime.migrate(empty, "0001")
    firms = [str(uuid4()) for _ in range(2)]
    for firm, deals in zip(firms, (2, 1), strict=True):
        as_firm = f"SELECT set_config('app.tenant_id', '{firm}', true)"
        run_as_owner(
            empty,
            as_firm,
            f"INSERT INTO tenants (id, slug, name) VALUES ('{firm}', '{firm}', 'Firm')",
            f"INSERT INTO properties (tenant_id, external_id) VALUES ('{firm}', 'sold'),"
            f" ('{firm}', 'seen')",
            f"INSERT INTO users (tenant_id, external_id, role) SELECT '{firm}', n, 'analyst'"
            " FROM generate_series(1, 2) AS n",
            # One bought twice, all looked at both.
            "INSERT INTO interactions (tenant_id, user_id, property_id, kind, occurred_at)"
            " SELECT u.tenant_id, u.id, p.id, 'DEAL', now() - n * interval '1 day'"
            " FROM users AS u, properties AS p, generate_series(1, 2) AS n"
            f" WHERE p.external_id = 'sold' AND u.external_id::int <= {deals}",
            "INSERT INTO interactions (tenant_id, user_id, property_id, kind, occurred_at)"
            " SELECT u.tenant_id, u.id, p.id, 'VIEW', now() FROM users AS u, properties AS p"
            " RETURNING id",
        )
    runtime.migrate(empty)
    for firm, deals in zip(firms, (2, 1), strict=True):
        as_firm = f"SELECT set_config('app.tenant_id', '{firm}', true)"
        rows = run_as_owner(empty, as_firm, "SELECT external_id, owners FROM properties")
        assert dict(rows) == {"sold": deals, "seen": 0}  # type: ignore[arg-type]


def test_what_waited_in_the_queue_of_before_is_marked(empty: runtime.Services) -> None:
    runtime.migrate(empty, "base")
    runtime.migrate(empty, "0004")
    served, new = str(uuid4()), str(uuid4())
    for firm in (served, new):
        run_as_owner(
            empty,
            f"SELECT set_config('app.tenant_id', '{firm}', true)",
            f"INSERT INTO tenants (id, slug, name) VALUES ('{firm}', '{firm}', 'Firm')",
            "INSERT INTO model_versions"
            " (tenant_id, id, number, status, weights, metadata, metrics)"
            f" VALUES ('{firm}', '{firm}', 1, 'trained', '', '{{}}', '{{}}')",
            "INSERT INTO job_runs"
            " (tenant_id, job_id, function, arguments, status, finished_at) VALUES"
            f" ('{firm}', 'a', 'index_users', '[[]]', 'running', NULL),"
            f" ('{firm}', 'b', 'train_twin', '[{{}}]', 'failed', '2026-01-01 00:00Z')"
            " RETURNING id",
        )
    run_as_owner(
        empty,
        f"SELECT set_config('app.tenant_id', '{served}', true)",
        "UPDATE model_versions SET status = 'active'",
        f"UPDATE tenants SET active_model_version_id = '{served}' WHERE id = '{served}'"
        " RETURNING id",
    )
    runtime.migrate(empty)

    for firm, marks in ((served, [("everything", served)]), (new, [])):
        as_firm = f"SELECT set_config('app.tenant_id', '{firm}', true)"
        found = run_as_owner(empty, as_firm, "SELECT kind, subject_id::text FROM index_marks")
        assert found == marks
        # What has ended is forgotten some day.
        ended = run_as_owner(
            empty,
            as_firm,
            "SELECT status, finished_at > now() - interval '1 hour' FROM job_runs ORDER BY 1",
        )
        assert ended == [("cancelled", True), ("failed", False)]


STORED = {
    "kept": "'1 A St', 'Kent', 'WA', '98030', 47.5, -122.3, 1985",
    "null": "'N/A', 'NULL', 'none', 'nan', 0, 0, 0",
    "12.0": "'1 A St', 'San Jose\u0301', 'CA', '95110', -121.9, 37.3, 1985",
    "15.0": "'1 A St', 'Kent', 'MA', '2139', 47.5, -122.3, 1985",
    "15": "'1 A St', 'Kent', 'WA', '98030-1234', 47.5, -122.3, 1985",
    '="16"': "'  1  A St\u2003', '\"Kent\"', '=\"WA\"', '00000', 85, NULL, 1985",
    "'17": "'1 A St', 'K\u200bent', '\u2014', '=\"02139\"', 47.5, -122.3, 1985",
}
COLUMNS = "address, city, state, zipcode, latitude, longitude, year_built"


def test_stored_values_become_canonical(
    empty: runtime.Services, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.migrate(empty, "base")
    runtime.migrate(empty, "0007")
    firms = [str(uuid4()) for _ in range(2)]
    for firm in firms:
        rows = (
            ", ".join(
                f"('{firm}', $id${name}$id$, {values}, CAST('{{{{\"city\": {{{{}}}}}}}}' AS jsonb))"
                for name, values in STORED.items()
            )
            .replace("{{", "{")
            .replace("}}", "}")
        )
        run_as_owner(
            empty,
            f"SELECT set_config('app.tenant_id', '{firm}', true)",
            f"INSERT INTO tenants (id, slug, name) VALUES ('{firm}', '{firm}', 'Firm')",
            f"INSERT INTO properties (tenant_id, external_id, {COLUMNS}, provenance) VALUES {rows}",
            "INSERT INTO users (tenant_id, external_id, role, buy_box)"
            f" SELECT '{firm}', 'ann', 'analyst', jsonb_build_object('cities',"
            " jsonb_build_array(U&'San Jose\\0301'), 'zipcodes',"
            " jsonb_build_array('02139-1234')) RETURNING id",
        )
    runtime.migrate(empty)
    for firm in firms:
        as_firm = f"SELECT set_config('app.tenant_id', '{firm}', true)"
        found = {
            name: values
            for name, *values in run_as_owner(
                empty,
                as_firm,
                f"SELECT external_id, {COLUMNS}, canonical_zipcode, provenance FROM properties",
            )
        }
        assert found.keys() == {"kept", "null", "12", "15.0", "15", "16", "17"}
        provenance: dict[str, object] = {"city": {}}
        kept = ["1 A St", "Kent", "WA", "98030", 47.5, -122.3, 1985]
        assert found["kept"] == [*kept, "98030", provenance]
        assert found["null"] == [*[None] * 8, {}]
        assert found["12"] == [
            "1 A St", "San Jos\u00e9", "CA", "95110", 37.3, -121.9, 1985, "95110", provenance,
        ]  # fmt: skip
        assert (found["15.0"][3], found["15.0"][7]) == ("2139", "02139")
        assert (found["15"][3], found["15"][7]) == ("98030-1234", "98030")
        assert found["16"] == ["1 A St", "Kent", "WA", None, 85, None, 1985, None, provenance]
        assert found["17"][:4] == ["1 A St", "Kent", None, "02139"]
        marked = run_as_owner(
            empty,
            as_firm,
            "SELECT external_id FROM index_marks JOIN properties ON subject_id = properties.id",
        )
        assert sorted(str(name) for (name,) in marked) == [
            "12", "15", "15.0", "16", "17", "null",
        ]  # fmt: skip
        boxes = run_as_owner(empty, as_firm, "SELECT buy_box FROM users")
        assert boxes == [({"cities": ["San Jos\u00e9"], "zipcodes": ["02139"]},)]
    listed = [record.getMessage() for record in caplog.records if "external ids" in record.message]
    assert [
        f"tenant {firm}: 1 properties keep" in one
        for firm, one in zip(sorted(firms), listed, strict=True)
    ] == [True, True]
    assert all("'15.0'" in one for one in listed)
    runtime.migrate(empty, "0007")
    runtime.migrate(empty)
