"""Model versions: the trained twins of a tenant, weights and all."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, UniqueConstraint, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, deferred, mapped_column

from domain import tenants
from domain.base import Base, TenantScoped, one_of, vocabulary
from domain.errors import not_found
from domain.events import Event, Topic
from domain.snapshots import StoredModel
from domain.tenants import Tenant
from domain.work import Work


class ModelStatus(StrEnum):
    """Where a version stands: it answers only while it is active."""

    TRAINED = "trained"
    ACTIVE = "active"
    RETIRED = "retired"


class ModelVersion(TenantScoped, Base):
    """One trained twin: safetensors weights, JSON metadata (feature statistics), metrics.

    They live in the database, so that any number of servers loads them with no shared disk.
    """

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "number"),
        one_of("status", ModelStatus),
    )

    number: Mapped[int]
    status: Mapped[ModelStatus] = mapped_column(vocabulary(ModelStatus))
    weights: Mapped[bytes] = deferred(mapped_column(LargeBinary, nullable=False))
    details: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB)
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


async def add(
    work: Work, weights: bytes, metadata: Mapping[str, Any], metrics: Mapping[str, Any]
) -> ModelVersion:
    """Keep a trained twin under the tenant's next number; it does not answer yet."""
    await tenants.lock(work, "model_versions")
    last = await work.session.scalar(select(func.max(ModelVersion.number)))
    version = ModelVersion(
        tenant_id=work.tenant_id,
        number=(last or 0) + 1,
        status=ModelStatus.TRAINED,
        weights=weights,
        details=dict(metadata),
        metrics=dict(metrics),
    )
    work.session.add(version)
    await work.session.flush()
    return version


async def get(work: Work, version_id: UUID) -> ModelVersion:
    """The version without its weights. Raises DomainError NOT_FOUND."""
    version = await work.session.get(ModelVersion, (work.tenant_id, version_id))
    if version is None:
        raise not_found("model version")
    return version


async def stored(work: Work, version_id: UUID) -> StoredModel:
    """The version's weights and metadata. Raises DomainError NOT_FOUND."""
    row = (
        await work.session.execute(
            select(ModelVersion.weights, ModelVersion.details).where(ModelVersion.id == version_id)
        )
    ).one_or_none()
    if row is None:
        raise not_found("model version")
    return StoredModel(weights=row[0], metadata=row[1])


async def list_all(work: Work) -> list[ModelVersion]:
    """All versions, newest first, without their weights."""
    return list(
        await work.session.scalars(select(ModelVersion).order_by(ModelVersion.number.desc()))
    )


async def indexed(work: Work) -> list[UUID]:
    """The versions whose vectors must follow every change: the active one and one on its way.

    On its way is what was trained after the active one and is being put into the index.
    """
    active = select(ModelVersion.number).where(ModelVersion.status == ModelStatus.ACTIVE)
    query = select(ModelVersion.id).where(
        or_(
            ModelVersion.status == ModelStatus.ACTIVE,
            and_(
                ModelVersion.status == ModelStatus.TRAINED,
                ModelVersion.number > func.coalesce(active.scalar_subquery(), 0),
            ),
        )
    )
    return list(await work.session.scalars(query.order_by(ModelVersion.number)))


async def retire_unfinished(work: Work) -> None:
    """Give up the versions that never became active. Only within the tenant's one training."""
    await work.session.execute(
        update(ModelVersion)
        .where(ModelVersion.status == ModelStatus.TRAINED)
        .values(status=ModelStatus.RETIRED, retired_at=func.now())
    )


async def superseded(work: Work) -> list[UUID]:
    """The retired versions other than the one that was active last."""
    before = (
        select(ModelVersion.id)
        .where(ModelVersion.status == ModelStatus.RETIRED, ModelVersion.activated_at.is_not(None))
        .order_by(ModelVersion.retired_at.desc(), ModelVersion.number.desc())
        .limit(1)
    )
    query = select(ModelVersion.id).where(
        ModelVersion.status == ModelStatus.RETIRED,
        ModelVersion.id.is_distinct_from(before.scalar_subquery()),
    )
    return list(await work.session.scalars(query))


async def activate(work: Work, version_id: UUID) -> None:
    """Have the version answer from the commit on, and retire the one before it.

    Its vectors must be in the index already. Raises DomainError NOT_FOUND.
    """
    await tenants.lock(work, "model_versions")
    version = await get(work, version_id)
    await work.session.execute(
        update(ModelVersion)
        .where(ModelVersion.status == ModelStatus.ACTIVE, ModelVersion.id != version_id)
        .values(status=ModelStatus.RETIRED, retired_at=func.now())
    )
    version.status = ModelStatus.ACTIVE
    version.activated_at = func.now()
    version.retired_at = None
    await work.session.execute(
        update(Tenant).where(Tenant.id == work.tenant_id).values(active_model_version_id=version_id)
    )
    work.publish(Event(Topic.MODEL))
