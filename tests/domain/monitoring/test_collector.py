"""When a source is read, by a clock that the test sets, and how the database is read."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import text

import runtime
from domain.core.database import Database
from domain.monitoring import collector
from domain.monitoring.collector import CONNECTIONS, STALE_AFTER, Collector, Read, read_database
from domain.tenants.tenants import Tenant
from tests.conftest import new_tenant
from tests.waiting import until_waiting

SCRAPE = 15.0
"""Seconds between two scrapes."""


class Clock:
    """Stands still unless it is set forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """In seconds."""
        return self.now


class Collected:
    """A collector of one source, and whether its last scrape had the family that the source has."""

    def __init__(self, read: Read) -> None:
        self._collector = Collector({"one": read})

    async def scrape(self) -> bool:
        """Whether the source is on the page, which also says so."""
        families = {family.name: family for family in await self._collector.collect()}
        [success] = families["twin_scrape_success"].samples
        assert success.labels == {"source": "one"}
        assert success.value == ("read" in families)
        return "read" in families

    async def close(self) -> None:
        await self._collector.close()


READING: list[Metric] = [GaugeMetricFamily("read", "What the source has.", 1)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(collector, "time", made)
    return made


@pytest.mark.parametrize("seconds", [0.1, 2.0, 12.0, 59.0])
async def test_every_scrape_has_the_source_however_long_reading_takes(
    clock: Clock, seconds: float
) -> None:
    readings = 0

    async def read() -> list[Metric]:
        nonlocal readings
        readings += 1
        clock.now += seconds
        return READING

    slow, found, scrapes = Collected(read), [], 60
    for _ in range(scrapes):
        found.append(await slow.scrape())
        clock.now += SCRAPE
    assert all(found)
    # What takes long is not read for every scrape.
    assert (readings < scrapes) == (seconds > 1)


async def test_a_reading_that_failed_after_long_is_repeated_soon(clock: Clock) -> None:
    down = True

    async def read() -> list[Metric]:
        if down:
            clock.now += 60
            raise TimeoutError
        return READING

    source = Collected(read)
    assert not await source.scrape()
    down = False
    clock.now += SCRAPE
    assert await source.scrape()


async def test_a_reading_that_hangs_is_given_up_and_repeated(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "READ_TIMEOUT", 0.01)
    hanging = True

    async def read() -> list[Metric]:
        if hanging:
            await asyncio.Event().wait()
        return READING

    source = Collected(read)
    assert not await source.scrape()
    hanging = False
    clock.now += SCRAPE
    assert await source.scrape()


async def test_a_reading_is_served_until_it_is_stale(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "PATIENCE", 0.01)
    hanging = False

    async def read() -> list[Metric]:
        if hanging:
            await asyncio.Event().wait()
        return READING

    source = Collected(read)
    assert await source.scrape()
    hanging = True
    clock.now += STALE_AFTER - 1
    assert await source.scrape()
    clock.now += 1
    assert not await source.scrape()
    await source.close()


@pytest.fixture
async def impatient(services: runtime.Services, database: Database) -> AsyncIterator[Database]:
    """The database, where a statement that waits for a lock fails."""

    async def enqueue(jobs: object) -> None:
        raise AssertionError(jobs)

    opened = Database(services.database_url, enqueue, statement_timeout=0.1)
    yield opened
    await opened.close()


LOCK = text("LOCK TABLE index_marks IN ACCESS EXCLUSIVE MODE")


async def test_a_source_of_which_no_tenant_can_be_read_fails(
    database: Database, impatient: Database, tenant: Tenant
) -> None:
    source = Collector({"database": partial(read_database, impatient)})
    async with database.work(tenant.id) as work:
        await work.session.execute(LOCK)
        families = {family.name: family for family in await source.collect()}
    assert [sample.value for sample in families["twin_scrape_success"].samples] == [0]
    assert families.keys() == {"twin_scrape_success", "twin_scrape_seconds"}


async def test_tenants_are_read_over_a_few_connections(database: Database, tenant: Tenant) -> None:
    for _ in range(CONNECTIONS):
        await new_tenant(database)
    async with database.work(tenant.id) as work:
        await work.session.execute(LOCK)
        reading = asyncio.create_task(read_database(database))
        await until_waiting(database, CONNECTIONS)
    families = {family.name: family for family in await reading}
    [listed] = families["twin_tenants"].samples
    assert len(families["twin_index_marks"].samples) == listed.value > CONNECTIONS
