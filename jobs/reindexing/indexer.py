"""The indexer: all that jobs and commands do to a tenant's index."""

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Self
from uuid import UUID

from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.jobs import index_outbox, job_runs
from domain.model_registry.model_versions import ModelVersion
from domain.tenants import tenants
from jobs.reindexing import comparison, passes, promotion
from jobs.reindexing import reindex as reindexing
from jobs.reindexing.comparison import Differences
from jobs.reindexing.passes import Report
from jobs.reindexing.promotion import Activation, Hold
from jobs.reindexing.reindex import Reindexed
from jobs.reindexing.writer import Counts, Writer
from ml.index.index import EmbeddingIndex
from ml.serving.inference import TwinService


@dataclass(frozen=True, slots=True)
class Indexer(Writer):
    """Keeps the index in step with the database. Make one with ``open``."""

    @classmethod
    async def open(cls, database: Database, index: EmbeddingIndex, twin: TwinService) -> Self:
        """An indexer whose collections exist.

        Where only those of an earlier build do, everything of every tenant is marked.
        """
        # First, so that a process that dies in between does not forget it.
        if await index.outdated():
            async with database.work(None) as work:
                everyone = await tenants.list_all(work)
            for tenant in everyone:
                async with database.work(tenant.id) as work:
                    await index_outbox.mark_everything(work)
        await index.ensure_collections()
        return cls(database, index, twin)

    async def index_marked(
        self, tenant_id: UUID, seconds: float = inf, long: asyncio.Semaphore | None = None
    ) -> bool:
        """See ``passes.index_marked``."""
        left = await passes.index_marked(self, tenant_id, seconds, long)
        if not left:
            await self._forget_earlier(tenant_id)
        return left

    async def write_everything(
        self, tenant_id: UUID, report: Report, only: UUID | None = None
    ) -> Counts:
        """See ``passes.write_everything``."""
        return await passes.write_everything(self, tenant_id, report, only)

    async def reindex(self, tenant_id: UUID, report: Report, *, full: bool = False) -> Reindexed:
        """See ``reindex.reindex``."""
        return await reindexing.reindex(self, tenant_id, report, full=full)

    async def complete_versions(self, tenant_id: UUID) -> list[ModelVersion]:
        """See ``reindex.complete_versions``."""
        return await reindexing.complete_versions(self, tenant_id)

    async def fill(self, tenant_id: UUID, version_id: UUID, report: Report) -> Counts:
        """See ``promotion.fill``."""
        return await promotion.fill(self, tenant_id, version_id, report)

    async def activate(
        self, tenant_id: UUID, version_id: UUID, report: Report, hold: Hold | None = None
    ) -> Activation:
        """See ``promotion.activate``."""
        return await promotion.activate(self, tenant_id, version_id, report, hold)

    async def forget_unneeded(self, tenant_id: UUID) -> list[UUID]:
        """See ``promotion.forget_unneeded``."""
        return await promotion.forget_unneeded(self, tenant_id)

    async def differences(self, tenant_id: UUID, version_id: UUID) -> Differences:
        """See ``comparison.differences``."""
        return await comparison.differences(self, ModelKey(tenant_id, version_id))

    async def repair(self, tenant_id: UUID) -> bool:
        """Ask for a reindex where a complete space holds more or fewer properties than it should.

        Whether it does. Cheap enough for every few minutes: it counts, of what is not marked. So
        an index that was emptied, or lost its latest writes, is noticed soon.
        """
        if not await comparison.miscounted(self, tenant_id):
            await self._forget_earlier(tenant_id)
            return False
        # Once more with nobody writing: what changed between two counts is no difference.
        async with self.index_lock(tenant_id) as lock:
            differs = await comparison.miscounted(self, tenant_id)
            if differs:
                async with lock.work() as work:
                    await job_runs.request(work, job_runs.REINDEX)
            return differs

    async def _forget_earlier(self, tenant_id: UUID) -> None:
        """Give up what an earlier build wrote, once all of the tenant is written anew."""
        if await self.index.has_earlier():
            async with self.database.work(tenant_id) as work:
                is_behind = bool(await index_outbox.marks_of_everything(work))
            # A worker of the earlier build may have followed the mark, and written nothing here.
            if not is_behind and not await comparison.miscounted(self, tenant_id):
                await self.index.forget_earlier(tenant_id)
