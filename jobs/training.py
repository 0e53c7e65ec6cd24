"""Trains a tenant's twin and puts the new version into service."""

import asyncio
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

import numpy as np

from domain import interactions, model_versions, properties
from domain.database import Database
from domain.errors import DomainError, ErrorCode
from domain.snapshots import InteractionLog, PropertyColumns
from jobs import drift
from jobs.beside import in_thread
from jobs.reindexing import Indexer, Report
from jobs.reports import keep_report
from ml.artifacts import Artifact, unpack
from ml.config import TrainingConfig
from ml.tower_training import Progress
from ml.training import TrainedTwin, train

LOADED, TRAINED = 0.05, 0.75
"""Shares of the work that are done once the data is loaded and the twin is trained."""


@dataclass(frozen=True, slots=True)
class Training:
    """What became of a training.

    Attributes:
        version_id: the version that answers now.
        number: its number.
        metrics: see ``ml.training.TrainedTwin``.
        properties: how many were put into the index.
        users: how many investors were.
    """

    version_id: UUID
    number: int
    metrics: dict[str, Any]
    properties: int
    users: int


async def train_tenant(
    indexer: Indexer,
    tenant_id: UUID,
    config: TrainingConfig,
    report: Report,
    *,
    warm: bool = False,
) -> Training:
    """Train on the tenant's data, index the new version, activate it.

    The tenant's answers come from the version before until everything is in the index. Training
    sets torch's threads and seed: call this in a process of its own. A ``warm`` one continues from
    the active version: see ``ml.warm``.

    Raises:
        DomainError: NO_ACTIVE_MODEL if there is none to continue from.
        LockedError: a training of the tenant is going on in another process.
        TrainingError: there is too little to learn from.
    """
    database = indexer.database
    async with database.exclusive(tenant_id, "training"):
        await report(0.0, "reading properties and interactions")
        parent_id, parent = await _parent(database, tenant_id) if warm else (None, None)
        columns, log = await load(database, tenant_id)
        trained = await _train(columns, log, config, report, parent)
        async with database.work(tenant_id) as work:
            moved = drift.greatest(await model_versions.active(work), columns)
            version = await model_versions.add(
                work,
                trained.weights,
                trained.metadata,
                trained.metrics | moved,
                parent_id=parent_id,
            )
        await report(TRAINED, f"measuring version {version.number} for its report")
        await keep_report(database, tenant_id, version.id, columns, log, config)

        async def indexing(share: float, message: str) -> None:
            await report(TRAINED + (1 - TRAINED) * share, message)

        counts = await indexer.fill(tenant_id, version.id, indexing)
        async with database.work(tenant_id) as work:
            await model_versions.activate(work, version.id)
    return Training(version.id, version.number, trained.metrics, counts.properties, counts.users)


async def _parent(database: Database, tenant_id: UUID) -> tuple[UUID, Artifact]:
    async with database.work(tenant_id) as work:
        active = await model_versions.active(work)
        if active is None:
            raise DomainError(
                ErrorCode.NO_ACTIVE_MODEL,
                "no version is active that training could continue from: train in full first",
            )
        return active.id, unpack(await model_versions.stored(work, active.id))


async def load(database: Database, tenant_id: UUID) -> tuple[PropertyColumns, InteractionLog]:
    """All properties and interactions of the tenant, as training reads them."""
    async with database.work(tenant_id) as work:
        columns = _join([batch async for batch in properties.snapshots(work)])
        rows = {property_id: row for row, property_id in enumerate(columns.ids)}
        return columns, await interactions.log(work, rows)


def _join(batches: list[PropertyColumns]) -> PropertyColumns:
    """The batches as one."""
    batches = batches or [properties.columns([])]
    return PropertyColumns(
        ids=tuple(chain.from_iterable(batch.ids for batch in batches)),
        numeric=np.concatenate([batch.numeric for batch in batches]),
        property_type=np.concatenate([batch.property_type for batch in batches]),
        listing_status=np.concatenate([batch.listing_status for batch in batches]),
        zipcode=tuple(chain.from_iterable(batch.zipcode for batch in batches)),
        city=tuple(chain.from_iterable(batch.city for batch in batches)),
        listed_at=np.concatenate([batch.listed_at for batch in batches]),
        owners=np.concatenate([batch.owners for batch in batches]),
    )


async def _train(
    columns: PropertyColumns,
    log: InteractionLog,
    config: TrainingConfig,
    report: Report,
    parent: Artifact | None,
) -> TrainedTwin:
    loop = asyncio.get_running_loop()

    def after_epoch(progress: Progress) -> None:
        share = LOADED + (TRAINED - LOADED) * progress.epoch / progress.epochs
        message = (
            f"epoch {progress.epoch} of {progress.epochs}: loss {progress.loss:.3f}, "
            f"validation NDCG@10 {progress.metrics['ndcg@10']:.3f}"
        )
        asyncio.run_coroutine_threadsafe(report(share, message), loop).result()

    await report(LOADED, f"training on {len(columns):,} properties, {len(log):,} interactions")
    return await in_thread(
        lambda: drift.with_reference(
            train(columns, log, config, after_epoch, warm=parent), columns, log
        )
    )
