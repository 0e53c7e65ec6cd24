"""Keeps with a version the evaluation that its report is drawn from."""

import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from domain import evaluations, interactions, model_versions
from domain.database import Database
from domain.snapshots import InteractionLog, PropertyColumns
from jobs.beside import in_thread
from ml.config import TrainingConfig, pick_device
from ml.evaluation.kept import report_of

logger = logging.getLogger(__name__)


async def keep_report(
    database: Database,
    tenant_id: UUID,
    version_id: UUID,
    data: Callable[[], Awaitable[tuple[PropertyColumns, InteractionLog]]],
    config: TrainingConfig,
) -> None:
    """Evaluate a version on the data and keep the result; once it has one, do nothing.

    A version without a report is as good as any: what goes wrong here is logged, and that is all.
    """
    try:
        async with database.work(tenant_id) as work:
            if await evaluations.kept(work, version_id) is not None:
                return
            version = await model_versions.get(work, version_id)
            stored = await model_versions.stored(work, version_id)
            simulated = await interactions.any_simulated(work)
        columns, log = await data()
        measured = await in_thread(
            lambda: report_of(
                stored,
                version.metrics.get("epochs", []),
                columns,
                log,
                device=pick_device(config.device),
                simulated=simulated,
            )
        )
        async with database.work(tenant_id) as work:
            await evaluations.keep(work, version_id, measured)
    except Exception:
        logger.warning("version %s has no report", version_id, exc_info=True)
