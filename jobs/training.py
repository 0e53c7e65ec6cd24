"""Trains a tenant's twin and puts the new version into service."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

import numpy as np

from domain import interactions, model_versions, properties
from domain.database import Database
from domain.snapshots import InteractionLog, PropertyColumns
from jobs import drift
from jobs.reindexing import Indexer, Report
from ml.config import TrainingConfig
from ml.tower_training import Progress
from ml.training import TrainedTwin, train

Result = TypeVar("Result")

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
    indexer: Indexer, tenant_id: UUID, config: TrainingConfig, report: Report
) -> Training:
    """Train on the tenant's data, index the new version, activate it.

    The tenant's answers come from the version before until everything is in the index. Training
    sets torch's threads and seed: call this in a process of its own.

    Raises:
        LockedError: a training of the tenant is going on in another process.
        TrainingError: there is too little to learn from.
    """
    database = indexer.database
    async with database.exclusive(tenant_id, "training"):
        await report(0.0, "reading properties and interactions")
        columns, log = await load(database, tenant_id)
        trained = await _train(columns, log, config, report)
        async with database.work(tenant_id) as work:
            moved = drift.greatest(await model_versions.active(work), columns)
            version = await model_versions.add(
                work, trained.weights, trained.metadata, trained.metrics | moved
            )

        async def indexing(share: float, message: str) -> None:
            await report(TRAINED + (1 - TRAINED) * share, message)

        counts = await indexer.fill(tenant_id, version.id, indexing)
        async with database.work(tenant_id) as work:
            await model_versions.activate(work, version.id)
    return Training(version.id, version.number, trained.metrics, counts.properties, counts.users)


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
    columns: PropertyColumns, log: InteractionLog, config: TrainingConfig, report: Report
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
    return await _in_thread(
        lambda: drift.with_reference(train(columns, log, config, after_epoch), columns, log)
    )


async def _in_thread(function: Callable[[], Result]) -> Result:
    """Call the function beside the event loop.

    In a daemon thread, unlike ``asyncio.to_thread``: who is interrupted need not wait for it.
    """
    outcome: Future[Result] = Future()
    outcome.set_running_or_notify_cancel()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True, name="training").start()
    return await asyncio.wrap_future(outcome)
