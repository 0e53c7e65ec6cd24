"""Model versions: the trained twins of a tenant, weights and all."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, Text, UniqueConstraint, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, defer, deferred, mapped_column

from domain.contract.snapshots import StoredModel
from domain.core import keyset
from domain.core.base import Base, TenantScoped, one_of, vocabulary
from domain.core.errors import invalid, not_found
from domain.core.events import Event, Topic
from domain.core.work import Work
from domain.tenants import experiments, tenants
from domain.tenants.tenants import Tenant

ACTIVATED = "twin_active_version"
"""The channel of PostgreSQL on which servers hear ``tenant:version`` of each that is activated."""


class ModelStatus(StrEnum):
    """Where a version stands: it answers only while it is active."""

    TRAINED = "trained"
    EVALUATED = "evaluated"
    INDEXED = "indexed"
    ACTIVE = "active"
    RETIRED = "retired"
    REFUSED = "refused"


class SpaceState(StrEnum):
    """How much of a version is in the index. What is not NONE is kept in step with every change."""

    NONE = "none"
    FILLING = "filling"
    COMPLETE = "complete"


class ModelVersion(TenantScoped, Base):
    """One trained twin: safetensors weights, JSON metadata (feature statistics), metrics.

    They live in the database, so that any number of servers loads them with no shared disk.

    ``run_id`` is the job run that makes it, ``parent_id`` the version that its training continued,
    ``read_at`` when the data of its training was read, ``learned_until`` the newest interaction
    among it, of those that it was tested on too. ``gates`` are the figures it was judged by (see
    ``domain.model_registry.gates``), ``refusal`` says why it must not answer. ``evaluation`` is
    what its report is drawn from. ``space_since`` is when its space was last found complete.
    """

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "number"),
        one_of("status", ModelStatus),
        one_of("space", SpaceState),
    )

    number: Mapped[int]
    status: Mapped[ModelStatus] = mapped_column(vocabulary(ModelStatus))
    space: Mapped[SpaceState] = mapped_column(vocabulary(SpaceState), server_default="none")
    space_since: Mapped[datetime | None]
    run_id: Mapped[UUID | None]
    parent_id: Mapped[UUID | None]
    weights: Mapped[bytes] = deferred(mapped_column(LargeBinary, nullable=False))
    details: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB)
    gates: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    refusal: Mapped[str | None] = mapped_column(Text)
    evaluation: Mapped[dict[str, Any] | None] = deferred(mapped_column(JSONB))
    read_at: Mapped[datetime | None]
    learned_until: Mapped[datetime | None]
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


async def add(
    work: Work,
    weights: bytes,
    metadata: Mapping[str, Any],
    metrics: Mapping[str, Any],
    *,
    run_id: UUID | None = None,
    parent_id: UUID | None = None,
    read_at: datetime | None = None,
    learned_until: datetime | None = None,
) -> ModelVersion:
    """Keep a trained twin under the tenant's next number; it does not answer yet."""
    await tenants.lock(work, "model_versions")
    last = await work.session.scalar(select(func.max(ModelVersion.number)))
    version = ModelVersion(
        tenant_id=work.tenant_id,
        number=(last or 0) + 1,
        status=ModelStatus.TRAINED,
        space=SpaceState.NONE,
        weights=weights,
        details=dict(metadata),
        metrics=dict(metrics),
        run_id=run_id,
        parent_id=parent_id,
        read_at=read_at,
        learned_until=learned_until,
    )
    work.session.add(version)
    await work.session.flush()
    return version


async def get(work: Work, version_id: UUID, *field: str) -> ModelVersion:
    """The version without its weights. Raises DomainError NOT_FOUND, blaming ``field``."""
    version = await work.session.get(ModelVersion, (work.tenant_id, version_id))
    if version is None:
        raise not_found("model version", field)
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


async def by_number(work: Work, number: int) -> ModelVersion:
    """The version of that number without its weights. Raises DomainError NOT_FOUND."""
    found = await work.session.scalar(select(ModelVersion).where(ModelVersion.number == number))
    if found is None:
        raise not_found(f"model version: {number}")
    return found


async def active(work: Work) -> ModelVersion | None:
    """The version that answers, without its weights."""
    found: ModelVersion | None = await work.session.scalar(
        select(ModelVersion).where(ModelVersion.status == ModelStatus.ACTIVE)
    )
    return found


async def of_run(work: Work, run_id: UUID) -> ModelVersion | None:
    """The version that a job run made so far."""
    found: ModelVersion | None = await work.session.scalar(
        select(ModelVersion).where(ModelVersion.run_id == run_id)
    )
    return found


async def previous(work: Work) -> ModelVersion | None:
    """The version that answered before the active one: where a rollback leads."""
    active_since = (
        select(ModelVersion.activated_at)
        .where(ModelVersion.status == ModelStatus.ACTIVE)
        .scalar_subquery()
    )
    found: ModelVersion | None = await work.session.scalar(
        select(ModelVersion)
        .where(
            ModelVersion.status == ModelStatus.RETIRED,
            ModelVersion.activated_at < func.coalesce(active_since, func.now()),
        )
        .order_by(ModelVersion.activated_at.desc(), ModelVersion.number.desc())
        .limit(1)
    )
    return found


async def page(
    work: Work,
    limit: int,
    *,
    after: int | None = None,
    before: int | None = None,
    backward: bool = False,
) -> Sequence[ModelVersion]:
    """Up to ``limit`` versions between those of two numbers, newest first, without their weights.

    ``backward`` takes those nearest the end instead of the start. Their ``details`` are not read.
    """
    return await keyset.page(
        work,
        select(ModelVersion).options(defer(ModelVersion.details, raiseload=True)),
        (ModelVersion.number,),
        limit,
        after=None if after is None else (after,),
        before=None if before is None else (before,),
        backward=backward,
        newest_first=True,
    )


async def count(work: Work) -> int:
    """How many versions there are."""
    return await work.session.scalar(select(func.count()).select_from(ModelVersion)) or 0


async def get_many(work: Work, version_ids: Collection[UUID]) -> list[ModelVersion]:
    """The versions of those ids that exist, without their weights and details."""
    query = select(ModelVersion).options(defer(ModelVersion.details, raiseload=True))
    return list(await work.session.scalars(query.where(ModelVersion.id.in_(version_ids))))


async def indexed(work: Work) -> list[UUID]:
    """The versions whose vectors follow every change: those with any in the index.

    Among them is the version before the active one, so that a rollback to it takes no time.
    """
    query = select(ModelVersion.id).where(ModelVersion.space != SpaceState.NONE)
    return list(await work.session.scalars(query.order_by(ModelVersion.number)))


async def judge(
    work: Work, version_id: UUID, gates: Sequence[Mapping[str, Any]], refusal: str | None
) -> None:
    """Keep the figures that a trained version was judged by, and why it is refused if it is.

    One that has passed its gates keeps what it was judged by. Raises DomainError NOT_FOUND.
    """
    version = await get(work, version_id)
    await work.session.refresh(version, ["status"], with_for_update=True)
    if version.status in (ModelStatus.TRAINED, ModelStatus.REFUSED):
        version.gates = [dict(gate) for gate in gates]
        version.refusal = refusal
        version.status = ModelStatus.REFUSED if refusal else ModelStatus.EVALUATED
        await work.session.flush()


async def give_up_unfinished(work: Work, *, but: UUID | None) -> None:
    """Give up all versions but one that were not indexed. Only within the tenant's one training.

    What was never judged is refused; what passed its gates is retired. No run continues either.
    """
    unfinished = ModelVersion.id.is_distinct_from(but)
    given_up = {"space": SpaceState.NONE, "run_id": None}
    await work.session.execute(
        update(ModelVersion)
        .where(unfinished, ModelVersion.status == ModelStatus.TRAINED)
        .values(
            status=ModelStatus.REFUSED,
            refusal="its training ended before it was judged",
            **given_up,
        )
    )
    await work.session.execute(
        update(ModelVersion)
        .where(unfinished, ModelVersion.status == ModelStatus.EVALUATED)
        .values(status=ModelStatus.RETIRED, retired_at=func.now(), **given_up)
    )


async def begin_filling(work: Work, version_id: UUID) -> None:
    """Have every change from the commit on reach the version's space; it is not complete yet."""
    await _set_space(work, version_id, SpaceState.FILLING)


async def complete(work: Work, version_id: UUID) -> None:
    """Note that everything of the tenant is in the version's space."""
    # Before the rows, as whoever activates does.
    await tenants.lock(work, "model_versions")
    await _set_space(work, version_id, SpaceState.COMPLETE, space_since=func.now())
    await work.session.execute(
        update(ModelVersion)
        .where(ModelVersion.id == version_id, ModelVersion.status == ModelStatus.EVALUATED)
        .values(status=ModelStatus.INDEXED)
    )


async def forget_space(work: Work, version_id: UUID) -> None:
    """Have changes no longer reach the version's space, whose vectors may then be deleted.

    Raises ValueError for the active version, and for one of a running experiment.
    """
    await tenants.lock(work, "model_versions")
    if await answers(work, version_id):
        raise ValueError(f"version {version_id} answers: its vectors are being searched")
    await _set_space(work, version_id, SpaceState.NONE)


async def answers(work: Work, version_id: UUID) -> bool:
    """Whether a version answers: everybody, or investors in an experiment."""
    running = await experiments.running(work)
    compared = {running.control_id, running.treatment_id} if running else set()
    return version_id in compared or (await get(work, version_id)).status is ModelStatus.ACTIVE


def require_passed(version: ModelVersion, *field: str) -> None:
    """Raises DomainError INVALID_INPUT for one that was refused, and for one not judged yet."""
    if version.status is ModelStatus.REFUSED:
        raise invalid(f"version {version.number} was refused: {version.refusal}", *field)
    if version.status is ModelStatus.TRAINED:
        raise invalid(f"version {version.number} has not been judged yet: wait for it", *field)


async def activate(work: Work, version_id: UUID) -> None:
    """Have the version answer from the commit on, and retire the one before it.

    It answers everybody: an experiment that runs ends.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT if it did not pass its gates, or not everything of
            the tenant is in its space.
    """
    await tenants.lock(work, "model_versions")
    version = await get(work, version_id)
    # Whoever held the lock before may have changed it since this transaction first read it.
    await work.session.refresh(version, ["status", "space"])
    require_ready(version)
    await experiments.stop(work)
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
    await work.session.execute(select(func.pg_notify(ACTIVATED, f"{work.tenant_id}:{version_id}")))
    work.publish(Event(Topic.MODEL))


def is_ready(version: ModelVersion) -> bool:
    """Whether a version passed its gates and is in the index as a whole."""
    passed = (ModelStatus.INDEXED, ModelStatus.ACTIVE, ModelStatus.RETIRED)
    return version.status in passed and version.space is SpaceState.COMPLETE


def require_ready(version: ModelVersion) -> None:
    """Raises DomainError INVALID_INPUT, with the reason, unless a version ``is_ready``."""
    require_passed(version)
    if not is_ready(version):
        raise invalid(f"version {version.number} is not in the index: have it indexed first")


async def _set_space(work: Work, version_id: UUID, space: SpaceState, **others: object) -> None:
    change = update(ModelVersion).where(ModelVersion.id == version_id)
    await work.session.execute(change.values(space=space, **others))
