"""What follows a commit happens, whoever stops waiting for it."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import runtime
from domain.core.database import Database
from domain.core.events import Event, Topic
from domain.core.work import Job
from domain.tenants.tenants import Tenant


def checked_at_the_commit(table: str, what: str) -> str:
    """A temporary table whose rows make the commit do that."""
    return f"""
        DO $do$ BEGIN
        CREATE TEMPORARY TABLE {table} (id int);
        CREATE FUNCTION pg_temp.{table}() RETURNS trigger LANGUAGE plpgsql AS $check$
        BEGIN {what}; RETURN NULL; END $check$;
        CREATE CONSTRAINT TRIGGER {table} AFTER INSERT ON {table}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.{table}();
        END $do$
    """


HELD_COMMIT = checked_at_the_commit("held", "PERFORM pg_advisory_xact_lock(7)")
FAILING_COMMIT = checked_at_the_commit("failing", "RAISE EXCEPTION 'too late'")


async def test_a_commit_is_followed_up_though_its_task_is_cancelled(
    services: runtime.Services, tenant: Tenant
) -> None:
    reached, go_on, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def enqueue(jobs: Sequence[Job]) -> None:
        reached.set()
        await go_on.wait()
        done.extend(job.function for job in jobs)

    async def publish(_: UUID, events: Sequence[Event]) -> None:
        done.extend(one.topic for one in events)

    database = Database(services.database_url, enqueue, publish)

    async def write() -> None:
        async with database.work(tenant.id) as work:
            work.enqueue("index_property")
            work.events.append(Event(Topic.FEEDBACK))

    writing = asyncio.create_task(write())
    async with asyncio.timeout(60):
        await reached.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert done == []
    go_on.set()
    # Closing waits for it.
    await database.close()
    assert done == ["index_property", Topic.FEEDBACK]


async def test_a_commit_that_is_cancelled_is_followed_up(
    services: runtime.Services, database: Database, tenant: Tenant
) -> None:
    done: list[str] = []

    async def enqueue(jobs: Sequence[Job]) -> None:
        done.extend(job.function for job in jobs)

    own = Database(services.database_url, enqueue)

    async def write() -> None:
        async with own.work(tenant.id) as work:
            # Checked at the commit, which waits for the lock.
            await work.session.execute(text(HELD_COMMIT))
            await work.session.execute(text("INSERT INTO held VALUES (1)"))
            work.enqueue("index_property")

    async with database.work(tenant.id) as work:
        await work.session.execute(text("SELECT pg_advisory_xact_lock(7)"))
        writing = asyncio.create_task(write())
        waiting = text(
            "SELECT pg_sleep(0.01), count(*) FROM pg_locks WHERE locktype = 'advisory' "
            "AND NOT granted AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        async with asyncio.timeout(60):
            while not (await work.session.execute(waiting)).one()[1]:
                pass
        assert done == []
        writing.cancel()
        await asyncio.sleep(0)
        writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert done == ["index_property"]
    # The connection is of use again.
    async with own.work(tenant.id) as work:
        assert await work.session.scalar(text("SELECT count(*) FROM held")) == 1
    await own.close()


async def test_a_commit_that_fails_is_not_followed_up(
    services: runtime.Services, tenant: Tenant
) -> None:
    done: list[str] = []

    async def enqueue(jobs: Sequence[Job]) -> None:
        done.extend(job.function for job in jobs)

    database = Database(services.database_url, enqueue)
    with pytest.raises(DBAPIError, match="too late"):
        async with database.work(tenant.id) as work:
            await work.session.execute(text(FAILING_COMMIT))
            await work.session.execute(text("INSERT INTO failing VALUES (1)"))
            work.enqueue("index_property")
    assert done == []
    await database.close()
