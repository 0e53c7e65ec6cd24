"""What follows a commit happens, whoever stops waiting for it."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

import runtime
from domain.database import Database
from domain.events import Event, Topic
from domain.tenants import Tenant
from domain.work import Job


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


SLOW_COMMIT = checked_at_the_commit("slowly", "PERFORM pg_sleep(1)")
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
    async with asyncio.timeout(20):
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
    services: runtime.Services, tenant: Tenant
) -> None:
    done: list[str] = []

    async def enqueue(jobs: Sequence[Job]) -> None:
        done.extend(job.function for job in jobs)

    database = Database(services.database_url, enqueue)
    committing = asyncio.Event()

    async def write() -> None:
        async with database.work(tenant.id) as work:
            # Checked at the commit, which takes as long.
            await work.session.execute(text(SLOW_COMMIT))
            await work.session.execute(text("INSERT INTO slowly VALUES (1)"))
            work.enqueue("index_property")
            event.listen(work.session.sync_session, "before_commit", lambda _: committing.set())

    writing = asyncio.create_task(write())
    async with asyncio.timeout(20):
        await committing.wait()
    await asyncio.sleep(0.1)
    assert done == []
    writing.cancel()
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert done == ["index_property"]
    # The connection is of use again.
    async with database.work(tenant.id) as work:
        assert await work.session.scalar(text("SELECT count(*) FROM slowly")) == 1
    await database.close()


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
