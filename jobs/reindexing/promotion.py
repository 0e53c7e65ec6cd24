"""Filling a version's space, having it answer, and forgetting spaces that nobody needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from math import inf
from uuid import UUID

from domain.contract.snapshots import ModelKey
from domain.core import clock
from domain.core.events import Event, Topic
from domain.core.leases import Held, LockedError
from domain.core.work import Work
from domain.jobs import index_outbox
from domain.jobs.index_outbox import IndexMark, Marked
from domain.model_registry import model_versions, retention
from domain.model_registry.model_versions import SpaceState
from jobs.queue.runs import JobError
from jobs.reindexing.comparison import gaps
from jobs.reindexing.passes import (
    FILLING,
    MARKS,
    Report,
    mark_unwritable,
    subjects,
    write_everything,
    write_some,
    write_subjects,
)
from jobs.reindexing.writer import Counts, Writer

LOOKS = 10
"""Looks at what was marked meanwhile, after which what comes is left to who follows the marks."""

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

    The switch is made under the index lock, in a transaction that finds every mark followed, so
    nothing that was committed before is missing from the space. Only where changes never pause, it
    is made after ``LOOKS`` looks without what was committed since the last look began.

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
    """Delete the vectors of versions that ``retention.unneeded`` names; their ids.

    Also those that a crash left of versions that have none, or do not exist. While a space is
    being filled it is left to the next time: that space may be one of those.
    """
    try:
        async with writer.exclusive(tenant_id, FILLING) as filling:
            return await _forget_unneeded(writer, tenant_id, filling)
    except LockedError:
        return []


async def _forget_unneeded(writer: Writer, tenant_id: UUID, filling: Held) -> list[UUID]:
    async with writer.database.work(tenant_id) as work:
        await filling.confirm(work)
        unneeded = await retention.unneeded(work, await clock.now(work))
        for version_id in unneeded:
            await model_versions.forget_space(work, version_id)
    # Only now: had it failed before the commit, versions would be searched that are gone.
    async with writer.index_lock(tenant_id) as lock:
        async with lock.work() as work:
            await filling.confirm(work)
            kept = await model_versions.indexed(work)
        # Should it come late, it may delete what another has filled since.
        lock.touched[Marked.EVERYTHING].add(tenant_id)
        await writer.index.keep_versions(tenant_id, kept)
    return unneeded


class _Filling:
    """Makes a version's space complete, whatever becomes of other versions.

    What is marked is written into this space. It stays marked for whoever follows the marks, unless
    no other version is to follow them: who fills a space neither waits for that nor depends on it.
    """

    def __init__(self, writer: Writer, model: ModelKey, report: Report) -> None:
        self._writer = writer
        self._model = model
        self._report = report
        # Marks whose subjects were read and written after them.
        self._followed: dict[UUID, IndexMark] = {}
        # Of those, the ones that were followed alone: who acted on their properties was not.
        self._alone: list[IndexMark] = []
        self._looks = 0
        self.counts = Counts()
        self.reindexed = False

    async def run(self, switch: Callable[[Work], Awaitable[None]]) -> int:
        """Fill the space, and ``switch`` in the transaction that finds it complete.

        Returns the version's number.
        """
        writer, model = self._writer, self._model
        async with writer.exclusive(model.tenant_id, FILLING, wait=inf) as filling:
            await _forget_unneeded(writer, model.tenant_id, filling)
            async with writer.database.work(model.tenant_id) as work:
                await filling.confirm(work)
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
            while not await self._complete(filling, switch):
                pass
            return version.number

    async def _write_everything(self) -> None:
        async with self._writer.database.work(self._model.tenant_id) as work:
            marks = await index_outbox.all_marks(work)
        self.counts = await write_everything(
            self._writer, self._model.tenant_id, self._report, self._model.version_id
        )
        self._followed |= {one.id: one for one in marks}
        self._alone = []

    async def _write_gaps(self) -> None:
        """Write what lacks in the space by its ids. What changes from now on is marked."""
        between = await gaps(self._writer, self._model)
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

    async def _complete(self, filling: Held, switch: Callable[[Work], Awaitable[None]]) -> bool:
        """Whether all was in the space, which is complete then; else some of what lacked is now."""
        writer, model = self._writer, self._model
        async with writer.index_lock(model.tenant_id) as lock:
            async with writer.database.work(model.tenant_id) as work:
                found = await index_outbox.marks(work, MARKS, self._followed)
            targets = await writer.targets(model.tenant_id, model.version_id)
            counts = Counts()
            await write_subjects(writer, lock, found, targets, counts)
            for kind, unwritable in counts.unwritable.items():
                self.counts.unwritable[kind] |= unwritable
            self._followed |= {one.id: one for one in found}
            self._alone += found
            self._looks += 1
            async with lock.work() as work:
                await filling.confirm(work)
                if found:
                    work.publish(Event(Topic.PROPERTIES))
                version = await model_versions.get(work, model.version_id)
                if version.space is SpaceState.NONE:
                    # No change reached it since: what was written before may be out of date.
                    raise JobError(
                        f"version {version.number} was given up while it was being indexed"
                    )
                everything = {one.id for one in await index_outbox.marks_of_everything(work)}
                if everything <= self._followed.keys():
                    late = await index_outbox.marks(work, 1, self._followed)
                    if len(found) == MARKS or (late and self._looks < LOOKS):
                        return False
                    await self._unmark(work)
                    if (await index_outbox.waiting(work)).marks:
                        work.enqueue(index_outbox.INDEX_MARKED)
                    await model_versions.complete(work, version.id)
                    await switch(work)
                    return True
        await self._write_everything()
        return False

    async def _unmark(self, work: Work) -> None:
        """Delete the marks that were followed, if no other version is to follow them."""
        if await model_versions.indexed(work) != [self._model.version_id]:
            return
        await index_outbox.mark_investors(work, subjects(self._alone, Marked.PROPERTY))
        if any(one.kind is Marked.EVERYTHING for one in self._followed.values()):
            await mark_unwritable(work, self.counts)
        unwritable = set().union(*self.counts.unwritable.values())
        followed = self._followed.values()
        await index_outbox.unmark(
            work, [one for one in followed if one.subject_id not in unwritable]
        )
