"""The index lock: nobody else writes a tenant's vectors, and the database waits for none of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.contract.snapshots import ModelKey, StoredModel
from domain.core.database import Database
from domain.core.leases import LostLeaseError
from domain.core.work import Job
from domain.jobs.index_outbox import Marked
from domain.model_registry import model_versions
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from jobs.reindexing.indexer import Indexer
from ml.index import client
from ml.index.index import EmbeddingIndex
from ml.serving.inference import TwinService
from runtime import Runtime
from tests.factories import Town
from tests.jobs.reindexing.indexing import Place, unheard
from tests.jobs.reindexing.test_marks import PausingTwin, with_twin
from tests.waiting import until_waiting

OPEN = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
)


LARGE = 4096
"""Bytes that only points that are written come in, never a question."""


class Line:
    """A TCP connection to Qdrant that what is written to it can be held up in."""

    def __init__(self) -> None:
        self.clear = asyncio.Event()
        self.clear.set()
        self.waiting = asyncio.Event()

    def hold_up(self) -> None:
        self.waiting.clear()
        self.clear.clear()

    async def carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(65_536):
                if len(piece) >= LARGE and not self.clear.is_set():
                    self.waiting.set()
                    await self.clear.wait()
                target.write(piece)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[Line, str]]:
    """A line to a server, and the URL that leads over it."""
    line, address = Line(), urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(line.carry(reader, forth), line.carry(back, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield line, f"http://{host}:{port}"
    finally:
        line.clear.set()
        server.close()


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant of the test's own."""
    return await Place.found(rt, database, town)


@pytest.fixture
async def remote(rt: Runtime, place: Place) -> AsyncIterator[tuple[Line, Indexer]]:
    """An indexer whose writes can be held up on their way to Qdrant."""
    database = place.database

    async def load(key: ModelKey) -> StoredModel:
        async with database.work(key.tenant_id) as work:
            return await model_versions.stored(work, key.version_id)

    async with line_to(rt.services.qdrant_url) as (line, url):
        qdrant = client.connect(url)
        index = EmbeddingIndex(qdrant)
        yield line, Indexer(database, index, TwinService(index, load, device="cpu"))
        await qdrant.close()


async def open_transactions(place: Place) -> int:
    async with place.database.work(place.id) as work:
        return await work.session.scalar(OPEN) or 0


@pytest.mark.parametrize("doing", ["marked", "everything", "reindex", "fill"])
async def test_no_transaction_is_open_while_qdrant_is_written_to(
    place: Place, remote: tuple[Line, Indexer], doing: str
) -> None:
    line, indexer = remote
    new = await place.new_version()
    work: Callable[[], Awaitable[object]] = {
        "marked": lambda: indexer.index_marked(place.id),
        "everything": lambda: indexer.write_everything(place.id, unheard),
        "reindex": lambda: indexer.reindex(place.id, unheard, full=True),
        "fill": lambda: indexer.fill(place.id, new.version_id, unheard),
    }[doing]
    for house in place.town.south:
        await place.set_price(house, 5e6)
    line.hold_up()
    writing = asyncio.ensure_future(work())
    try:
        async with asyncio.timeout(60):
            await line.waiting.wait()
            while await open_transactions(place):
                assert not writing.done()
                await asyncio.sleep(0.05)
            # Nor does who changes properties meanwhile wait.
            async with place.database.work(place.id) as changing:
                item = PropertyInput.model_validate({"external_id": "new", "city": "Tacoma"})
                await upsert(changing, [item])
    finally:
        line.clear.set()
        await writing
    await place.index_marked()
    assert await place.is_in_step()


@pytest.fixture
async def patient(rt: Runtime) -> AsyncIterator[Database]:
    """A database that notices late that somebody took its leases over."""

    async def nothing(_: Sequence[Job]) -> None: ...

    opened = Database(rt.services.database_url, nothing, lease=300)
    yield opened
    await opened.close()


async def test_what_is_written_after_the_lock_was_lost_is_written_again(
    place: Place, patient: Database
) -> None:
    changed = place.town.south[0]
    twin = with_twin(place, PausingTwin).twin
    assert isinstance(twin, PausingTwin)
    twin.reached, twin.go_on = asyncio.Event(), asyncio.Event()
    slow = Indexer(patient, place.indexer.index, twin)
    await place.set_price(changed, 5e6)
    writing = asyncio.create_task(slow.index_marked(place.id))
    async with asyncio.timeout(60):
        await twin.reached.wait()
        # As if its process had been stopped: its vectors are computed, of this price.
        await place.set_price(changed, 3e5)
        async with place.database.work(place.id) as work:
            await work.session.execute(text("UPDATE leases SET expires_at = clock_timestamp()"))
        await place.index_marked()
        assert await place.marks() == 0
        assert await place.is_in_step()
        twin.go_on.set()
        with pytest.raises(LostLeaseError):
            await writing
    assert await place.marks() == 1
    await place.index_marked()
    assert await place.is_in_step()


async def test_what_a_lost_lock_touched_is_marked_though_its_process_is_told_to_stop(
    place: Place, patient: Database
) -> None:
    writer = Indexer(patient, place.indexer.index, place.indexer.twin)

    async def lose() -> None:
        async with writer.index_lock(place.id) as lock:
            lock.touched[Marked.PROPERTY].add(place.town.south[0])
            async with place.database.work(place.id) as work:
                taken_over = "UPDATE leases SET holder_id = gen_random_uuid()"
                await work.session.execute(text(taken_over))

    async with place.database.work(place.id) as work:
        await work.session.execute(text("LOCK TABLE index_marks IN SHARE MODE"))
        losing = asyncio.create_task(lose())
        await until_waiting(place.database, 1)
        losing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await losing
    assert await place.marks() == 1


class LateIndex(EmbeddingIndex):
    """Forgets versions once something else was done, as a process that is stopped before."""

    before: Callable[[], Awaitable[None]]

    async def keep_versions(self, tenant_id: UUID, version_ids: Collection[UUID]) -> None:
        await self.before()
        await super().keep_versions(tenant_id, version_ids)


async def test_versions_that_are_forgotten_late_leave_others_to_be_written_again(
    rt: Runtime, place: Place, patient: Database
) -> None:
    new = await place.new_version()

    async def fill() -> None:
        async with place.database.work(place.id) as work:
            await work.session.execute(text("UPDATE leases SET expires_at = clock_timestamp()"))
        await place.indexer.activate(place.id, new.version_id, unheard)

    qdrant = client.connect(rt.services.qdrant_url)
    index = LateIndex(qdrant)
    index.before = fill
    with pytest.raises(LostLeaseError):
        await Indexer(patient, index, place.indexer.twin).forget_unneeded(place.id)
    await qdrant.close()
    assert await place.space(new).count() == 0
    await place.index_marked()
    assert await place.is_in_step(place.model, new)


async def test_who_writes_one_tenants_index_keeps_nobody_from_anothers(
    rt: Runtime, place: Place, town: Town
) -> None:
    other = await Place.found(rt, place.database, town, houses=4)
    await other.add_properties(1)
    async with place.indexer.index_lock(place.id), asyncio.timeout(60):
        await other.index_marked()
    assert await other.marks() == 0
    assert await other.is_in_step()
