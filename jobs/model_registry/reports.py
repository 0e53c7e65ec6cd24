"""Keeps with a version the evaluation that its report is drawn from."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from domain.contract.snapshots import InteractionLog, PropertyColumns
from domain.core.database import Database
from domain.interactions import interactions
from domain.jobs.job_runs import UNEXPLAINED
from domain.model_registry import evaluations, model_versions
from jobs.queue.beside import in_thread
from ml.evaluation.kept import report_of
from ml.evaluation.protocols import EvaluationError
from ml.twin.device import pick_device

logger = logging.getLogger(__name__)

Data = Callable[[], Awaitable[tuple[PropertyColumns, InteractionLog]]]
"""Reads all properties and interactions of a tenant."""


async def make_report(
    database: Database, tenant_id: UUID, version_id: UUID, data: Data, device: str
) -> dict[str, Any]:
    """The evaluation of a version: made on the data and kept, unless it is there already.

    Args:
        database: of the version.
        tenant_id: whose it is.
        version_id: the version.
        data: of the tenant; what it holds that was held back in training is measured on.
        device: where to compute, see ``ml.twin.device.pick_device``.

    Raises:
        EvaluationError: there is too little to measure on.
        ml.twin.artifacts.ArtifactError: the version cannot be used.
    """
    async with database.work(tenant_id) as work:
        kept = await evaluations.kept(work, version_id)
        if kept is not None:
            return kept
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
            device=pick_device(device),
            simulated=simulated,
        )
    )
    async with database.work(tenant_id) as work:
        await evaluations.keep(work, version_id, measured)
    return measured


async def keep_report(
    database: Database, tenant_id: UUID, version_id: UUID, data: Data, device: str
) -> str | None:
    """See that a version has a report, see ``make_report``; why it has none, for the tenant.

    A version without a report is as good as any, and it can be made later: nothing is raised.
    """
    try:
        await make_report(database, tenant_id, version_id, data, device)
    except EvaluationError as error:
        logger.info("version %s has no report: %s", version_id, error)
        return str(error)
    except Exception:
        logger.warning("version %s has no report", version_id, exc_info=True)
        return UNEXPLAINED
    return None
