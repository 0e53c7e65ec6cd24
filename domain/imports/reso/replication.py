"""A run over a feed: page after page, each loaded in one transaction with the feed's position."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.core import clock
from domain.core.database import Database
from domain.core.leases import Held
from domain.core.work import Work
from domain.imports.report import ImportReport
from domain.imports.reso import feeds
from domain.imports.reso.client import Client, Page
from domain.imports.reso.errors import ResoError
from domain.imports.reso.position import OVERLAP, Position, modified
from domain.imports.reso.resource import by_offset

EXPIRED = frozenset({400, 404, 410})
"""What servers answer to a link to a next page that they no longer know."""

UNORDERED = frozenset({400, 501})
"""What servers answer to an order that they do not offer."""

RESTARTS = 3
"""How often a run begins a new query because a link has expired."""

EMPTY_PAGES = 25
"""How many pages without a record in a row end a run."""

Load = Callable[[Work, Sequence[Mapping[str, Any]]], Awaitable[ImportReport]]
"""Imports the records of a page in a unit of work."""


@dataclass(slots=True)
class FeedReport:
    """What a run did.

    Attributes:
        url: the resource.
        resumed: whether the run went on where another was interrupted.
        restarts: how often it began a new query because a link had expired.
        pages: how many were loaded.
        watermark_before: whatever was modified up to here was loaded before; None for nothing.
        watermark: the same afterwards.
        rows: what became of the records. A line is a record's number within this run.
    """

    url: str
    resumed: bool = False
    restarts: int = 0
    pages: int = 0
    watermark_before: datetime | None = None
    watermark: datetime | None = None
    rows: ImportReport = field(default_factory=ImportReport)

    def lines(self) -> list[str]:
        """The report as plain lines of text, without control characters."""
        first, *others = self.rows.lines()
        resumed = ", resumed" if self.resumed else ""
        restarts = f", {self.restarts:,} links expired" if self.restarts else ""
        return [
            first,
            f"{self.pages:,} {'page' if self.pages == 1 else 'pages'}{resumed}{restarts}",
            f"complete up to {_shown(self.watermark)}; before: {_shown(self.watermark_before)}"
            if self.watermark
            else "not complete yet",
            *others,
        ]


async def replicate(
    database: Database,
    tenant_id: UUID,
    client: Client,
    load: Load,
    *,
    full: bool = False,
    progress: Callable[[FeedReport], None] = lambda _: None,
) -> FeedReport:
    """Load what was modified in a feed since the last run, or what an interrupted run left.

    A run may be interrupted anywhere; the next goes on with the next page, and afterwards reads
    what changed since, if that was a while ago. Listings that the service withdraws are loaded as
    such, never deleted. One run reads a feed at a time; a second waits as long as the lease of a
    killed run lasts.

    Args:
        database: the database.
        tenant_id: whose feed.
        client: reads the resource; it is open.
        load: imports the records of a page.
        full: read everything again, as if nothing were loaded.
        progress: called after each page.

    Raises:
        ResoError: the feed cannot be read; the pages before are loaded.
        LockedError: another run reads the feed.
        LostLeaseError: another run took over.
        DomainError: NOT_FOUND if there is no such tenant.
    """
    purpose = f"import of {client.resource.url}"
    async with database.exclusive(tenant_id, purpose, wait=database.lease) as held:
        run = _Run(database, tenant_id, client, load, held, FeedReport(client.resource.url))
        await run.open(full=full)
        while run.position.unfinished:
            page = await run.fetch()
            if page is not None:
                await run.take(page)
                progress(run.report)
    return run.report


@dataclass(slots=True)
class _Run:
    """A run under way.

    Attributes:
        position: where the reading stands.
        ordered: whether to ask for the order of modification.
        outdated: whether the query under way began so long ago that another is to follow.
        followed: the links that this query followed.
        empty: how many pages without a record came last.
    """

    database: Database
    tenant_id: UUID
    client: Client
    load: Load
    held: Held
    report: FeedReport
    position: Position = field(default_factory=Position)
    ordered: bool = True
    outdated: bool = False
    followed: set[str] = field(default_factory=set)
    empty: int = 0

    async def open(self, *, full: bool) -> None:
        """Go on with an unfinished query, or begin one."""
        async with self.database.work(self.tenant_id) as work:
            stored = await feeds.position(work, self.report.url)
            now = await clock.now(work)
        self.report.watermark_before = self.report.watermark = stored.watermark
        if full:
            stored = Position()
        self.report.resumed = stored.unfinished
        if stored.started_at is None:
            self._begin(stored, now)
        else:
            self.position, self.outdated = stored, stored.started_at < now - OVERLAP

    async def fetch(self) -> Page | None:
        """The next page; None if the server refused and another query is to be tried."""
        resource, link = self.client.resource, self.position.next_link
        first = resource.query(self.position.since, self.client.page_size, ordered=self.ordered)
        try:
            page = await self.client.page(link or first)
        except ResoError as error:
            if link is None and self.ordered and error.status in UNORDERED:
                self.ordered = False
                return None
            if link is not None and error.status in EXPIRED and self.report.restarts < RESTARTS:
                self.report.restarts += 1
                self._begin(self.position, await self._now())
                return None
            raise
        self.empty = 0 if page.records else self.empty + 1
        if page.next_link is not None:
            if page.next_link in self.followed:
                raise ResoError(f"{resource.shown}: the links to next pages lead in a circle")
            self.followed.add(page.next_link)
            if self.empty == EMPTY_PAGES:
                raise ResoError(f"{resource.shown}: {self.empty} pages without a record in a row")
        return page

    async def take(self, page: Page) -> None:
        """Load a page and move on, both or neither."""
        following = self._after(page)
        loaded = ImportReport()
        async with self.database.work(self.tenant_id) as work:
            if page.records:
                loaded = await self.load(work, [_offered(record) for record in page.records])
            await feeds.store(work, self.report.url, following)
            # Last, since meanwhile the lease cannot be renewed.
            await self.held.confirm(work)
        self.report.pages += 1
        self.report.rows.add(loaded)
        self.report.watermark = following.watermark
        self.position = following
        if following.next_link is None:
            self.followed.clear()
        if self.outdated and not following.unfinished:
            self.outdated = False
            self._begin(following, await self._now())

    def _after(self, page: Page) -> Position:
        """Where the reading stands after a page.

        Not every link is followed. One that counts records passes over a record for each that was
        modified, and so moved to the end, since the page before; a query from here on passes over
        none. Such a query also goes on where the server took ``$top`` for a limit of the whole
        answer.
        """
        moments = [moment for record in page.records if (moment := modified(record)) is not None]
        read = self.position.read(moments, page.next_link, ordered=self.ordered)
        if page.next_link is None:
            first = self.position.next_link is None
            suspect = first and len(page.records) >= self.client.page_size
        else:
            suspect = by_offset(page.next_link)
        if suspect and read.continuable:
            return read.go_on()
        if suspect and page.next_link is None:
            raise ResoError(
                f"{self.client.resource.shown}: exactly {len(page.records):,} records came without "
                "a link to more, so the answer may be cut; give another --page-size"
            )
        return read if read.next_link else read.end()

    def _begin(self, position: Position, now: datetime) -> None:
        self.position = position.begin(now)
        self.followed.clear()

    async def _now(self) -> datetime:
        async with self.database.work(self.tenant_id) as work:
            return await clock.now(work)


def _offered(record: dict[str, Any]) -> dict[str, Any]:
    """The record in the words of the Data Dictionary, where MLS Grid has a mark of its own."""
    return record | {"StandardStatus": "Delete"} if record.get("MlgCanView") is False else record


def _shown(moment: datetime | None) -> str:
    return "nothing" if moment is None else moment.isoformat(timespec="seconds")
