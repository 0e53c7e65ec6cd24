"""Writing what is marked, and writing everything."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from math import inf
from typing import Any
from uuid import UUID

from domain import indexing, interactions, properties, property_search
from domain.events import Event, Topic
from domain.indexing import IndexMark, Marked
from domain.leases import LockedError
from domain.snapshots import ModelKey
from domain.work import Work
from jobs.reindexing.isolation import is_outage
from jobs.reindexing.writer import PROPERTY_BATCH, USER_BATCH, Counts, Writer, batches
from jobs.runs import JobPostponedError

MARKS = 2000
"""Marks that are taken in one turn."""

TURN = 4
"""Batches of properties that are written in one turn: so long may a change have to wait for it."""

Report = Callable[[float, str], Coroutine[Any, Any, None]]
"""Is told how far a piece of work got: a share in [0, 1] and what is done now."""


async def index_marked(
    writer: Writer,
    tenant_id: UUID,
    seconds: float = inf,
    long: asyncio.Semaphore | None = None,
) -> bool:
    """Write what is marked, until nothing is but what cannot be written, which stays marked.

    A mark is deleted in the turn that writes its subject: who dies in between leaves it to the
    next. Marks of a transaction that commits meanwhile are others, whenever it began.

    Args:
        writer: writes.
        tenant_id: the tenant.
        seconds: after which it may stop before the end.
        long: of those who may write everything at once in this process.

    Returns:
        Whether it did, and something may still be marked.

    Raises:
        JobPostponedError: everything is marked, and so many write everything already.
    """
    until = time.monotonic() + seconds
    left: set[UUID] = set()
    while True:
        if not await _write_next(writer, tenant_id, left):
            async with writer.database.work(tenant_id) as work:
                everything = await indexing.marks_of_everything(work)
            if not everything or not await _write_everything_marked(writer, tenant_id, left, long):
                return False
        if time.monotonic() > until:
            return True


async def _write_next(writer: Writer, tenant_id: UUID, left: set[UUID]) -> bool:
    """Write the next of what is marked, except ``left``, to which it adds; whether any was."""
    async with writer.turn(tenant_id) as work:
        found = await indexing.marks(work, MARKS, left)
        left |= await write_marked(writer, work, found, Counts())
    return bool(found)


async def write_marked(
    writer: Writer, work: Work, found: Sequence[IndexMark], counts: Counts
) -> set[UUID]:
    """Within a turn: write what the marks name, each once, and delete them.

    An investor is known by what it acted on: of a property that is written, those are marked.

    Returns the ids of the marks that stay, since what they name cannot be written.
    """
    if not found:
        return set()
    targets = await writer.targets(work)
    failed = await write_subjects(writer, work, found, targets, counts)
    await indexing.mark_investors(work, _subjects(found, Marked.PROPERTY))
    await writer.unmark(work, [one for one in found if one.subject_id not in failed], targets)
    return {one.id for one in found if one.subject_id in failed}


async def write_subjects(
    writer: Writer,
    work: Work,
    found: Sequence[IndexMark],
    targets: Sequence[ModelKey],
    counts: Counts,
) -> set[UUID]:
    """Within a turn: write what the marks name, each once; the ids of what cannot be written."""
    failed = await writer.write_properties(work, _subjects(found, Marked.PROPERTY), targets, counts)
    return failed | await writer.write_users(work, _subjects(found, Marked.USER), targets, counts)


async def _write_everything_marked(
    writer: Writer, tenant_id: UUID, left: set[UUID], long: asyncio.Semaphore | None
) -> bool:
    """Follow the marks of everything; whether to go on, since nobody else does so already."""
    if long is not None and long.locked():
        raise JobPostponedError("other tenants are being written as a whole")

    async def meanwhile(_share: float, _message: str) -> None:
        # It takes a while, and what changes now is to be found at once.
        await _write_next(writer, tenant_id, left)

    try:
        async with long or nullcontext(), writer.database.exclusive(tenant_id, "everything"):
            async with writer.database.work(tenant_id) as work:
                found = await indexing.marks_of_everything(work)
            if found:
                counts = await write_everything(writer, tenant_id, meanwhile)
                async with writer.database.work(tenant_id) as work:
                    for kind, unwritable in counts.unwritable.items():
                        await indexing.mark(work, kind, list(unwritable))
                        marks = await indexing.marks_of(work, unwritable)
                        left |= {one.id for one in marks}
                    await writer.unmark(work, found, await writer.targets(work))
    except LockedError:
        return False
    return True


async def write_everything(
    writer: Writer, tenant_id: UUID, report: Report, only: UUID | None = None
) -> Counts:
    """Write everything of a tenant, and forget what no longer exists or has no history.

    Points are replaced one by one, so that whoever searches meanwhile finds each.

    Args:
        writer: writes.
        tenant_id: the tenant.
        report: is told of the progress.
        only: the one version to write; else all that have anything in the index.
    """
    counts = Counts()
    async with writer.database.work(tenant_id) as work:
        if not await writer.targets(work, only):
            return counts
        total = await property_search.count(work)
        investors = await interactions.active_investors(work)
    everything = max(1, total + len(investors))
    seen: set[UUID] = set()
    after: UUID | None = None
    while some := await _write_next_properties(writer, tenant_id, after, only, counts):
        seen.update(some)
        after = some[-1]
        share = min(1.0, len(seen) / everything)
        await report(share, f"indexing properties: {len(seen):,} of {total:,}")
    counts.properties = len(seen - counts.unwritable[Marked.PROPERTY])
    for some in batches(investors, USER_BATCH):
        async with writer.turn(tenant_id) as work:
            await writer.write_users(work, some, await writer.targets(work, only), counts)
        share = min(1.0, (total + counts.users) / everything)
        await report(share, f"indexing investors: {counts.users:,} of {len(investors):,}")
    await _look_again(writer, tenant_id, seen, set(investors), only, counts)
    return counts


async def _write_next_properties(
    writer: Writer, tenant_id: UUID, after: UUID | None, only: UUID | None, counts: Counts
) -> list[UUID]:
    """In one turn: write the next few batches by id; their ids.

    The index takes one batch while the next is read. Both lie within the turn, whose end waits for
    the last.
    """
    done: list[UUID] = []
    async with writer.turn(tenant_id) as work:
        targets = await writer.targets(work, only)
        written, writing = properties.columns([]), None
        try:
            for place in range(TURN + 1):
                batch = properties.columns([])
                if place < TURN:
                    batch = await properties.snapshot_after(work, after, PROPERTY_BATCH)
                if writing is not None:
                    try:
                        await writing
                    except Exception as error:
                        if is_outage(error):
                            raise
                        await writer.write_properties(work, written.ids, targets, counts)
                    done += written.ids
                if not len(batch):
                    break
                written, after = batch, batch.ids[-1]
                writing = asyncio.create_task(writer.write(batch, targets))
        finally:
            if writing is not None:
                # Nothing is written behind the turn's back, however it ends.
                writing.cancel()
                await asyncio.wait([writing])
    return done


async def _look_again(
    writer: Writer,
    tenant_id: UUID,
    seen: set[UUID],
    investors: set[UUID],
    only: UUID | None,
    counts: Counts,
) -> None:
    """Look again at what the index holds beside the properties seen and the investors."""
    async with writer.database.work(tenant_id) as work:
        targets = await writer.targets(work, only)
        work.publish(Event(Topic.PROPERTIES))
    others: set[UUID] = set()
    strangers: set[UUID] = set()
    for model in targets:
        others |= await writer.index.space(model).property_ids() - seen
        strangers |= await writer.index.space(model).user_ids() - investors
    again = Counts()
    await write_some(writer, tenant_id, others, strangers, only, again)
    counts.removed += again.removed


async def write_some(
    writer: Writer,
    tenant_id: UUID,
    property_ids: set[UUID],
    user_ids: set[UUID],
    only: UUID | None,
    counts: Counts,
) -> None:
    """Write those properties and investors, or forget them, in turns of a batch each."""
    for some in batches(property_ids, PROPERTY_BATCH):
        async with writer.turn(tenant_id) as work:
            await writer.write_properties(work, some, await writer.targets(work, only), counts)
    for some in batches(user_ids, USER_BATCH):
        async with writer.turn(tenant_id) as work:
            await writer.write_users(work, some, await writer.targets(work, only), counts)


def _subjects(marks: Sequence[IndexMark], kind: Marked) -> list[UUID]:
    """What the marks of a kind name, each once."""
    return list(dict.fromkeys(one.subject_id for one in marks if one.kind is kind))
