"""Writing what is marked, and writing everything."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from math import inf
from typing import Any
from uuid import UUID

from domain.contract.snapshots import ModelKey
from domain.core import leases
from domain.core.events import Event, Topic
from domain.core.leases import LockedError
from domain.core.work import Work
from domain.interactions import interactions
from domain.jobs import index_outbox
from domain.jobs.index_outbox import IndexMark, Marked
from domain.model_registry import model_versions
from domain.model_registry.model_versions import SpaceState
from domain.properties import search, snapshots
from jobs.queue.runs import JobPostponedError
from jobs.reindexing.isolation import is_outage
from jobs.reindexing.writer import PROPERTY_BATCH, USER_BATCH, Counts, IndexLock, Writer, batches

MARKS = 2000
"""Marks that are followed under one index lock."""

TURN = 4
"""Batches that are written under one: so long may a change have to wait for it."""

FILLING = "filling"
"""The purpose of the lease of who fills a space, one at a time."""

Report = Callable[[float, str], Coroutine[Any, Any, None]]
"""Is told how far a piece of work got: a share in [0, 1] and what is done now."""


async def index_marked(
    writer: Writer,
    tenant_id: UUID,
    seconds: float = inf,
    long: asyncio.Semaphore | None = None,
) -> bool:
    """Write what is marked, until nothing is but what cannot be written, which stays marked.

    A mark is deleted under the index lock under which its subject was read and written: who dies
    in between leaves it to the next. Marks that are committed after those were read are others,
    whenever their transactions began.

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
        found = await _write_next(writer, tenant_id, left)
        # The lock is not taken for nothing, which would cost each change as much again.
        if not found or not await _is_some_left(writer, tenant_id, left):
            if not await _is_to_write_everything(writer, tenant_id):
                return False
            if not await _write_everything_marked(writer, tenant_id, left, long):
                return False
        if time.monotonic() > until:
            return True


async def _write_next(writer: Writer, tenant_id: UUID, left: set[UUID]) -> bool:
    """Write the next of what is marked, except ``left``, to which it adds; whether any was."""
    async with writer.index_lock(tenant_id) as lock:
        async with writer.database.work(tenant_id) as work:
            found = await index_outbox.marks(work, MARKS, left)
        left |= await write_marked(writer, lock, found, Counts())
    return bool(found)


async def _is_some_left(writer: Writer, tenant_id: UUID, left: set[UUID]) -> bool:
    async with writer.database.work(tenant_id) as work:
        return bool(await index_outbox.marks(work, 1, left))


async def write_marked(
    writer: Writer, lock: IndexLock, found: Sequence[IndexMark], counts: Counts
) -> set[UUID]:
    """Write what the marks name, each once, and delete them.

    An investor is known by what it acted on: of a property that is written, those are marked.

    Returns the ids of the marks that stay, since what they name cannot be written.
    """
    if not found:
        return set()
    targets = await writer.targets(lock.tenant_id)
    failed = await write_subjects(writer, lock, found, targets, counts)
    written = subjects(found, Marked.PROPERTY)
    async with lock.work() as work:
        await index_outbox.mark_investors(work, written)
        await writer.unmark(work, [one for one in found if one.subject_id not in failed], targets)
        if written:
            # At the change itself the index answered as before; now it answers anew.
            work.publish(Event(Topic.PROPERTIES))
    return {one.id for one in found if one.subject_id in failed}


async def write_subjects(
    writer: Writer,
    lock: IndexLock,
    found: Sequence[IndexMark],
    targets: Sequence[ModelKey],
    counts: Counts,
) -> set[UUID]:
    """Write what the marks name, each once; the ids of what cannot be written."""
    failed = await writer.write_properties(lock, subjects(found, Marked.PROPERTY), targets, counts)
    return failed | await writer.write_users(lock, subjects(found, Marked.USER), targets, counts)


async def _is_to_write_everything(writer: Writer, tenant_id: UUID) -> bool:
    """Whether everything is marked, and nobody is at it.

    Who fills the only space there is reads everything anyway, and deletes the mark at its end; what
    it leaves, the sweep finds.
    """
    async with writer.database.work(tenant_id) as work:
        if not await index_outbox.marks_of_everything(work):
            return False
        versions = await model_versions.get_many(work, await model_versions.indexed(work))
        complete = any(one.space is SpaceState.COMPLETE for one in versions)
        return complete or not await leases.is_held(work, FILLING)


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
        async with (
            long or nullcontext(),
            writer.exclusive(tenant_id, "everything") as everything,
        ):
            async with writer.database.work(tenant_id) as work:
                found = await index_outbox.marks_of_everything(work)
            if found:
                counts = await write_everything(writer, tenant_id, meanwhile)
                # Under the lock no version becomes complete that is not among the targets.
                async with writer.index_lock(tenant_id) as lock:
                    targets = await writer.targets(tenant_id)
                    async with lock.work() as work:
                        await everything.confirm(work)
                        left |= await mark_unwritable(work, counts)
                        await writer.unmark(work, found, targets)
    except LockedError:
        return False
    return True


async def mark_unwritable(work: Work, counts: Counts) -> set[UUID]:
    """Mark what cannot be written; the ids of its marks."""
    found: set[UUID] = set()
    for kind, unwritable in counts.unwritable.items():
        await index_outbox.mark_again(work, kind, list(unwritable))
        found |= {one.id for one in await index_outbox.marks_of(work, unwritable)}
    return found


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
    if not await writer.targets(tenant_id, only):
        return counts
    async with writer.database.work(tenant_id) as work:
        total = await search.count(work)
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
    for some in batches(investors, TURN * USER_BATCH):
        async with writer.index_lock(tenant_id) as lock:
            targets = await writer.targets(tenant_id, only)
            await writer.write_users(lock, some, targets, counts)
        share = min(1.0, (total + counts.users) / everything)
        await report(share, f"indexing investors: {counts.users:,} of {len(investors):,}")
    await _look_again(writer, tenant_id, seen, set(investors), only, counts)
    return counts


async def _write_next_properties(
    writer: Writer, tenant_id: UUID, after: UUID | None, only: UUID | None, counts: Counts
) -> list[UUID]:
    """Under one index lock: write the next few batches by id; their ids.

    The index takes one batch while the next is read, and all of them before the lock is given back.
    """
    done: list[UUID] = []
    async with writer.index_lock(tenant_id) as lock:
        targets = await writer.targets(tenant_id, only)
        written, writing = snapshots.columns([]), None
        try:
            for place in range(TURN + 1):
                batch = snapshots.columns([])
                if place < TURN:
                    async with writer.database.work(tenant_id) as work:
                        batch = await snapshots.snapshot_after(work, after, PROPERTY_BATCH)
                if writing is not None:
                    try:
                        await writing
                    except Exception as error:
                        if is_outage(error):
                            raise
                        await writer.write_properties(lock, written.ids, targets, counts)
                    done += written.ids
                if not len(batch):
                    break
                written, after = batch, batch.ids[-1]
                writing = asyncio.create_task(writer.write(lock, batch, targets))
        finally:
            if writing is not None:
                # Nothing is written behind the lock's back, however it ends.
                writing.cancel()
                await asyncio.wait([writing])
        if done:
            async with lock.work() as work:
                work.publish(Event(Topic.PROPERTIES))
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
        work.publish(Event(Topic.PROPERTIES))
    others: set[UUID] = set()
    strangers: set[UUID] = set()
    for model in await writer.targets(tenant_id, only):
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
    """Write those properties and investors, or forget them, a batch under each index lock."""
    for some in batches(property_ids, PROPERTY_BATCH):
        async with writer.index_lock(tenant_id) as lock:
            targets = await writer.targets(tenant_id, only)
            await writer.write_properties(lock, some, targets, counts)
            async with lock.work() as work:
                work.publish(Event(Topic.PROPERTIES))
    for some in batches(user_ids, TURN * USER_BATCH):
        async with writer.index_lock(tenant_id) as lock:
            targets = await writer.targets(tenant_id, only)
            await writer.write_users(lock, some, targets, counts)


def subjects(marks: Sequence[IndexMark], kind: Marked) -> list[UUID]:
    """What the marks of a kind name, each once."""
    return list(dict.fromkeys(one.subject_id for one in marks if one.kind is kind))
