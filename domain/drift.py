"""How far a tenant's data has moved from what its twin learned from."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import Float, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.base import Base, TenantScoped, one_of, vocabulary


class DriftLevel(StrEnum):
    """How grave a drift is, by the bounds of the tenant's policy."""

    STABLE = "stable"
    WARNING = "warning"
    ALERT = "alert"
    BLOCKING = "blocking"


class DriftMeasurement(TenantScoped, Base):
    """One measurement against what a version learned from.

    ``features`` maps a feature to its population stability index; ``score`` is that of the
    distribution of affinity, None where it cannot be told.
    """

    __tablename__ = "drift_measurements"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "version_id"],
            ["model_versions.tenant_id", "model_versions.id"],
            ondelete="CASCADE",
        ),
        one_of("level", DriftLevel),
        Index("ix_drift_measurements_newest", "tenant_id", "version_id", text("created_at DESC")),
    )

    version_id: Mapped[UUID]
    features: Mapped[dict[str, float]] = mapped_column(JSONB)
    score: Mapped[float | None] = mapped_column(Float(53))
    level: Mapped[DriftLevel] = mapped_column(vocabulary(DriftLevel))
