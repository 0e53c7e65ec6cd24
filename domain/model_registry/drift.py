"""How far a tenant's data has moved from what its twin learned from.

What is measured is in ``ml.measures.drift``; here it is judged by the tenant's policy, and kept.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Float, ForeignKeyConstraint, Index, Text, cast, delete, func, select, text
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from domain.contract.snapshots import PropertyColumns
from domain.core.base import Base, TenantScoped, one_of, vocabulary
from domain.core.work import Work
from domain.interactions.interactions import WEIGHT, Interaction
from domain.properties import snapshots
from domain.properties.table import Property
from domain.tenants import policies
from domain.tenants.policies import Policy

KEPT = timedelta(days=365)
"""How long measurements stay on record."""

AFFINITY = "affinity"
"""What the drift of scores is called, beside those of features."""

GROWING = frozenset({"days_on_market"})
"""Features that move by themselves: measured like all others, and held against nothing."""


class DriftLevel(StrEnum):
    """How grave a drift is, by the bounds of the tenant's policy."""

    STABLE = "stable"
    WARNING = "warning"
    ALERT = "alert"
    BLOCKING = "blocking"


class DriftMeasurement(TenantScoped, Base):
    """One measurement against what a version learned from.

    ``features`` maps a feature to its population stability index, corrected for chance as
    ``ml.measures.drift`` says; ``score`` is that of the distribution of affinity, None where it
    cannot be told.
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


def judged(features: Mapping[str, float]) -> dict[str, float]:
    """The indices of those features that do not move by themselves."""
    return {name: index for name, index in features.items() if name not in GROWING}


def worst(features: Mapping[str, float], score: float | None) -> tuple[str, float]:
    """The name of the feature that moved most, or AFFINITY, and its index: see ``judged``."""
    moved = judged(features) | {AFFINITY: score or 0.0}
    name = max(moved, key=moved.__getitem__)
    return name, moved[name]


def level_of(policy: Policy, features: Mapping[str, float], score: float | None) -> DriftLevel:
    """How grave the greatest of these indices is."""
    _, index = worst(features, score)
    if index > policy.drift_block:
        return DriftLevel.BLOCKING
    if index >= policy.drift_alert:
        return DriftLevel.ALERT
    return DriftLevel.WARNING if index >= policy.drift_warning else DriftLevel.STABLE


def hold(policy: Policy, metrics: Mapping[str, Any]) -> str | None:
    """Why a version must not be activated by itself, for people; None if it may.

    Args:
        policy: the tenant's rules.
        metrics: of the version: as "drift" how far the data that it was trained on has moved, and
            as "drifted" what has, see ``worst``; without them nothing is known to have.
    """
    index = metrics.get("drift", 0.0)
    if index <= policy.drift_block:
        return None
    return (
        f"drift: {metrics['drifted']} has moved by {index:.3g}, above {policy.drift_block:.3g}; "
        "look at the data, then activate it"
    )


async def record(
    work: Work, version_id: UUID, features: Mapping[str, float], score: float | None
) -> DriftMeasurement:
    """Keep a measurement against a version, judged by the tenant's policy, and drop old ones."""
    found = DriftMeasurement(
        tenant_id=work.tenant_id,
        version_id=version_id,
        features=dict(features),
        score=score,
        level=level_of(await policies.get(work), features, score),
    )
    work.session.add(found)
    await work.session.execute(
        delete(DriftMeasurement).where(DriftMeasurement.created_at < func.now() - KEPT)
    )
    await work.session.flush()
    return found


async def latest(work: Work, version_ids: Collection[UUID]) -> dict[UUID, DriftMeasurement]:
    """The newest measurement against each of the versions that has one."""
    rows = await work.session.scalars(
        select(DriftMeasurement)
        .where(DriftMeasurement.version_id.in_(version_ids))
        .ext(distinct_on(DriftMeasurement.version_id))
        .order_by(DriftMeasurement.version_id, DriftMeasurement.created_at.desc())
    )
    return {row.version_id: row for row in rows}


async def sample(work: Work, size: int) -> tuple[list[UUID], PropertyColumns]:
    """At most ``size`` investors who approved of anything, and properties: each time the same.

    By a hash of their ids, so that two measurements differ by what changed and not by the draw.
    """
    investors = await work.session.scalars(
        select(Interaction.user_id)
        .where(WEIGHT > 0)
        .group_by(Interaction.user_id)
        .order_by(_shuffled(Interaction.user_id))
        .limit(size)
    )
    drawn = await work.session.scalars(
        select(Property.id).order_by(_shuffled(Property.id)).limit(size)
    )
    return list(investors), await snapshots.snapshot(work, list(drawn))


def _shuffled(column: InstrumentedAttribute[UUID]) -> Any:
    return func.md5(cast(column, Text))
