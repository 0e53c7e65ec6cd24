"""Properties reach memory as they are stored, and every committed change follows."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import func, select, text, update

from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from domain.contract.vocabulary import InteractionKind, ListingStatus, PropertyType
from domain.core.database import Database
from domain.core.work import Work
from domain.imports.interactions import import_interactions
from domain.imports.missing import DeletionLimit
from domain.imports.properties import import_properties
from domain.imports.sources import RecordSource
from domain.imports.undo import undo
from domain.interactions import interactions
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.jobs.property_log import KEPT, READ_WITHIN, PropertyChange, purge
from domain.members import members
from domain.properties import feed as feeds
from domain.properties import snapshots, table
from domain.properties.feed import DatabaseFeed
from domain.properties.input import PropertyInput
from domain.properties.table import Property
from domain.properties.upsert import upsert
from domain.tenants.tenants import Tenant
from tests.factories import add_property, add_user

ARRAYS = ("numeric", "property_type", "listing_status", "listed_at", "owners")
ALL = DeletionLimit(100, percent=True)

Row = tuple[Any, ...]


@pytest.fixture
def feed(database: Database) -> DatabaseFeed:
    return DatabaseFeed(database)


def rows(columns: PropertyColumns) -> dict[UUID, Row]:
    """Each property as values that can be compared."""
    arrays = [getattr(columns, name) for name in ARRAYS]
    others = zip(columns.ids, columns.zipcode, columns.city, columns.labels, strict=True)
    return {
        one[0]: (*one, *(array[row].tobytes() for array in arrays))
        for row, one in enumerate(others)
    }


class Mirror:
    """A tenant's properties in memory, as a process keeps them."""

    def __init__(self, feed: DatabaseFeed, tenant_id: UUID) -> None:
        self._feed = feed
        self._tenant_id = tenant_id
        self.position = ""
        self.rows: dict[UUID, Row] = {}

    async def load(self) -> None:
        self.position = await self._feed.position(self._tenant_id)
        self.rows = {}
        async for batch in self._feed.batches(self._tenant_id):
            self.rows |= rows(batch)

    async def catch_up(self) -> set[UUID]:
        """The ids of what is said to have changed, which the rows now hold."""
        found = await self._feed.changes(self._tenant_id, self.position)
        assert found is not None
        self.position = found.position
        self.rows |= rows(found.columns)
        for one in found.deleted:
            self.rows.pop(one, None)
        return {*found.columns.ids, *found.deleted}


@pytest.fixture
async def mirror(feed: DatabaseFeed, tenant: Tenant) -> Mirror:
    found = Mirror(feed, tenant.id)
    await found.load()
    return found


@pytest.fixture
def send(database: Database, tenant: Tenant) -> Callable[..., Awaitable[UUID]]:
    """Commits an upsert of one property; returns its id."""

    async def send(external_id: str, **values: Any) -> UUID:
        async with database.work(tenant.id) as work:
            item = PropertyInput(external_id=external_id, **values)
            return (await upsert(work, [item]))[0].property_id

    return send


Send = Callable[..., Awaitable[UUID]]


async def test_batches_equal_snapshots(
    database: Database, tenant: Tenant, feed: DatabaseFeed
) -> None:
    strange = "a\tb\nc\r\\N \\. \"q\" 's' {1,NULL} \x01\x1f \u2028 \U0001f3e0 Se\u0301oul \\u0041"
    async with database.work(tenant.id) as work:
        for kind in PropertyType:
            await add_property(work, property_type=kind, external_id=f"{kind} {strange}")
        for status in ListingStatus:
            await add_property(work, listing_status=status, city=strange, state=strange)
        for name in (*NUMERIC_COLUMNS, "property_type", "listing_status", "city"):
            await add_property(work, **{name: None})
        await add_property(work, zipcode=None, state=None, address=None)
        await add_property(work, city="", state="", zipcode="", address="")
        await add_property(
            work,
            listed_at=datetime(2026, 2, 28, 23, 59, 59, 999999, UTC),
            listing_price=0.1 + 0.2,
            cap_rate=-0.0,
            square_feet=1e300,
            condition_score=5e-324,
            renovation_needed=True,
            owners=2**31 - 1,
        )
        await add_property(work, listed_at=datetime(1900, 1, 1, tzinfo=UTC), bedrooms=-1)
        expected = await snapshots.snapshot_after(work)
    found = [batch async for batch in feed.batches(tenant.id)]
    assert [len(batch) for batch in found] == [len(expected)]
    assert rows(found[0]) == rows(expected)
    assert found[0].ids == expected.ids
    for name in ARRAYS:
        ours, theirs = getattr(found[0], name), getattr(expected, name)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.flags.c_contiguous
        assert not np.shares_memory(ours, theirs)
    assert await feed.count(tenant.id) == len(expected)


async def test_batches_join_to_all_properties_in_the_order_of_ids(
    database: Database, tenant: Tenant, feed: DatabaseFeed
) -> None:
    count = feeds.BATCH + 1
    async with database.work(tenant.id) as work:
        await work.session.execute(
            text(
                "INSERT INTO properties (tenant_id, external_id)"
                " SELECT :tenant, n FROM generate_series(1, :count) AS n"
            ),
            {"tenant": tenant.id, "count": count},
        )
        expected = sorted(await snapshots.ids(work))
    found = [batch.ids async for batch in feed.batches(tenant.id)]
    assert [len(batch) for batch in found] == [feeds.BATCH, 1]
    assert [one for batch in found for one in batch] == expected


async def test_nothing_is_read_of_a_tenant_without_properties(
    tenant: Tenant, feed: DatabaseFeed, mirror: Mirror
) -> None:
    assert [batch async for batch in feed.batches(tenant.id)] == []
    assert await feed.count(tenant.id) == 0
    assert await mirror.catch_up() == set()


async def test_every_way_to_change_properties_is_followed(
    database: Database, tenant: Tenant, feed: DatabaseFeed, mirror: Mirror
) -> None:
    async with database.work(tenant.id) as work:
        ann, bob = [(await add_user(work, external_id=name)).id for name in ("ann", "bob")]
    ids: dict[str, UUID] = {}

    async def upsert_new(work: Work) -> None:
        sent = [PropertyInput(external_id=name, city="Kent") for name in "ABCD"]
        ids.update(zip("ABCD", [one.property_id for one in await upsert(work, sent)], strict=True))

    async def upsert_changed(work: Work) -> None:
        await upsert(work, [PropertyInput(external_id="B", city="Lynden")])

    async def remove(work: Work) -> None:
        await table.remove(work, ids["D"])

    async def load_file(work: Work) -> None:
        sent = [{"external_id": "A", "city": "Bothell"}, {"external_id": "E"}]
        await import_properties(
            work, RecordSource("houses", sent), delete_missing=True, delete_at_most=ALL
        )

    async def undo_last(work: Work) -> None:
        await undo(work, None, "test")

    async def deal(work: Work) -> None:
        await interactions.record(work, ann, ids["A"], InteractionKind.DEAL)

    async def load_deals(work: Work) -> None:
        sent = [
            {"property": name, "user": "bob", "kind": "DEAL", "occurred_at": "2024-05-01"}
            for name in "AC"
        ]
        await import_interactions(work, RecordSource("deals", sent))

    async def remove_user(work: Work) -> None:
        await members.remove(work, ann)

    async def remove_other_user(work: Work) -> None:
        await members.remove(work, bob)

    for step, changed in (
        (upsert_new, "ABCD"),
        (upsert_changed, "B"),
        (remove, "D"),
        (load_file, "ABCE"),
        (undo_last, "ABCE"),
        (deal, "A"),
        (load_deals, "AC"),
        (undo_last, "AC"),
        (load_deals, "AC"),
        (remove_user, "A"),
        (remove_other_user, "AC"),
    ):
        async with database.work(tenant.id) as work:
            await step(work)
        async with database.work(tenant.id) as work:
            for found in await work.session.scalars(select(Property)):
                ids[found.external_id] = found.id
        assert await mirror.catch_up() == {ids[name] for name in changed}, step.__name__
        fresh = Mirror(feed, tenant.id)
        await fresh.load()
        assert mirror.rows == fresh.rows, step.__name__


async def test_engagement_is_no_change(database: Database, tenant: Tenant, mirror: Mirror) -> None:
    """Neither the model nor a filter reads it."""
    async with database.work(tenant.id) as work:
        user, house = await add_user(work), await add_property(work)
        await interactions.record(work, user.id, house.id, InteractionKind.VIEW)
        await interactions.submit_feedback(work, user.id, house.id, InteractionKind.THUMBS_UP, None)
    assert await mirror.catch_up() == set()


async def test_a_change_is_told_after_its_commit_in_order_and_once(
    database: Database, tenant: Tenant, mirror: Mirror, send: Send
) -> None:
    async with database.work(tenant.id) as work:
        item = PropertyInput(external_id="A", city="Kent")
        house = (await upsert(work, [item]))[0].property_id
        assert await mirror.catch_up() == set()
    assert await mirror.catch_up() == {house}
    assert await mirror.catch_up() == set()
    for city in ("Lynden", "Bothell"):
        await send("A", city=city)
    assert await mirror.catch_up() == {house}
    assert mirror.rows[house][2] == "Bothell"


async def test_a_rollback_tells_nothing(database: Database, tenant: Tenant, mirror: Mirror) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.work(tenant.id) as work:
            await upsert(work, [PropertyInput(external_id="A")])
            raise ZeroDivisionError
    assert await mirror.catch_up() == set()


async def test_a_transaction_that_commits_late_is_not_lost(
    database: Database, tenant: Tenant, feed: DatabaseFeed, mirror: Mirror
) -> None:
    async with database.work(tenant.id) as work:
        early, late = [(await add_property(work)).id for _ in range(2)]

    async def change(work: Work, house: UUID) -> None:
        await work.session.execute(
            update(Property).where(Property.id == house).values(city=f"City of {house}")
        )
        await index_outbox.follow(work, Marked.PROPERTY, [house])

    async with database.work(tenant.id) as long:
        await change(long, late)
        for _ in range(2):
            # It has taken its place in the log before what is read here.
            async with database.work(tenant.id) as work:
                await change(work, early)
            assert await mirror.catch_up() == {early}
        fresh = Mirror(feed, tenant.id)
        await fresh.load()
    for reader in (mirror, fresh):
        assert await reader.catch_up() == {late}
        assert reader.rows[late][2] == f"City of {late}"
        assert await reader.catch_up() == set()


async def test_too_many_changes_are_told_as_everything(
    database: Database,
    tenant: Tenant,
    feed: DatabaseFeed,
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_outbox, "REINDEX_ABOVE", 1)
    async with database.work(tenant.id) as work:
        await upsert(work, [PropertyInput(external_id=name) for name in "AB"])
    assert await feed.changes(tenant.id, mirror.position) is None
    await mirror.load()
    assert await mirror.catch_up() == set()


async def test_an_old_position_is_told_nothing(
    tenant: Tenant, feed: DatabaseFeed, mirror: Mirror, send: Send
) -> None:
    snapshot, moment = mirror.position.split(" ")
    house = await send("A")
    limit = READ_WITHIN.total_seconds()
    found = await feed.changes(tenant.id, f"{snapshot} {float(moment) - limit + 60}")
    assert found is not None
    assert found.columns.ids == (house,)
    assert await feed.changes(tenant.id, f"{snapshot} {float(moment) - limit}") is None


async def test_what_was_logged_long_ago_is_purged(
    database: Database, tenant: Tenant, other_tenant: Tenant, mirror: Mirror, send: Send
) -> None:
    house = await send("A")
    async with database.work(tenant.id) as work:
        await work.session.execute(
            update(PropertyChange).values(created_at=func.now() - KEPT - timedelta(seconds=1))
        )
        found = await work.session.scalar(text("SELECT now()"))
    new = await send("B")
    async with database.work(other_tenant.id) as work:
        await purge(work, found)
    assert await mirror.catch_up() == {house, new}
    async with database.work(tenant.id) as work:
        await purge(work, found)
    await mirror.load()
    async with database.work(tenant.id) as work:
        left = await work.session.scalars(text("SELECT property_id FROM property_log"))
        assert list(left) == [new]


async def test_a_log_from_another_servers_dump_says_nothing(
    database: Database, tenant: Tenant, mirror: Mirror, send: Send
) -> None:
    async with database.work(tenant.id) as work:
        await work.session.execute(
            text(
                "INSERT INTO property_log (tenant_id, transaction_id) VALUES"
                f" (:tenant, '{2**62}'), (:tenant, '3')"
            ),
            {"tenant": tenant.id},
        )
    house = await send("A")
    assert await mirror.catch_up() == {house}


async def test_the_feed_is_the_tenants_own(
    database: Database, other_tenant: Tenant, feed: DatabaseFeed, send: Send
) -> None:
    other = Mirror(feed, other_tenant.id)
    await other.load()
    house = await send("A")
    assert await feed.count(other_tenant.id) == 0
    assert await other.catch_up() == set()
    # Not even if its own log names it.
    async with database.work(other_tenant.id) as work:
        await index_outbox.mark(work, Marked.PROPERTY, [house])
    assert await other.catch_up() == {house}
    assert other.rows == {}
    assert [batch async for batch in feed.batches(other_tenant.id)] == []


async def test_what_the_index_writes_again_did_not_change(
    database: Database, tenant: Tenant, mirror: Mirror, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await send("A")
    assert await mirror.catch_up() == {house}
    async with database.work(tenant.id) as work:
        await index_outbox.mark_again(work, Marked.PROPERTY, [house])
        monkeypatch.setattr(index_outbox, "REINDEX_ABOVE", 0)
        await index_outbox.mark_again(work, Marked.PROPERTY, [house])
        assert len(await index_outbox.all_marks(work)) == 3
    assert await mirror.catch_up() == set()
