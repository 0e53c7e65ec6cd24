"""Experiments: a tenant's investors split between two versions for a time.

Which version an investor gets follows from the experiment's id and the investor's, and from nothing
else: neither from what the investor did, nor from who came when.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Float,
    ForeignKeyConstraint,
    Index,
    case,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from domain.core.base import Base, TenantScoped
from domain.core.events import Event, Topic
from domain.core.work import Work
from domain.tenants.tenants import Tenant


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
                name=f"fk_experiments_tenant_id_{column}",
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


RUNNING = Experiment.ended_at.is_(None)
"""Whether it runs, as SQL; of each tenant at most one does."""


def treated(user_id: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Whether a user gets the treatment of the row's experiment, as SQL.

    By the first two bytes of SHA-256 of the two ids, which are as good as drawn.
    """
    digest = func.sha256(func.uuid_send(Experiment.id).op("||")(func.uuid_send(user_id)))
    drawn = func.get_byte(digest, 0) * 256 + func.get_byte(digest, 1)
    return drawn < Experiment.share * 65536


def version_of(user_id: InstrumentedAttribute[UUID]) -> ColumnElement[UUID | None]:
    """The version that answers a user, as SQL.

    Of a row that has the tenant and, by an outer join, the experiment that runs, if any does.
    """
    return case(
        (Experiment.id.is_(None), Tenant.active_model_version_id),
        (treated(user_id), Experiment.treatment_id),
        else_=Experiment.control_id,
    )


async def running(work: Work) -> Experiment | None:
    """The experiment that runs now, if any."""
    found: Experiment | None = await work.session.scalar(select(Experiment).where(RUNNING))
    return found


async def latest(work: Work) -> Experiment | None:
    """The experiment that runs now, or else the one that ended last."""
    found: Experiment | None = await work.session.scalar(
        select(Experiment).order_by(RUNNING.desc(), Experiment.created_at.desc()).limit(1)
    )
    return found


async def stop(work: Work) -> bool:
    """Have the active version answer everybody again from the commit on; whether one ran."""
    ended = await work.session.scalar(
        update(Experiment).where(RUNNING).values(ended_at=func.now()).returning(Experiment.id)
    )
    if ended is not None:
        work.publish(Event(Topic.MODEL))
    return ended is not None


def needed(version_id: InstrumentedAttribute[UUID], since: datetime) -> ColumnElement[bool]:
    """Whether an experiment had a version answer since then, or does now, as SQL."""
    return (
        select(Experiment.id)
        .where(
            or_(Experiment.control_id == version_id, Experiment.treatment_id == version_id),
            or_(RUNNING, Experiment.ended_at >= since),
        )
        .exists()
    )
