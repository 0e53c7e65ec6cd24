"""Keeps the index in step with the database: all of a tenant, or what changed.

Whoever writes a tenant's vectors reads the rows and writes the vectors in one turn, and turns are
taken one after the other. So the last to write is the last to have read, and no vector of an older
state overwrites that of a newer one. What changes while a new version is being filled reaches that
version as well, for every turn asks anew which versions there are to write.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from domain import (
    histories,
    indexing,
    interactions,
    job_runs,
    model_versions,
    properties,
    property_search,
    tenants,
    users,
)
from domain.database import Database
from domain.events import Event, Topic
from domain.indexing import IndexMark, Marked
from domain.model_versions import SpaceState
from domain.snapshots import ModelKey, PropertyColumns
from domain.work import Work
from ml.index import EmbeddingIndex
from ml.inference import TwinService

PROPERTY_BATCH = 2000
USER_BATCH = 250

Report = Callable[[float, str], Coroutine[Any, Any, None]]
"""Is told how far a piece of work got: a share in [0, 1] and what is done now."""


@dataclass(slots=True)
class Counts:
    """What a pass did: properties and users written, properties found to be gone."""

    properties: int = 0
    users: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Activation:
    """The version that answers now, by its number, and whether it had to be indexed before."""

    number: int
    reindexed: bool


@dataclass(frozen=True, slots=True)
class Indexer:
    """Writes the vectors of properties and investors. Make one with ``open``."""

    database: Database
    index: EmbeddingIndex
    twin: TwinService

    @classmethod
    async def open(cls, database: Database, index: EmbeddingIndex, twin: TwinService) -> "Indexer":
        """An indexer whose collections exist.

        Where an earlier build filled them, every tenant's reindex is enqueued.
        """
        # First, so that a process that dies in between does not forget it.
        if await index.outdated():
            async with database.work(None) as work:
                everyone = await tenants.list_all(work)
            for tenant in everyone:
                async with database.work(tenant.id) as work:
                    await job_runs.request(work, job_runs.REINDEX)
        await index.ensure_collections()
        return cls(database, index, twin)

    async def reindex(self, tenant_id: UUID, report: Report, only: UUID | None = None) -> Counts:
        """Write everything of a tenant, and forget what no longer exists or has no history.

        Args:
            tenant_id: the tenant.
            report: is told of the progress.
            only: the one version to write; else all that have anything in the index.
        """
        counts = Counts()
        async with self.database.work(tenant_id) as work:
            if not await self._targets(work, only):
                return counts
            total = await property_search.count(work)
            investors = await interactions.active_investors(work)
        everything = max(1, total + len(investors))
        seen: set[UUID] = set()
        after: UUID | None = None
        while True:
            async with self._turn(tenant_id) as work:
                batch = await properties.snapshot_after(work, after, PROPERTY_BATCH)
                await self._write(batch, await self._targets(work, only))
            if not len(batch):
                break
            seen.update(batch.ids)
            after = batch.ids[-1]
            share = min(1.0, len(seen) / everything)
            await report(share, f"indexing properties: {len(seen):,} of {total:,}")
        counts.properties = len(seen)
        for some in _batches(investors, USER_BATCH):
            counts.users += await self._index_users(tenant_id, some, only)
            share = min(1.0, (total + counts.users) / everything)
            await report(share, f"indexing investors: {counts.users:,} of {len(investors):,}")
        counts.removed = await self._forget_others(tenant_id, seen, set(investors), only)
        return counts

    async def index_marked(self, tenant_id: UUID) -> Counts:
        """Write what is marked, until nothing is that was when this began."""
        counts = Counts()
        while True:
            async with self.database.work(tenant_id) as work:
                found = await indexing.marks(work, PROPERTY_BATCH)
            if not found:
                return counts
            if any(one.kind is Marked.EVERYTHING for one in found):
                await self.reindex(tenant_id, _unheard)
            else:
                await self.index_properties(tenant_id, _subjects(found, Marked.PROPERTY))
                await self.index_users(tenant_id, _subjects(found, Marked.USER))
            async with self.database.work(tenant_id) as work:
                await indexing.unmark(work, found)

    async def activate(self, tenant_id: UUID, version_id: UUID, report: Report) -> Activation:
        """Have a version answer, and put everything of the tenant into its space before if need be.

        Raises:
            DomainError: NOT_FOUND; INVALID_INPUT if it was refused.
        """
        async with self.database.work(tenant_id) as work:
            version = await model_versions.get(work, version_id)
            filled = version.space is SpaceState.COMPLETE
        if not filled:
            await self.fill(tenant_id, version_id, report)
        async with self.database.work(tenant_id) as work:
            await model_versions.activate(work, version_id)
        return Activation(version.number, reindexed=not filled)

    async def fill(self, tenant_id: UUID, version_id: UUID, report: Report) -> Counts:
        """Put everything of the tenant into a version's space, which is complete then."""
        async with self.database.work(tenant_id) as work:
            await model_versions.begin_filling(work, version_id)
        counts = await self.reindex(tenant_id, report, only=version_id)
        async with self.database.work(tenant_id) as work:
            await model_versions.complete(work, version_id)
        return counts

    async def index_properties(self, tenant_id: UUID, ids: Sequence[UUID]) -> Counts:
        """Write the properties that exist and forget those that do not, in every version."""
        counts = Counts()
        for some in _batches(ids, PROPERTY_BATCH):
            async with self._turn(tenant_id) as work:
                found = await properties.snapshot(work, some)
                gone = set(some).difference(found.ids)
                await self.index.delete_properties_everywhere(tenant_id, gone)
                await self._write(found, await self._targets(work))
                # At the change itself the index answered as before; now it answers anew.
                work.publish(Event(Topic.PROPERTIES))
            counts.properties += len(found)
            counts.removed += len(gone)
        return counts

    async def index_users(self, tenant_id: UUID, ids: Sequence[UUID]) -> Counts:
        """Write the users who did anything and forget the others, in every version if deleted."""
        counts = Counts()
        for some in _batches(ids, USER_BATCH):
            counts.users += await self._index_users(tenant_id, some)
        return counts

    @asynccontextmanager
    async def _turn(self, tenant_id: UUID) -> AsyncIterator[Work]:
        """A transaction in which nobody else writes vectors of the tenant."""
        async with self.database.work(tenant_id) as work:
            await tenants.lock(work, "index")
            yield work

    @staticmethod
    async def _targets(work: Work, only: UUID | None = None) -> list[ModelKey]:
        versions = [only] if only else await model_versions.indexed(work)
        return [ModelKey(work.tenant_id, version) for version in versions]

    async def _write(self, batch: PropertyColumns, targets: Sequence[ModelKey]) -> None:
        if len(batch):
            for model in targets:
                items = await self.twin.items(model, batch)
                await self.index.space(model).upsert_properties(batch, items)

    async def _index_users(
        self, tenant_id: UUID, ids: Sequence[UUID], only: UUID | None = None
    ) -> int:
        """How many of them have a history, and so a vector."""
        async with self._turn(tenant_id) as work:
            found = (await histories.get_many(work, ids)).values()
            known = [history for history in found if len(history)]
            idle = [history.user_id for history in found if not len(history)]
            # Retired versions are not written any more; who is deleted must not stay in them.
            gone = set(idle).difference(await users.get_many(work, idle) if idle else ())
            await self.index.delete_users_everywhere(tenant_id, gone)
            for model in await self._targets(work, only):
                space = self.index.space(model)
                await space.delete_users(idle)
                if known:
                    await space.upsert_users(
                        {one.user_id: await self.twin.interests(model, one) for one in known}
                    )
        return len(known)

    async def _forget_others(
        self, tenant_id: UUID, seen: set[UUID], investors: set[UUID], only: UUID | None
    ) -> int:
        """Look again at what the index holds beside the properties seen and the investors."""
        async with self.database.work(tenant_id) as work:
            targets = await self._targets(work, only)
            work.publish(Event(Topic.PROPERTIES))
        others: set[UUID] = set()
        strangers: set[UUID] = set()
        for model in targets:
            others |= await self.index.space(model).property_ids() - seen
            strangers |= await self.index.space(model).user_ids() - investors
        await self.index_users(tenant_id, list(strangers))
        return (await self.index_properties(tenant_id, list(others))).removed


def _batches(ids: Sequence[UUID], size: int) -> Iterator[list[UUID]]:
    remaining = iter(ids)
    while batch := list(islice(remaining, size)):
        yield batch


def _subjects(marks: Sequence[IndexMark], kind: Marked) -> list[UUID]:
    """What the marks of a kind name, each once."""
    return list(dict.fromkeys(one.subject_id for one in marks if one.kind is kind))


async def _unheard(_share: float, _message: str) -> None:
    """Report to nobody."""
