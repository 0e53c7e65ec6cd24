"""Deleting changes that are older than the tenant's policy allows."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, text, update

from domain.changes.changes import Change
from domain.core import clock
from domain.core.database import Database
from domain.core.work import Work
from domain.imports.record import Import
from domain.tenants import policies

BATCH = 10_000
"""Rows that one transaction deletes."""

# Ids rise with time, so that the oldest are found at the start of the primary key.
_DELETE = text(
    """
    WITH gone AS (
        DELETE FROM changes WHERE tenant_id = :tenant_id AND id = ANY(ARRAY(
            SELECT id FROM changes WHERE tenant_id = :tenant_id AND created_at < :before
            ORDER BY id LIMIT :batch
        ))
        RETURNING id
    )
    SELECT count(*) FROM gone
    """
)


async def due(work: Work, now: datetime) -> bool:
    """Whether the oldest change is too old at that moment."""
    oldest = await work.session.scalar(
        select(Change.created_at)
        .where(Change.tenant_id == work.tenant_id)
        .order_by(Change.id)
        .limit(1)
    )
    return oldest is not None and oldest < await _kept_since(work, now)


async def purge(database: Database, tenant_id: UUID, *, batch: int = BATCH) -> int:
    """Delete a tenant's old changes, each batch in a transaction of its own.

    Imports that wrote any of them stay on record, but can no longer be undone.

    Returns:
        The number of rows that were deleted.
    """
    async with database.work(tenant_id) as work:
        before = await _kept_since(work, await clock.now(work))
        # Committed before anything is deleted: no import is undone in part.
        await work.session.execute(
            update(Import)
            .where(
                Import.tenant_id == tenant_id,
                Import.created_at < before,
                Import.purged_at.is_(None),
            )
            .values(purged_at=func.now())
        )
    deleted = 0
    while True:
        async with database.work(tenant_id) as work:
            values = {"tenant_id": tenant_id, "before": before, "batch": batch}
            found: int = await work.session.scalar(_DELETE, values) or 0
        deleted += found
        if found < batch:
            return deleted


async def _kept_since(work: Work, now: datetime) -> datetime:
    return now - timedelta(days=(await policies.get(work)).changes_days)
