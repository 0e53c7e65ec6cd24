"""Reading a feed: nothing twice and nothing missed, whatever interrupts it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, count
from typing import Any, Literal
from uuid import uuid4

import pytest
from sqlalchemy import select, text

import runtime
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.core.leases import LockedError
from domain.core.outcome import Outcome
from domain.core.work import Job, Work
from domain.imports.report import ImportReport, problem
from domain.imports.reso.errors import ResoError
from domain.imports.reso.feeds import ResoFeed
from domain.imports.reso.replication import EMPTY_PAGES, FeedReport, Load, replicate
from domain.imports.reso.transport import TRIES
from domain.properties.input import PropertyInput
from domain.properties.table import Property
from domain.properties.upsert import upsert
from domain.tenants.tenants import Tenant
from tests.domain.imports.reso.conftest import Connect
from tests.reso_server import ResoServer, answer, record

Run = Callable[..., Awaitable[FeedReport]]
Order = Literal["honoured", "ignored", "refused"]
STATUSES = {"Delete": "OFF_MARKET", "Active": "ACTIVE"}


async def load_page(work: Work, records: Sequence[Mapping[str, Any]]) -> ImportReport:
    """A small import: a record without a key is skipped."""
    report, items = ImportReport(), []
    for number, one in enumerate(records, 1):
        report.read += 1
        if not one.get("ListingKey"):
            report.skip([problem(number, "ListingKey", None, "is missing")])
            continue
        items.append(
            PropertyInput(
                external_id=one["ListingKey"],
                listing_price=one.get("ListPrice"),
                listing_status=STATUSES.get(one.get("StandardStatus", "Active")),
            )
        )
    outcomes = [one.outcome for one in await upsert(work, items)]
    report.inserted = outcomes.count(Outcome.CREATED)
    report.updated = outcomes.count(Outcome.UPDATED)
    report.unchanged = outcomes.count(Outcome.UNCHANGED)
    return report


def failing(page: int) -> Load:
    """An import that fails at a page, after it has written it."""
    pages = count(1)

    async def load(work: Work, records: Sequence[Mapping[str, Any]]) -> ImportReport:
        report = await load_page(work, records)
        if next(pages) == page:
            raise InterruptedError
        return report

    return load


@pytest.fixture
def run(database: Database, tenant: Tenant, connect: Connect) -> Run:
    """One run over the feed, by pages of 10 records."""

    async def run(
        query: str = "",
        *,
        of: Tenant = tenant,
        load: Load = load_page,
        full: bool = False,
        page_size: int = 10,
        **options: Any,
    ) -> FeedReport:
        async with connect(query, page_size=page_size, **options) as client:
            return await replicate(database, of.id, client, load, full=full)

    return run


@pytest.fixture
def stored(database: Database, tenant: Tenant) -> Callable[..., Awaitable[dict[str, float | None]]]:
    """The prices of the tenant's properties, by external id."""

    async def stored(of: Tenant = tenant) -> dict[str, float | None]:
        async with database.work(of.id) as work:
            rows = await work.session.execute(select(Property.external_id, Property.listing_price))
            return {row.external_id: row.listing_price for row in rows}

    return stored


Stored = Callable[..., Awaitable[dict[str, float | None]]]


def held(server: ResoServer) -> dict[str, float | None]:
    """The same of the service."""
    return {one["ListingKey"]: one["ListPrice"] for one in server.records}


def keys(first: int, last: int) -> list[str]:
    return [f"L{number:05}" for number in range(first, last + 1)]


async def feeds(database: Database, of: Tenant) -> list[ResoFeed]:
    async with database.work(of.id) as work:
        return list(await work.session.scalars(select(ResoFeed)))


def fill(server: ResoServer, records: int, *, order: Order = "honoured") -> None:
    """Give it records an hour apart, so that pages do not overlap.

    Where it does not keep the order of modification, that is not the order of the keys.
    """
    server.order = order
    step = 60 if order == "honoured" else -60
    start = 0 if order == "honoured" else 60 * (records - 1)
    numbers = enumerate(keys(1, records))
    server.records = [record(start + step * number, ListingKey=key) for number, key in numbers]


async def test_a_first_run_reads_everything_and_a_second_what_changed(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    fill(server, 25)
    first = await run()
    assert (first.pages, first.rows.read, first.rows.inserted) == (3, 25, 25)
    assert (first.resumed, first.watermark_before) == (False, None)
    assert first.watermark == datetime(2024, 1, 2, tzinfo=UTC)
    assert await stored() == held(server)

    server.modify("L00003", "2024-01-02T06:00:00.000Z", ListPrice=1)
    server.modify("L00099", "2024-01-02T06:00:00.000Z", ListPrice=2)
    second = await run()
    assert server.given[3:] == [["L00025", "L00003", "L00099"]]
    counts = (second.rows.inserted, second.rows.updated, second.rows.unchanged)
    assert counts == (1, 1, 1)
    assert second.watermark_before == first.watermark
    assert second.watermark == datetime(2024, 1, 2, 6, tzinfo=UTC)
    assert await stored() == held(server)

    third = await run()
    assert (third.rows.read, third.rows.unchanged, third.pages) == (2, 2, 1)
    assert third.watermark == second.watermark


async def test_an_empty_feed_is_no_error(run: Run) -> None:
    report = await run()
    assert (report.pages, report.rows.read, report.watermark) == (1, 0, None)


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_a_run_that_fails_within_a_page_is_resumed(
    server: ResoServer, run: Run, stored: Stored, page: int
) -> None:
    fill(server, 25)
    with pytest.raises(InterruptedError):
        await run(load=failing(page))
    # The page left nothing behind.
    assert len(await stored()) == 10 * (page - 1)

    report = await run()
    assert report.resumed == (page > 1)
    assert report.rows.inserted == report.rows.read == 25 - 10 * (page - 1)
    assert len(server.asked) == 3 + 1
    assert await stored() == held(server)
    assert (await run()).rows.read == 1


async def test_a_run_that_is_resumed_late_also_reads_what_changed_since(
    server: ResoServer, run: Run, stored: Stored, database: Database, tenant: Tenant
) -> None:
    fill(server, 25)
    with pytest.raises(InterruptedError):
        await run(load=failing(3))
    async with database.work(tenant.id) as work:
        await work.session.execute(text("UPDATE reso_feeds SET started_at = '2024-01-02'"))
    server.modify("L00001", "2024-01-02T00:30:00.000Z", ListPrice=1)
    server.modify("L00002", "2024-01-02T00:40:00.000Z", ListPrice=2)
    report = await run()
    assert (report.resumed, report.pages) == (True, 2)
    assert report.watermark == datetime(2024, 1, 2, 0, 40, tzinfo=UTC)
    assert await stored() == held(server)


async def test_a_run_without_a_server_is_resumed(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    fill(server, 25)
    server.faults = dict.fromkeys(range(2, 2 + TRIES), answer({}, 500))
    with pytest.raises(ResoError, match="status 500"):
        await run()
    report = await run()
    assert (report.resumed, report.rows.inserted) == (True, 15)
    assert list(chain(*server.given)) == keys(1, 25)
    assert await stored() == held(server)


async def test_a_token_may_expire_at_every_page(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    fill(server, 25)
    server.uses = 1
    await run(grant=True)
    assert server.tokens == 3
    assert await stored() == held(server)


async def test_after_links_expired_a_run_begins_at_what_is_loaded(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    fill(server, 35)
    with pytest.raises(InterruptedError):
        await run(load=failing(3))
    server.expired = True
    server.faults = {5: revive(server)}
    report = await run()
    assert (report.resumed, report.restarts) == (True, 1)
    # In order of modification, so the first two pages need not be read again.
    assert list(chain(*server.given[3:])) == keys(20, 35)
    assert await stored() == held(server)


def revive(server: ResoServer) -> Callable[..., Awaitable[None]]:
    async def fault(_: object) -> None:
        server.expired = False

    return fault


async def test_after_links_expired_an_unordered_run_begins_at_its_start(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    fill(server, 35, order="ignored")
    with pytest.raises(InterruptedError):
        await run(load=failing(3))
    server.expired = True
    server.faults = {5: revive(server)}
    report = await run()
    assert list(chain(*server.given[3:])) == keys(1, 35)
    assert report.watermark == datetime(2024, 1, 2, 10, tzinfo=UTC)
    assert await stored() == held(server)


async def test_links_that_always_expire_end_the_run(server: ResoServer, run: Run) -> None:
    fill(server, 25, order="ignored")
    server.expired = True
    with pytest.raises(ResoError, match="the link has expired"):
        await run()
    assert len(server.asked) < 12


async def test_an_order_that_is_refused_is_not_asked_for(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    fill(server, 25, order="refused")
    report = await run()
    assert ["$orderby" in query for query in server.asked] == [True, False, False, False]
    assert report.watermark == datetime(2024, 1, 2, tzinfo=UTC)
    assert await stored() == held(server)


async def modified_meanwhile(server: ResoServer, run: Run, changes: dict[str, str]) -> None:
    async def fault(_: object) -> None:
        for key, moment in changes.items():
            server.modify(key, moment, ListPrice=7)

    server.faults = {2: fault}
    await run()
    server.faults = {}
    await run()


@pytest.mark.parametrize(
    ("order", "paging"),
    [
        ("honoured", "token"),
        ("honoured", "offset"),
        ("honoured", "none"),
        ("ignored", "token"),
        ("refused", "offset"),
    ],
)
async def test_what_changes_during_a_run_is_not_missed(
    server: ResoServer, run: Run, stored: Stored, order: Order, paging: Any
) -> None:
    fill(server, 35, order=order)
    server.paging = paging
    # Read already, on the border of a page, and not read yet.
    changes = dict.fromkeys(("L00003", "L00011", "L00030"), "2024-02-01T00:00:00.000Z")
    await modified_meanwhile(server, run, changes)
    assert await stored() == held(server)


async def test_links_that_count_records_are_not_followed_in_order(
    server: ResoServer, run: Run
) -> None:
    fill(server, 25)
    server.paging = "offset"
    await run()
    assert ["$skip" in query for query in server.asked] == [False] * 3
    assert server.given == [keys(1, 10), keys(10, 19), keys(19, 25)]


async def test_many_records_of_one_moment_are_read(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    fill(server, 45)
    for key in keys(6, 40):
        server.modify(key, "2024-01-01T05:00:00.000Z")
    server.paging = "offset"
    await run()
    assert await stored() == held(server)


async def test_an_answer_that_may_be_cut_is_refused(server: ResoServer, run: Run) -> None:
    fill(server, 25, order="ignored")
    server.paging = "none"
    with pytest.raises(ResoError, match="exactly 10 records came without a link to more"):
        await run()
    server.records = server.records[:9]
    assert (await run()).rows.inserted == 9


async def test_a_record_from_the_future_hides_nothing(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    fill(server, 5)
    server.modify("L00005", "2099-01-01T00:00:00.000Z")
    report = await run()
    assert report.watermark is not None
    assert report.watermark.year < 2099
    now = datetime.now(UTC) + timedelta(seconds=1)
    server.modify("L00001", now.isoformat(timespec="milliseconds"), ListPrice=3)
    await run()
    assert await stored() == held(server)


async def test_records_without_a_time_are_read_each_time(
    server: ResoServer, run: Run, stored: Stored
) -> None:
    server.faults = dict.fromkeys((1, 2), answer({"value": [{"ListingKey": "a"}]}))
    reports = [await run(), await run()]
    assert [one.rows.read for one in reports] == [1, 1]
    assert reports[1].watermark is None
    assert list(await stored()) == ["a"]


async def test_a_full_run_reads_everything_again(
    server: ResoServer, run: Run, database: Database, tenant: Tenant
) -> None:
    fill(server, 25)
    await run()
    report = await run(full=True)
    assert (report.rows.read, report.rows.unchanged, report.resumed) == (25, 25, False)
    assert len(await feeds(database, tenant)) == 1


async def test_a_filter_makes_another_feed(
    server: ResoServer, run: Run, database: Database, tenant: Tenant
) -> None:
    fill(server, 5)
    await run()
    await run("?$filter=City eq 'Rome'")
    assert server.asked[-1]["$filter"] == "City eq 'Rome'"
    await run("?$filter=City eq 'Rome'")
    assert server.asked[-1]["$filter"].startswith("City eq 'Rome' and ModificationTimestamp gt ")
    assert len(await feeds(database, tenant)) == 2


async def test_a_listing_that_is_taken_back_stays_off_the_market(
    server: ResoServer, run: Run, database: Database, tenant: Tenant
) -> None:
    fill(server, 3)
    server.records[0]["MlgCanView"] = False
    server.records[1] |= {"MlgCanView": True, "StandardStatus": "Active"}
    server.records[2]["StandardStatus"] = "Delete"
    await run()
    async with database.work(tenant.id) as work:
        query = select(Property.listing_status).order_by(Property.external_id)
        assert list(await work.session.scalars(query)) == ["OFF_MARKET", "ACTIVE", "OFF_MARKET"]


async def test_lines_of_problems_count_through_all_pages(server: ResoServer, run: Run) -> None:
    fill(server, 25)
    for number in (4, 17):
        server.records[number]["ListingKey"] = ""
    report = await run()
    assert (report.rows.read, report.rows.inserted, report.rows.skipped) == (25, 23, 2)
    assert [one.line for one in report.rows.problems] == [5, 18]
    assert report.rows.by_reason.total() == 2


@pytest.mark.parametrize("link", ["?$skiptoken=a", "?$skiptoken=b"])
async def test_links_in_a_circle_are_refused(server: ResoServer, run: Run, link: str) -> None:
    pages = {1: "?$skiptoken=a", 2: "?$skiptoken=b", 3: link}
    server.faults = {
        number: answer({"value": [record(number)], "@odata.nextLink": server.url + to})
        for number, to in pages.items()
    }
    with pytest.raises(ResoError, match="lead in a circle"):
        await run()


async def test_endless_empty_pages_are_refused(server: ResoServer, run: Run) -> None:
    server.faults = {
        number: answer({"value": [], "@odata.nextLink": f"{server.url}?$skiptoken={number}"})
        for number in range(1, EMPTY_PAGES + 9)
    }
    with pytest.raises(ResoError, match=f"{EMPTY_PAGES} pages without a record in a row"):
        await run()


async def test_one_run_reads_a_feed_at_a_time(
    services: runtime.Services,
    database: Database,
    server: ResoServer,
    connect: Connect,
    tenant: Tenant,
) -> None:
    fill(server, 5)
    loading, go_on = asyncio.Event(), asyncio.Event()

    async def load(work: Work, records: Sequence[Mapping[str, Any]]) -> ImportReport:
        loading.set()
        await go_on.wait()
        return await load_page(work, records)

    async def drop(_: Sequence[Job]) -> None:
        pass

    impatient = Database(services.database_url, drop, lease=0.1)
    async with connect() as client, connect() as second, connect("?$filter=a") as another:
        first = asyncio.create_task(replicate(database, tenant.id, client, load))
        await loading.wait()
        with pytest.raises(LockedError, match=server.url):
            await replicate(impatient, tenant.id, second, load_page)
        assert (await replicate(database, tenant.id, another, load_page)).rows.inserted == 5
        go_on.set()
        assert (await first).rows.unchanged == 5
    await impatient.close()


async def test_tenants_read_the_same_feed_apart(
    server: ResoServer,
    run: Run,
    stored: Stored,
    database: Database,
    tenant: Tenant,
    other_tenant: Tenant,
) -> None:
    fill(server, 25)
    with pytest.raises(InterruptedError):
        await run(load=failing(2))
    assert await feeds(database, other_tenant) == []
    report = await run(of=other_tenant)
    assert (report.resumed, report.rows.inserted) == (False, 25)
    assert len(await stored()) == 10
    (own,), (others,) = await feeds(database, tenant), await feeds(database, other_tenant)
    assert (own.url, own.watermark) == (others.url, None)
    assert others.next_link is None
    assert others.watermark is not None
    assert (await run()).rows.inserted == 15


async def test_nothing_is_read_for_a_tenant_that_is_not_there(
    server: ResoServer, database: Database, connect: Connect, tenant: Tenant
) -> None:
    async with connect() as client:
        with pytest.raises(DomainError, match="tenant"):
            await replicate(database, uuid4(), client, load_page)
    assert server.asked == []
