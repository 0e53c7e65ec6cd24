"""Experiments: a tenant's investors split between two versions for a time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Float, ForeignKeyConstraint, Index, select, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.base import Base, TenantScoped
from domain.work import Work


class Experiment(TenantScoped, Base):
    """Since ``created_at`` a ``share`` of the investors gets the treatment, the rest the control.

    One runs at a time; it runs until ``ended_at`` is set.
    """

    __tablename__ = "experiments"
    __table_args__ = (
        *(
            ForeignKeyConstraint(
                ["tenant_id", column],
                ["model_versions.tenant_id", "model_versions.id"],
                ondelete="CASCADE",
            )
            for column in ("control_id", "treatment_id")
        ),
        CheckConstraint("share > 0 AND share < 1", name="share"),
        CheckConstraint("control_id <> treatment_id", name="versions"),
        Index(
            "uq_experiments_running",
            "tenant_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    control_id: Mapped[UUID]
    treatment_id: Mapped[UUID]
    share: Mapped[float] = mapped_column(Float(53))
    ended_at: Mapped[datetime | None]


async def running(work: Work) -> Experiment | None:
    """The experiment that runs now, if any."""
    found: Experiment | None = await work.session.scalar(
        select(Experiment).where(Experiment.ended_at.is_(None))
    )
    return found
