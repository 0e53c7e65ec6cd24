"""Filling a version's space, having it answer, and forgetting spaces that nobody needs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

from domain import indexing, model_versions, retention
from domain.database import LockedError
from domain.model_versions import ModelStatus, SpaceState
from domain.snapshots import ModelKey
from domain.work import Work
from jobs.reindexing.comparison import gaps
from jobs.reindexing.passes import (
    MARKS,
    Report,
    index_marked,
    write_everything,
    write_marked,
)
from jobs.reindexing.writer import PROPERTY_BATCH, Counts, Writer
from jobs.runs import JobError

logger = logging.getLogger(__name__)

_PATIENCE = 3
"""How often a rollback waits for changes that no version has yet before it is done without."""

_AGAIN = 0.5


@dataclass(frozen=True, slots=True)
class Activation:
    """The version that answers now, by its number, and whether it had to be indexed before."""

    number: int
    reindexed: bool


async def fill(writer: Writer, tenant_id: UUID, version_id: UUID, report: Report) -> Counts:
    """Put everything of the tenant into a version's space, which is complete then.

    One space of a tenant is filled at a time; others wait. A space that is complete already was
    kept so, and is only looked at.

    Raises:
        DomainError: NOT_FOUND.
        JobError: a property or an investor cannot be written.
    """
    async with _filling(writer, tenant_id):
        await _forget_unneeded(writer, tenant_id)
        async with writer.database.work(tenant_id) as work:
            version = await model_versions.get(work, version_id)
            is_complete = version.space is SpaceState.COMPLETE
            if not is_complete:
                await model_versions.begin_filling(work, version_id)
        if is_complete:
            space = writer.index.space(ModelKey(tenant_id, version_id))
            counts = Counts(await space.count(), await space.count_users())
        else:
            counts = await write_everything(writer, tenant_id, report, version_id)
        while not await _complete(writer, tenant_id, version_id):
            await index_marked(writer, tenant_id)
        return counts


async def activate(writer: Writer, tenant_id: UUID, version_id: UUID, report: Report) -> Activation:
    """Have a version answer, and put everything of the tenant into its space before if need be.

    The switch is made in a turn of its own, in which nothing that was committed before is missing
    from the space. Only a rollback does not wait for ever: the version before is in step with the
    one that answers, and going back to it may be urgent.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT if it was refused.
        JobError: a property or an investor cannot be written.
    """
    async with writer.database.work(tenant_id) as work:
        version = await model_versions.get(work, version_id)
        model_versions.require_not_refused(version)
        is_rollback = version.status is ModelStatus.RETIRED
    reindexed, attempt = False, 0
    while True:
        attempt += 1
        async with writer.turn(tenant_id) as work:
            version = await model_versions.get(work, version_id)
            is_complete = version.space is SpaceState.COMPLETE
            hurried = is_rollback and attempt > _PATIENCE
            if is_complete and (await _is_whole(writer, work, version_id) or hurried):
                await model_versions.activate(work, version_id)
                return Activation(version.number, reindexed)
        if is_complete:
            await index_marked(writer, tenant_id)
        else:
            await fill(writer, tenant_id, version_id, report)
            reindexed = True


async def forget_unneeded(writer: Writer, tenant_id: UUID) -> list[UUID]:
    """Delete the vectors of versions that nobody needs, see ``domain.retention``; their ids.

    Also those that a crash left of versions that have none, or do not exist. While a space is
    being filled it is left to the next time: that space may be one of those.
    """
    try:
        async with writer.database.exclusive(tenant_id, "filling"):
            return await _forget_unneeded(writer, tenant_id)
    except LockedError:
        return []


async def _forget_unneeded(writer: Writer, tenant_id: UUID) -> list[UUID]:
    async with writer.turn(tenant_id) as work:
        unneeded = await retention.unneeded(work, datetime.now(UTC))
        for version_id in unneeded:
            await model_versions.forget_space(work, version_id)
    # Only now: had it failed before the commit, versions would be searched that are gone.
    async with writer.turn(tenant_id) as work:
        await writer.index.keep_versions(tenant_id, await model_versions.indexed(work))
    return unneeded


@asynccontextmanager
async def _filling(writer: Writer, tenant_id: UUID) -> AsyncIterator[None]:
    """Wait for the tenant's filling that goes on, and keep others waiting."""
    while True:
        lock = writer.database.exclusive(tenant_id, "filling")
        try:
            await lock.__aenter__()
        except LockedError:
            await asyncio.sleep(_AGAIN)
            continue
        break
    try:
        yield
    finally:
        await lock.__aexit__(None, None, None)


async def _complete(writer: Writer, tenant_id: UUID, version_id: UUID) -> bool:
    """Whether all was in the space, which is complete then; else some of what lacked is now."""
    async with writer.turn(tenant_id) as work:
        version = await model_versions.get(work, version_id)
        if version.space is SpaceState.NONE:
            # No change reached it since: what was written before may be out of date.
            raise JobError(f"version {version.number} was given up while it was being indexed")
        if not await _drained(writer, work):
            return False
        if not await _closed(writer, work, version_id):
            return False
        await model_versions.complete(work, version_id)
        return True


async def _is_whole(writer: Writer, work: Work, version_id: UUID) -> bool:
    """Within a turn: whether a space that was kept in step is, by its count, or now is."""
    if not await _drained(writer, work):
        return False
    settled = await indexing.settled(work)
    if settled is None:
        return False
    space = writer.index.space(ModelKey(work.tenant_id, version_id))
    if await space.count(settled.marked) == settled.properties:
        return True
    return await _closed(writer, work, version_id)


async def _drained(writer: Writer, work: Work) -> bool:
    """Within a turn: write what is marked; whether that was all."""
    # Properties first; then the investors whom they mark.
    for _ in range(2):
        found = await indexing.marks(work, MARKS)
        if left := await write_marked(writer, work, found, Counts()):
            logger.error("%d marks of tenant %s cannot be followed", len(left), work.tenant_id)
            break
        if len(found) == MARKS:
            return False
    return not await indexing.marks_of_everything(work)


async def _closed(writer: Writer, work: Work, version_id: UUID) -> bool:
    """Within a turn: write what lacks in a space by its ids; whether that was all.

    Raises:
        JobError: some of it cannot be written.
    """
    between = await gaps(writer, work, ModelKey(work.tenant_id, version_id))
    targets, counts = await writer.targets(work, version_id), Counts()
    lacking = between.missing | between.extra
    some = list(islice(lacking, PROPERTY_BATCH))
    await writer.write_properties(work, some, targets, counts)
    users = between.missing_users | between.extra_users
    await writer.write_users(work, users, targets, counts)
    for kind, unwritable in counts.unwritable.items():
        if unwritable:
            named = ", ".join(map(str, islice(unwritable, 3)))
            raise JobError(f"{len(unwritable)} of kind {kind} cannot be written, such as {named}")
    return len(some) == len(lacking)
