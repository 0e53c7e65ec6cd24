"""Undoing imports: everything as it was, but for what changed since."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from domain.changes.changes import Change, Operation
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.imports import record
from domain.imports.missing import DeletionLimit
from domain.imports.report import ImportReport
from domain.imports.undo import UndoReport, undo
from domain.interactions import interactions
from domain.interactions.interactions import Interaction
from domain.jobs.index_outbox import Marked
from domain.members import members
from domain.properties import table
from domain.properties.input import PropertyInput
from domain.properties.table import Property
from domain.properties.upsert import upsert
from domain.tenants.tenants import Tenant
from domain.users.users import User
from tests.factories import add_interaction, add_user, take_marks
from tests.waiting import until_waiting

Load = Callable[..., Awaitable[ImportReport]]
Stored = Callable[..., Awaitable[dict[str, Property]]]
TakeBack = Callable[..., Coroutine[None, None, UndoReport]]
ALL = DeletionLimit(100, percent=True)
HOUSES = "external_id,city,listing_price,bedrooms\n"


@pytest.fixture
def take_back(database: Database, tenant: Tenant) -> TakeBack:
    async def take_back(import_id: UUID | None = None, of: Tenant = tenant) -> UndoReport:
        async with database.work(of.id) as work:
            return await undo(work, import_id, "test")

    return take_back


async def rows(database: Database, tenant: Tenant, name: str) -> list[dict[str, Any]]:
    """All rows of a table, but for the time of the last write."""
    async with database.work(tenant.id) as work:
        query = text(f"SELECT to_jsonb(t) - 'updated_at' FROM {name} AS t ORDER BY id")
        return list(await work.session.scalars(query))


async def send(database: Database, tenant: Tenant, **values: Any) -> None:
    async with database.work(tenant.id) as work:
        await upsert(work, [PropertyInput(**values)])


def kinds(report: UndoReport) -> dict[str, int]:
    return dict(report.left_by_reason)


async def test_deleted_properties_come_back_with_all_that_was_theirs(
    database: Database, tenant: Tenant, load: Load, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100.5,2\nB,Kent,200,\nC,,,\n", constants={"confidence": "0.1"})
    async with database.work(tenant.id) as work:
        ann, bob = await add_user(work), await add_user(work)
        held = {one.external_id: one.id for one in await work.session.scalars(select(Property))}
        for user, kind in ((ann, InteractionKind.DEAL), (bob, InteractionKind.SAVE)):
            await add_interaction(work, user.id, held["B"], kind)
        await interactions.submit_feedback(
            work, ann.id, held["C"], InteractionKind.THUMBS_DOWN, "no view"
        )
    before = [await rows(database, tenant, name) for name in ("properties", "interactions")]
    report = await load(HOUSES + "A,Kent,100.5,2\n", delete_missing=True, delete_at_most=ALL)
    assert (report.deleted, report.deleted_interactions) == (2, 3)
    await take_marks(database, tenant)

    done = await take_back()
    assert (done.properties_restored, done.interactions_restored) == (2, 3)
    assert (done.properties_reverted, done.properties_removed, kinds(done)) == (0, 0, {})
    assert [await rows(database, tenant, name) for name in ("properties", "interactions")] == before
    assert await take_marks(database, tenant) == {
        (Marked.PROPERTY, held["B"]),
        (Marked.PROPERTY, held["C"]),
        (Marked.USER, ann.id),
        (Marked.USER, bob.id),
    }
    assert [one["operation"] for one in await rows(database, tenant, "changes")] == ["INSERT"]


async def test_changed_fields_get_their_values_and_stamps_back(
    database: Database, tenant: Tenant, load: Load, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\nB,Kent,200,\n")
    before = await rows(database, tenant, "properties")
    await load(HOUSES + "A,Renton,,2\nB,Kent,200,4\nC,Kent,1,1\n", constants={"confidence": "0.5"})
    done = await take_back()
    assert (done.properties_reverted, done.properties_removed, kinds(done)) == (2, 1, {})
    assert await rows(database, tenant, "properties") == before


async def test_a_zipcode_comes_back_as_one_that_lost_its_zeros(
    database: Database, tenant: Tenant, load: Load, take_back: TakeBack
) -> None:
    await load("external_id,zipcode\nA,2139\nB,98101\n")
    before = await rows(database, tenant, "properties")
    assert {row["canonical_zipcode"] for row in before} == {"02139", "98101"}
    await load("external_id,zipcode\nA,98102\n")
    await take_back()
    assert await rows(database, tenant, "properties") == before

    await load("external_id,zipcode\nA,98102\n")
    await send(database, tenant, external_id="A", zipcode="2480")
    done = await take_back()
    assert kinds(done) == {"property: changed since": 1}
    found = await rows(database, tenant, "properties")
    assert {row["canonical_zipcode"] for row in found} == {"2480", "98101"}


async def test_what_changed_since_is_left_and_listed(
    database: Database, tenant: Tenant, load: Load, stored: Stored, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\nB,Kent,200,2\nC,Kent,300,2\nD,Kent,400,2\n")
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        await interactions.record(work, user.id, (await stored())["C"].id, InteractionKind.VIEW)
    report = await load(
        HOUSES + "A,Renton,150,3\nB,Renton,250,2\nE,Kent,1,1\nF,Kent,1,1\nG,Kent,1,1\n",
        delete_missing=True,
        delete_at_most=ALL,
    )
    assert (report.deleted, report.deleted_interactions) == (2, 1)
    await send(database, tenant, external_id="A", listing_price=175.0)
    await send(database, tenant, external_id="C", city="Tacoma")
    await send(database, tenant, external_id="E", city="Tacoma")
    held = await stored()
    async with database.work(tenant.id) as work:
        await interactions.record(work, user.id, held["F"].id, InteractionKind.VIEW)
        await table.remove(work, held["B"].id)

    done = await take_back()
    assert [str(one) for one in done.left] == [
        f"property '{held['B'].id}': deleted since",
        "property 'A': changed since: listing_price",
        "property 'C': exists again",
        "property 'E': changed since",
        "property 'F': has interactions",
        "interaction 'C': its property is left as it is",
    ]
    assert sum(kinds(done).values()) == 6
    after = await stored()
    assert after.keys() == {"A", "C", "D", "E", "F"}
    assert (after["A"].city, after["A"].listing_price, after["A"].bedrooms) == ("Kent", 175, 2)
    assert after["A"].provenance["listing_price"]["source"] == "api"
    assert after["C"].id == held["C"].id
    assert (done.properties_restored, done.properties_removed, done.properties_reverted) == (
        1,
        1,
        1,
    )
    assert "left as they are, by reason:" in done.lines()


async def test_imports_are_undone_one_after_the_other(
    load: Load, stored: Stored, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\n")
    await load(HOUSES + "A,Kent,110,2\nB,Kent,1,1\n")
    await load(HOUSES + "A,Kent,120,3\nB,Kent,2,1\n")
    for price, bedrooms, count in ((110, 2, 2), (100, 2, 1)):
        assert kinds(await take_back()) == {}
        held = await stored()
        assert (held["A"].listing_price, held["A"].bedrooms) == (price, bedrooms)
        assert len(held) == count
    await take_back()
    assert await stored() == {}
    with pytest.raises(DomainError, match="there is no import to undo"):
        await take_back()


async def test_an_earlier_import_leaves_what_a_later_one_wrote(
    load: Load, stored: Stored, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\n")
    second = await load(HOUSES + "A,Kent,110,3\n")
    await load("external_id,listing_price\nA,120\n")
    done = await take_back(second.import_id)
    assert [one.fields for one in done.left] == [("listing_price",)]
    held = (await stored())["A"]
    assert (held.listing_price, held.bedrooms) == (120, 2)
    with pytest.raises(DomainError, match=r"was undone at .*import its file again"):
        await take_back(second.import_id)


async def test_an_undone_change_that_was_left_still_counts_as_one(
    database: Database, tenant: Tenant, load: Load, stored: Stored, take_back: TakeBack
) -> None:
    first = await load(HOUSES + "A,Kent,100,2\n")
    second = await load(HOUSES + "A,Kent,110,2\n")
    await send(database, tenant, external_id="A", listing_price=120.0)
    await take_back(second.import_id)
    done = await take_back(first.import_id)
    assert kinds(done) == {"property: changed since": 1}
    assert (await stored())["A"].listing_price == 120


async def test_an_import_of_interactions_is_undone(
    database: Database, tenant: Tenant, load: Load, load_acts: Load, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\nB,Kent,200,2\n")
    header = "property,user,kind,occurred_at\n"
    await load_acts(
        header + "A,ann,THUMBS_UP,2024-01-01\nA,ann,DEAL,2024-01-01\n", create_users=True
    )
    tables = ("users", "interactions", "properties")
    before = [await rows(database, tenant, name) for name in tables]
    await load_acts(
        header + "A,ann,THUMBS_DOWN,2024-02-01\nA,ann,VIEW,2024-02-01\nB,bob,DEAL,2024-02-01\n"
        "B,cy@example.com,THUMBS_UP,2024-02-01\n",
        create_users=True,
    )
    await take_marks(database, tenant)
    done = await take_back()
    assert (done.interactions_removed, done.interactions_reverted, done.users_removed) == (3, 1, 2)
    assert kinds(done) == {}
    assert [await rows(database, tenant, name) for name in tables] == before
    marked = {kind for kind, _ in await take_marks(database, tenant)}
    assert marked == {Marked.PROPERTY, Marked.USER}


async def test_what_people_did_since_is_left(
    database: Database, tenant: Tenant, load: Load, load_acts: Load, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\nB,Kent,200,2\nC,Kent,1,1\n")
    header = "property,user,kind,occurred_at\n"
    await load_acts(header + "A,ann,THUMBS_UP,2024-01-01\n", create_users=True)
    await load_acts(
        header + "A,ann,THUMBS_DOWN,2024-02-01\nB,ann,THUMBS_UP,2024-02-01\n"
        "C,ann,THUMBS_UP,2024-02-01\n"
        + "".join(f"A,{name},VIEW,2024-02-01\n" for name in ("bob", "cy", "di", "eve")),
        create_users=True,
    )
    async with database.work(tenant.id) as work:
        people = {one.external_id: one.id for one in await work.session.scalars(select(User))}
        held = {one.external_id: one.id for one in await work.session.scalars(select(Property))}
        ann, up = people["ann"], InteractionKind.THUMBS_UP
        await interactions.submit_feedback(work, ann, held["A"], up, "after all")
        await interactions.submit_feedback(work, ann, held["B"], up, "the view")
        await interactions.retract_feedback(work, ann, held["C"])
        await interactions.record(work, people["bob"], held["B"], InteractionKind.SAVE)
        rename = members.MemberInput(external_id="cy", name="Cy")
        promote = members.MemberInput(external_id="di", role="admin")
        await members.upsert(work, [rename, promote])
    done = await take_back()
    assert kinds(done) == {
        "interaction: changed since": 2,
        "interaction: deleted since": 1,
        "user: has done something else": 1,
        "user: changed since": 1,
        "user: is an admin": 1,
    }
    assert (done.interactions_removed, done.users_removed) == (4, 1)
    async with database.work(tenant.id) as work:
        opinions = await interactions.feedback(work, ann, list(held.values()))
        assert {one: act.reason for one, act in opinions.items()} == {
            held["A"]: "after all",
            held["B"]: "the view",
        }
        left = await work.session.scalars(select(User.external_id).order_by(User.external_id))
        assert list(left) == ["ann", "bob", "cy", "di"]


async def test_a_deleted_user_is_forgotten_and_not_brought_back(
    database: Database, tenant: Tenant, load: Load, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\nB,Kent,200,2\n")
    async with database.work(tenant.id) as work:
        ann, bob = await add_user(work), await add_user(work)
        house = await work.session.scalar(select(Property.id).where(Property.external_id == "B"))
        assert house is not None
        for user in (ann, bob):
            await interactions.submit_feedback(
                work, user.id, house, InteractionKind.THUMBS_UP, f"secret of {user.external_id}"
            )
            await interactions.submit_feedback(
                work, user.id, house, InteractionKind.THUMBS_DOWN, "no"
            )
    await load(HOUSES + "A,Kent,100,2\n", delete_missing=True, delete_at_most=ALL)
    async with database.work(tenant.id) as work:
        await members.remove(work, ann.id)
    kept = str(await rows(database, tenant, "changes"))
    assert str(ann.id) not in kept
    assert ann.external_id not in kept
    assert bob.external_id in kept
    done = await take_back()
    assert (done.properties_restored, done.interactions_restored) == (1, 1)
    assert kinds(done) == {"interaction: its user was deleted since": 1}
    assert done.lines()[-2:] == [
        "left as they are, by reason:",
        "  1 x interaction: its user was deleted since",
    ]
    (restored,) = [
        one for one in await rows(database, tenant, "properties") if one["id"] == str(house)
    ]
    assert restored["engagement"] == 0


async def test_every_write_of_a_property_is_recorded(database: Database, tenant: Tenant) -> None:
    await send(database, tenant, external_id="A", city="Kent", bedrooms=2)
    await send(database, tenant, external_id="A", city="Renton", bedrooms=2)
    await send(database, tenant, external_id="A", city="Renton")
    async with database.work(tenant.id) as work:
        house = await work.session.scalar(select(Property))
        assert house is not None
        await table.remove(work, house.id)
    async with database.work(tenant.id) as work:
        found = list(await work.session.scalars(select(Change).order_by(Change.id)))
    assert [(one.operation, one.subject_id) for one in found] == [
        (Operation.UPDATE, house.id),
        (Operation.DELETE, house.id),
    ]
    updated, deleted = (one.before for one in found)
    assert deleted is not None
    assert updated == {"city": "Kent"}
    assert (found[0].provenance or {}).keys() == {"city", "bedrooms"}
    assert (deleted["city"], deleted["bedrooms"], "search" in deleted) == ("Renton", 2, False)


async def test_an_import_is_on_record(
    database: Database, tenant: Tenant, load: Load, load_acts: Load
) -> None:
    with pytest.raises(Exception, match="no column"):
        await load("city\nKent\n")
    report = await load("id,city\nA,Kent\n", mapping={"external_id": "id"}, actor="cli:ann")
    await load_acts("property,user,kind,occurred_at\n", name="acts.csv.gz")
    async with database.work(tenant.id) as work:
        acts, houses = await record.page(work)
        assert await record.count(work) == 2
    assert (houses.id, houses.noun, houses.source) == (report.import_id, "PROPERTY", "file.csv")
    assert (houses.actor, houses.mapping) == (
            "cli:ann", {"external_id": "id", "city": "city"},
        )  # fmt: skip
    assert houses.sha256 == hashlib.sha256(b"id,city\nA,Kent\n").hexdigest()
    assert (houses.counts["read"], houses.counts["inserted"], houses.undone_at) == (1, 1, None)
    assert (acts.noun, acts.source, acts.options["role"]) == (
        "INTERACTION",
        "acts.csv.gz",
        "viewer",
    )


async def test_no_tenant_undoes_the_import_of_another(
    load: Load, other_tenant: Tenant, stored: Stored, take_back: TakeBack
) -> None:
    report = await load(HOUSES + "A,Kent,100,2\n")
    with pytest.raises(DomainError) as refused:
        await take_back(report.import_id, of=other_tenant)
    assert refused.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(DomainError, match="no import to undo"):
        await take_back(of=other_tenant)
    assert (await stored()).keys() == {"A"}


async def test_an_import_too_large_for_a_request_is_refused(
    database: Database, tenant: Tenant, load: Load
) -> None:
    report = await load(HOUSES + "A,Kent,100,2\nB,Kent,100,2\n")
    async with database.work(tenant.id) as work:
        with pytest.raises(DomainError, match=f"twin import undo --tenant SLUG {report.import_id}"):
            await undo(work, report.import_id, "test", at_most=1)
        with pytest.raises(DomainError, match="No such import"):
            await undo(work, uuid4(), "test")
        assert (await undo(work, None, "test", at_most=2)).properties_removed == 2


async def test_a_failure_in_the_middle_leaves_everything(
    database: Database, tenant: Tenant, load: Load, stored: Stored, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\nB,Kent,1,1\n")
    await load(HOUSES + "A,Kent,110,2\nC,Kent,1,1\n", delete_missing=True, delete_at_most=ALL)
    before = [await rows(database, tenant, name) for name in ("properties", "changes", "imports")]
    with pytest.raises(RuntimeError, match="power"):
        async with database.work(tenant.id) as work:
            await undo(work, None, "test")
            raise RuntimeError("power failed")
    after = [await rows(database, tenant, name) for name in ("properties", "changes", "imports")]
    assert after == before
    assert kinds(await take_back()) == {}
    assert (await stored()).keys() == {"A", "B"}


async def test_times_and_numbers_come_back_exactly(
    database: Database, tenant: Tenant, load: Load, take_back: TakeBack
) -> None:
    odd = {
        "latitude": 47.123456789012345,
        "listing_price": 999_999_999_999.125,
        "cap_rate": 0.1 + 0.2,
        "listed_at": datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "renovation_needed": False,
        "address": 'quote " \\ \u00e9 \U0001f600',
    }
    await send(database, tenant, external_id="A", **odd)
    before = await rows(database, tenant, "properties")
    await load("external_id\nB\n", delete_missing=True, delete_at_most=ALL)
    await take_back()
    assert await rows(database, tenant, "properties") == before
    await load(
        "external_id,latitude,listing_price,cap_rate,listed_at,renovation_needed,address\nA,,,,,,\n"
    )
    await take_back()
    assert await rows(database, tenant, "properties") == before


async def test_an_act_that_came_back_counts_for_the_twin(
    database: Database, tenant: Tenant, load: Load, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\n")
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        house = await work.session.scalar(select(Property.id))
        assert house is not None
        await interactions.record(work, user.id, house, InteractionKind.DEAL)
    await load("external_id\nB\n", delete_missing=True, delete_at_most=ALL)
    await take_back()
    async with database.work(tenant.id) as work:
        act = await work.session.scalar(select(Interaction))
        assert act is not None
        assert (act.user_id, act.property_id, act.kind) == (user.id, house, InteractionKind.DEAL)
        assert await work.session.scalar(select(Property.owners)) == 1


async def test_an_undo_waits_for_who_acts_on_what_it_would_remove(
    database: Database,
    tenant: Tenant,
    load: Load,
    load_acts: Load,
    stored: Stored,
    take_back: TakeBack,
) -> None:
    header = "property,user,kind,occurred_at\n"
    houses = await load(HOUSES + "A,Kent,100,2\n")
    await load_acts(header + "A,ann,THUMBS_UP,2024-01-01\n", create_users=True)
    house = (await stored())["A"].id
    async with database.work(tenant.id) as work:
        ann = await work.session.scalar(select(User.id))
        assert ann is not None
        await interactions.submit_feedback(work, ann, house, InteractionKind.THUMBS_DOWN, None)
        undoing = asyncio.create_task(take_back())
        await until_waiting(database, 1)
    done = await undoing
    assert kinds(done) == {"interaction: changed since": 1, "user: has done something else": 1}
    async with database.work(tenant.id) as work:
        await interactions.retract_feedback(work, ann, house)
    async with database.work(tenant.id) as work:
        await interactions.record(work, ann, house, InteractionKind.VIEW)
        undoing = asyncio.create_task(take_back(houses.import_id))
        await until_waiting(database, 1)
    assert kinds(await undoing) == {"property: has interactions": 1}
    assert (await stored()).keys() == {"A"}


async def test_a_user_who_is_deleted_while_its_acts_come_back_leaves_none(
    database: Database, tenant: Tenant, load: Load, take_back: TakeBack
) -> None:
    await load(HOUSES + "A,Kent,100,2\n")
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        house = await work.session.scalar(select(Property.id))
        assert house is not None
        await interactions.record(work, user.id, house, InteractionKind.SAVE)
    await load("external_id\nB\n", delete_missing=True, delete_at_most=ALL)
    async with database.work(tenant.id) as work:
        await members.remove(work, user.id)
        undoing = asyncio.create_task(take_back())
        await until_waiting(database, 1)
    assert kinds(await undoing) == {"interaction: its user was deleted since": 1}
    assert await rows(database, tenant, "interactions") == []
    assert str(user.id) not in str(await rows(database, tenant, "changes"))
