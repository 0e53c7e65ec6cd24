"""What follows a commit happens, whoever stops waiting for it."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

import runtime
from domain.database import Database
from domain.events import Event, Topic
from domain.tenants import Tenant
from domain.work import Job


async def test_a_commit_is_followed_up_though_its_task_is_cancelled(
    services: runtime.Services, tenant: Tenant
) -> None:
    reached, go_on, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def enqueue(jobs: Sequence[Job]) -> None:
        reached.set()
        await go_on.wait()
        done.extend(job.function for job in jobs)

    async def publish(_: UUID, events: Sequence[Event]) -> None:
        done.extend(event.topic for event in events)

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
