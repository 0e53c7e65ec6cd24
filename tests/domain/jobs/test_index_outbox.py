"""Marks: of what changed, and of whom that concerns."""

from pathlib import Path
from uuid import UUID

import pytest

from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.work import Job
from domain.imports.missing import DeletionLimit
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.jobs import index_outbox
from domain.jobs.index_outbox import IndexMark, Marked, Settled
from domain.properties import snapshots, table
from domain.tenants.tenants import Tenant
from tests.factories import add_interaction, add_property, add_user

ONE = DeletionLimit(1, percent=False)

Street = tuple[list[UUID], list[UUID]]


@pytest.fixture
async def street(database: Database, tenant: Tenant) -> Street:
    """Three houses, and two investors of whom the second acted on the second house alone."""
    async with database.work(tenant.id) as work:
        houses = [(await add_property(work, external_id=f"{n}")).id for n in range(3)]
        users = [(await add_user(work)).id for _ in range(2)]
        for user, house in ((0, 0), (0, 1), (1, 1)):
            await add_interaction(work, users[user], houses[house], InteractionKind.SAVE)
    return houses, users


async def marked(database: Database, tenant: Tenant) -> list[tuple[Marked, UUID]]:
    async with database.work(tenant.id) as work:
        found = [
            *await index_outbox.marks(work, 1000),
            *await index_outbox.marks_of_everything(work),
        ]
        await index_outbox.unmark(work, found)
    return sorted((one.kind, one.subject_id) for one in found)


async def test_whoever_acted_on_a_deleted_property_is_marked_too(
    database: Database, tenant: Tenant, street: Street, enqueued: list[Job]
) -> None:
    houses, users = street
    async with database.work(tenant.id) as work:
        await table.remove(work, houses[1])
    assert await marked(database, tenant) == sorted(
        [(Marked.PROPERTY, houses[1]), *((Marked.USER, one) for one in users)]
    )
    assert Job(index_outbox.INDEX_MARKED, tenant.id) in enqueued
    async with database.work(tenant.id) as work:
        await table.remove(work, houses[2])
    assert await marked(database, tenant) == [(Marked.PROPERTY, houses[2])]


async def test_whoever_acted_on_what_an_import_deletes_is_marked_too(
    database: Database,
    tenant: Tenant,
    street: Street,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    houses, users = street
    path = tmp_path / "left.csv"
    path.write_text("external_id\n0\n2\n")
    async with database.work(tenant.id) as work:
        await import_properties(work, FileSource(path), delete_missing=True, delete_at_most=ONE)
    assert await marked(database, tenant) == sorted(
        [(Marked.PROPERTY, houses[1]), *((Marked.USER, one) for one in users)]
    )
    # Of too many everything is written anyway.
    monkeypatch.setattr(index_outbox, "REINDEX_ABOVE", 0)
    path.write_text("external_id\n2\n")
    async with database.work(tenant.id) as work:
        await import_properties(work, FileSource(path), delete_missing=True, delete_at_most=ONE)
    assert await marked(database, tenant) == [(Marked.EVERYTHING, tenant.id)]


async def test_what_the_index_must_hold_is_what_is_not_marked(
    database: Database, tenant: Tenant, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    houses, users = street
    async with database.work(tenant.id) as work:
        assert await index_outbox.settled(work) == Settled(3, [])
        for _ in range(2):
            await index_outbox.mark(work, Marked.PROPERTY, houses[:2])
        await index_outbox.mark(work, Marked.USER, users)
        found = await index_outbox.settled(work)
        assert found is not None
        assert (found.properties, set(found.marked)) == (1, set(houses[:2]))
        # Also of what is gone.
        await table.remove(work, houses[0])
        found = await index_outbox.settled(work)
        assert found is not None
        assert (found.properties, set(found.marked)) == (1, set(houses[:2]))
        with monkeypatch.context() as patched:
            patched.setattr(index_outbox, "REINDEX_ABOVE", 1)
            assert await index_outbox.settled(work) is None
        work.session.add(
            IndexMark(tenant_id=tenant.id, kind=Marked.EVERYTHING, subject_id=tenant.id)
        )
        await work.session.flush()
        assert await index_outbox.settled(work) is None


async def test_marks_are_given_oldest_first_without_those_to_be_left_out(
    database: Database, tenant: Tenant, street: Street
) -> None:
    houses, users = street
    for house in houses:
        async with database.work(tenant.id) as work:
            await index_outbox.mark(work, Marked.PROPERTY, [house])
    async with database.work(tenant.id) as work:
        found = await index_outbox.marks(work, 2)
        assert [one.subject_id for one in found] == houses[:2]
        left = await index_outbox.marks(work, 2, without=[found[0].id])
        assert [one.subject_id for one in left] == houses[1:]
        assert {one.subject_id for one in await index_outbox.marks_of(work, houses[:1])} == {
            houses[0]
        }
        assert await index_outbox.marks_of(work, []) == []
        assert (await index_outbox.waiting(work)).marks == 3
        assert await index_outbox.concerned(work, users) == set(users)
        await index_outbox.unmark(work, [found[1]])
        assert await index_outbox.concerned(work, users) == {users[0]}


async def test_marks_are_the_tenants_own(
    database: Database, tenant: Tenant, other_tenant: Tenant, street: Street
) -> None:
    houses, users = street
    async with database.work(tenant.id) as work:
        await index_outbox.mark(work, Marked.PROPERTY, houses)
        found = await index_outbox.marks(work, 10)
        work.session.add(
            IndexMark(tenant_id=tenant.id, kind=Marked.EVERYTHING, subject_id=tenant.id)
        )
    async with database.work(other_tenant.id) as work:
        assert await snapshots.ids(work) == set()
        assert await index_outbox.marks(work, 10) == []
        assert await index_outbox.marks_of(work, houses) == []
        assert await index_outbox.marks_of_everything(work) == []
        assert await index_outbox.settled(work) == Settled(0, [])
        assert (await index_outbox.waiting(work)).marks == 0
        assert await index_outbox.concerned(work, users) == set()
        # Marks of its own, that name what is none of its.
        await index_outbox.mark_investors(work, houses)
        assert (await index_outbox.waiting(work)).marks == 0
        await index_outbox.unmark(work, found)
    async with database.work(tenant.id) as work:
        assert (await index_outbox.waiting(work)).marks == 4
        await index_outbox.mark_investors(work, houses)
        assert (await index_outbox.waiting(work)).marks == 4 + len(users)
