"""Filling a version's space, having it answer, and forgetting spaces that nobody needs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

from domain import indexing, model_versions, retention
from domain.leases import LockedError
from domain.model_versions import SpaceState
from domain.snapshots import ModelKey
from domain.work import Work
from jobs.reindexing.comparison import gaps
from jobs.reindexing.passes import (
    MARKS,
    Report,
    write_everything,
    write_some,
    write_subjects,
)
from jobs.reindexing.writer import Counts, Writer
from jobs.runs import JobError

_AGAIN = 0.5


Hold = Callable[[Work], Awaitable[str | None]]
"""Says why a version must not be activated now, if anything speaks against it."""


@dataclass(frozen=True, slots=True)
class Activation:
    """What became of an activation.

    Attributes:
        number: of the version.
        reindexed: whether it had to be indexed before.
        held: why it does not answer, though it could; None if it does from now on.
    """

    number: int
    reindexed: bool
    held: str | None = None


async def fill(writer: Writer, tenant_id: UUID, version_id: UUID, report: Report) -> Counts:
    """Put everything of the tenant into a version's space, which is complete then.

    One space of a tenant is filled at a time; others wait. A space that is complete already was
    kept so: what it lacks nevertheless is written.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT if the version did not pass its gates.
        JobError: a property or an investor cannot be written.
    """
    filling = _Filling(writer, ModelKey(tenant_id, version_id), report)
    await filling.run(_leave)
    return filling.counts


async def activate(
    writer: Writer, tenant_id: UUID, version_id: UUID, report: Report, hold: Hold | None = None
) -> Activation:
    """``fill`` a version's space and have it answer.

    The switch is made in the turn that finds the space complete: nothing that was committed before
    is missing from it.

    Args:
        writer: writes.
        tenant_id: the tenant.
        version_id: the version.
        report: is told of the progress.
        hold: is asked in the transaction of the switch, with the tenant's versions locked; where
            it gives a reason, the space is complete, and the version does not answer.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT if the version did not pass its gates.
        JobError: a property or an investor cannot be written.
    """
    held: str | None = None

    async def switch(work: Work) -> None:
        nonlocal held
        held = await hold(work) if hold else None
        if held is None:
            await model_versions.activate(work, version_id)

    filling = _Filling(writer, ModelKey(tenant_id, version_id), report)
    number = await filling.run(switch)
    return Activation(number, filling.reindexed, held)


async def _leave(_: Work) -> None:
    """Switch nothing."""


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
async def _alone(writer: Writer, tenant_id: UUID) -> AsyncIterator[None]:
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


class _Filling:
    """Makes a version's space complete, whatever becomes of other versions.

    What is marked is written into this space, and stays marked for whoever follows the marks: who
    fills a space neither waits for that nor depends on it.
    """

    def __init__(self, writer: Writer, model: ModelKey, report: Report) -> None:
        self._writer = writer
        self._model = model
        self._report = report
        self._followed: set[UUID] = set()
        self.counts = Counts()
        self.reindexed = False

    async def run(self, switch: Callable[[Work], Awaitable[None]]) -> int:
        """Fill the space, and ``switch`` in the transaction that finds it complete.

        Returns the version's number.
        """
        writer, model = self._writer, self._model
        async with _alone(writer, model.tenant_id):
            await _forget_unneeded(writer, model.tenant_id)
            async with writer.database.work(model.tenant_id) as work:
                version = await model_versions.get(work, model.version_id)
                model_versions.require_passed(version)
                self.reindexed = version.space is not SpaceState.COMPLETE
                if self.reindexed:
                    await model_versions.begin_filling(work, version.id)
            if self.reindexed:
                await self._write_everything()
            else:
                space = writer.index.space(model)
                self.counts = Counts(await space.count(), await space.count_users())
            await self._write_gaps()
            while not await self._complete(switch):
                pass
            return version.number

    async def _write_everything(self) -> None:
        async with self._writer.database.work(self._model.tenant_id) as work:
            marks = await indexing.marks_of_everything(work)
        self.counts = await write_everything(
            self._writer, self._model.tenant_id, self._report, self._model.version_id
        )
        self._followed |= {one.id for one in marks}

    async def _write_gaps(self) -> None:
        """Write what lacks in the space by its ids. What changes from now on is marked."""
        async with self._writer.database.work(self._model.tenant_id) as work:
            between = await gaps(self._writer, work, self._model)
        counts = Counts()
        await write_some(
            self._writer,
            self._model.tenant_id,
            between.missing | between.extra,
            between.missing_users | between.extra_users,
            self._model.version_id,
            counts,
        )
        for kind, unwritable in counts.unwritable.items():
            if unwritable:
                named = ", ".join(map(str, islice(unwritable, 3)))
                raise JobError(
                    f"{len(unwritable)} of kind {kind} cannot be written, such as {named}"
                )

    async def _complete(self, switch: Callable[[Work], Awaitable[None]]) -> bool:
        """Whether all was in the space, which is complete then; else some of what lacked is now."""
        writer, model = self._writer, self._model
        async with writer.turn(model.tenant_id) as work:
            version = await model_versions.get(work, model.version_id)
            if version.space is SpaceState.NONE:
                # No change reached it since: what was written before may be out of date.
                raise JobError(f"version {version.number} was given up while it was being indexed")
            everything = {one.id for one in await indexing.marks_of_everything(work)}
            if everything <= self._followed:
                found = await indexing.marks(work, MARKS, self._followed)
                await write_subjects(
                    writer, work, found, await writer.targets(work, version.id), Counts()
                )
                self._followed |= {one.id for one in found}
                if len(found) == MARKS:
                    return False
                await model_versions.complete(work, version.id)
                await switch(work)
                return True
        await self._write_everything()
        return False
