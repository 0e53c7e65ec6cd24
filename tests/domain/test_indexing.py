"""Marks: of what changed, and of whom that concerns."""

from pathlib import Path
from uuid import UUID

import pytest

from domain import indexing, properties
from domain.database import Database
from domain.imports import import_properties
from domain.indexing import IndexMark, Marked, Settled
from domain.tenants import Tenant
from domain.vocabulary import InteractionKind
from domain.work import Job
from tests.factories import add_interaction, add_property, add_user

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
        found = [*await indexing.marks(work, 1000), *await indexing.marks_of_everything(work)]
        await indexing.unmark(work, found)
    return sorted((one.kind, one.subject_id) for one in found)


async def test_whoever_acted_on_a_deleted_property_is_marked_too(
    database: Database, tenant: Tenant, street: Street, enqueued: list[Job]
) -> None:
    houses, users = street
    async with database.work(tenant.id) as work:
        await properties.remove(work, houses[1])
    assert await marked(database, tenant) == sorted(
        [(Marked.PROPERTY, houses[1]), *((Marked.USER, one) for one in users)]
    )
    assert Job(indexing.INDEX_MARKED, tenant.id) in enqueued
    async with database.work(tenant.id) as work:
        await properties.remove(work, houses[2])
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
        await import_properties(work, path, delete_missing=True)
    assert await marked(database, tenant) == sorted(
        [(Marked.PROPERTY, houses[1]), *((Marked.USER, one) for one in users)]
    )
    # Of too many everything is written anyway.
    monkeypatch.setattr(indexing, "REINDEX_ABOVE", 0)
    path.write_text("external_id\n2\n")
    async with database.work(tenant.id) as work:
        await import_properties(work, path, delete_missing=True)
    assert await marked(database, tenant) == [(Marked.EVERYTHING, tenant.id)]


async def test_what_the_index_must_hold_is_what_is_not_marked(
    database: Database, tenant: Tenant, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    houses, users = street
    async with database.work(tenant.id) as work:
        assert await indexing.settled(work) == Settled(3, [])
        for _ in range(2):
            await indexing.mark(work, Marked.PROPERTY, houses[:2])
        await indexing.mark(work, Marked.USER, users)
        found = await indexing.settled(work)
        assert found is not None
        assert (found.properties, set(found.marked)) == (1, set(houses[:2]))
        # Also of what is gone.
        await properties.remove(work, houses[0])
        found = await indexing.settled(work)
        assert found is not None
        assert (found.properties, set(found.marked)) == (1, set(houses[:2]))
        with monkeypatch.context() as patched:
            patched.setattr(indexing, "REINDEX_ABOVE", 1)
            assert await indexing.settled(work) is None
        work.session.add(
            IndexMark(tenant_id=tenant.id, kind=Marked.EVERYTHING, subject_id=tenant.id)
        )
        await work.session.flush()
        assert await indexing.settled(work) is None


async def test_marks_are_given_oldest_first_without_those_to_be_left_out(
    database: Database, tenant: Tenant, street: Street
) -> None:
    houses, users = street
    for house in houses:
        async with database.work(tenant.id) as work:
            await indexing.mark(work, Marked.PROPERTY, [house])
    async with database.work(tenant.id) as work:
        found = await indexing.marks(work, 2)
        assert [one.subject_id for one in found] == houses[:2]
        left = await indexing.marks(work, 2, without=[found[0].id])
        assert [one.subject_id for one in left] == houses[1:]
        assert {one.subject_id for one in await indexing.marks_of(work, houses[:1])} == {houses[0]}
        assert await indexing.marks_of(work, []) == []
        assert (await indexing.waiting(work)).marks == 3
        assert await indexing.concerned(work, users) == set(users)
        await indexing.unmark(work, [found[1]])
        assert await indexing.concerned(work, users) == {users[0]}


async def test_marks_are_the_tenants_own(
    database: Database, tenant: Tenant, other_tenant: Tenant, street: Street
) -> None:
    houses, users = street
    async with database.work(tenant.id) as work:
        await indexing.mark(work, Marked.PROPERTY, houses)
        found = await indexing.marks(work, 10)
        work.session.add(
            IndexMark(tenant_id=tenant.id, kind=Marked.EVERYTHING, subject_id=tenant.id)
        )
    async with database.work(other_tenant.id) as work:
        assert await properties.ids(work) == set()
        assert await indexing.marks(work, 10) == []
        assert await indexing.marks_of(work, houses) == []
        assert await indexing.marks_of_everything(work) == []
        assert await indexing.settled(work) == Settled(0, [])
        assert (await indexing.waiting(work)).marks == 0
        assert await indexing.concerned(work, users) == set()
        # Marks of its own, that name what is none of its.
        await indexing.mark_investors(work, houses)
        assert (await indexing.waiting(work)).marks == 0
        await indexing.unmark(work, found)
    async with database.work(tenant.id) as work:
        assert (await indexing.waiting(work)).marks == 4
        await indexing.mark_investors(work, houses)
        assert (await indexing.waiting(work)).marks == 4 + len(users)
