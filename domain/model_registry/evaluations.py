"""What a version's report is drawn from: kept with the version, and read only where it is shown."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from domain.core.work import Work
from domain.model_registry.model_versions import ModelVersion


async def keep(work: Work, version_id: UUID, evaluation: Mapping[str, Any]) -> None:
    """Keep the evaluation of a version, JSON, instead of any it has; nothing without the version.

    Raises ValueError if it is no JSON of finite numbers.
    """
    await work.session.execute(
        update(ModelVersion)
        .where(ModelVersion.id == version_id)
        .values(evaluation=dict(evaluation))
    )


async def kept(work: Work, version_id: UUID) -> dict[str, Any] | None:
    """The evaluation of a version; None if there is none, or no such version."""
    found: dict[str, Any] | None = await work.session.scalar(
        select(ModelVersion.evaluation).where(ModelVersion.id == version_id)
    )
    return found
