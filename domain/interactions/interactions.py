"""Interactions: what investors did with properties, which is all that the twin knows of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Text,
    Uuid,
    any_,
    case,
    cast,
    delete,
    exists,
    extract,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.expression import CollectionAggregate

from domain.changes import changes
from domain.changes.changes import Noun, Operation
from domain.contract.snapshots import InteractionLog
from domain.contract.vocabulary import INTERACTION_WEIGHTS, THUMBS, InteractionKind
from domain.core import clock
from domain.core.base import Base, TenantScoped, one_of, storable, vocabulary
from domain.core.errors import invalid, not_found
from domain.core.events import Event, Topic
from domain.core.input_rules import EARLIEST
from domain.core.work import Work
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.properties.table import Property
from domain.users.users import User

MANY = 100
"""Properties above which their totals are computed as for all."""

_NESTED_LOOPS = text("SELECT set_config('enable_nestloop', :allowed, true)")

REASON_LIMIT = 2000
"""Characters in the reason of a thumb."""

_IS_THUMB = "kind IN ('THUMBS_UP', 'THUMBS_DOWN')"


class Interaction(TenantScoped, Base):
    """One act of one investor on one property; ``simulated`` marks an invented one."""

    __tablename__ = "interactions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "property_id"],
            ["properties.tenant_id", "properties.id"],
            ondelete="CASCADE",
        ),
        one_of("kind", InteractionKind),
        Index(
            "uq_interactions_act",
            "tenant_id", "user_id", "property_id", "kind", "occurred_at",
            unique=True,
        ),
        # An investor holds one opinion of a property.
        Index(
            "uq_interactions_thumb",
            "tenant_id", "user_id", "property_id",
            unique=True,
            postgresql_where=text(_IS_THUMB),
        ),
        # As histories are read, so that no more than their newest acts are.
        Index(
            "ix_interactions_history",
            "tenant_id", "user_id", text("occurred_at DESC"), text("id DESC"),
        ),
        Index(None, "tenant_id", "property_id"),
        Index(None, "tenant_id", "occurred_at"),
    )  # fmt: skip

    user_id: Mapped[UUID]
    property_id: Mapped[UUID]
    kind: Mapped[InteractionKind] = mapped_column(vocabulary(InteractionKind))
    occurred_at: Mapped[datetime]
    reason: Mapped[str | None] = mapped_column(Text)
    simulated: Mapped[bool] = mapped_column(server_default="false")


_KINDS = {kind: position for position, kind in enumerate(InteractionKind)}
WEIGHT: ColumnElement[float] = case(
    {kind.value: weight for kind, weight in INTERACTION_WEIGHTS.items()},
    value=cast(Interaction.kind, Text),
    else_=0.0,
)
"""An interaction's weight as SQL."""


async def _lock(work: Work, user_id: UUID, property_id: UUID) -> None:
    # What one investor does is written in turn, so that repeats and races leave one row.
    user = select(User.id).where(User.id == user_id)
    if await work.session.scalar(user.with_for_update(key_share=True)) is None:
        raise not_found("user", ("userId",))
    # Who deletes it meanwhile is waited for, or waits.
    acted_on = select(Property.id).where(Property.id == property_id)
    if await work.session.scalar(acted_on.with_for_update(key_share=True)) is None:
        raise not_found("property", ("propertyId",))


async def hold_for_totals(work: Work, property_ids: Sequence[UUID] | None) -> None:
    """Lock the properties, or all, so that one transaction at a time changes their totals."""
    held = select(Property.id).order_by(Property.id).with_for_update(key_share=True)
    if property_ids is not None:
        held = held.where(Property.id == _any(property_ids))
    await work.session.execute(select(func.count()).select_from(held.subquery()))


def _any(ids: Sequence[UUID]) -> CollectionAggregate[Any]:
    """Any of the ids, as one value: there may be more than a statement can have parameters."""
    return any_(cast(list(ids), ARRAY(Uuid)))


async def refresh_totals(work: Work, property_ids: Sequence[UUID] | None = None) -> None:
    """Recompute the engagement and owners of the given properties, or of all.

    The index carries the owners: it follows those that changed after the commit.
    """
    # Two investors may act on one property at once; the second counts both acts.
    await hold_for_totals(work, property_ids)
    buyer = case((Interaction.kind == InteractionKind.DEAL, Interaction.user_id))
    totals = (
        select(
            Property.id,
            Property.owners.label("owners_before"),
            func.greatest(0.0, func.coalesce(func.sum(WEIGHT), 0.0)).label("engagement"),
            func.count(buyer.distinct()).label("owners"),
        )
        .outerjoin(Interaction, Interaction.property_id == Property.id)
        .group_by(Property.id, Property.owners)
    )
    if property_ids is not None:
        totals = totals.where(Property.id == _any(property_ids))
    fresh = totals.subquery()
    changed = (
        update(Property)
        .where(
            Property.id == fresh.c.id,
            or_(Property.engagement != fresh.c.engagement, Property.owners != fresh.c.owners),
        )
        .values(engagement=fresh.c.engagement, owners=fresh.c.owners)
        .returning(Property.id, fresh.c.owners != fresh.c.owners_before)
        .execution_options(synchronize_session=False)
    )
    many = property_ids is None or len(property_ids) > MANY
    if many:
        # Of a new tenant PostgreSQL expects one row until it has analysed the tables, and would
        # compare all properties with all.
        await work.session.execute(_NESTED_LOOPS, {"allowed": "off"})
    written = (await work.session.execute(changed)).all()
    if many:
        await work.session.execute(_NESTED_LOOPS, {"allowed": "on"})
    await index_outbox.follow(work, Marked.PROPERTY, [row[0] for row in written if row[1]])


async def record(
    work: Work,
    user_id: UUID,
    property_id: UUID,
    kind: InteractionKind,
    occurred_at: datetime | None = None,
) -> Interaction:
    """Record what an investor did, at most once.

    The same user, property, kind and time is the same act. Without a time it is now, and a repeat
    on the same day (UTC) is the same act, so that a client may retry.

    Raises:
        DomainError: NOT_FOUND for the user or property; INVALID_INPUT for a thumb (use
            ``submit_feedback``), a time in the future or one before 1900.
    """
    if kind in THUMBS:
        raise invalid(f"kind {kind}: give thumbs with submitFeedback", "kind")
    if occurred_at is not None and occurred_at.astimezone(UTC) > await clock.now(work):
        raise invalid(f"occurredAt {occurred_at.isoformat()} is in the future", "occurredAt")
    # The first moment of the year 1 would be stored as one that is infinitely long ago.
    if occurred_at is not None and occurred_at.astimezone(UTC) < EARLIEST:
        raise invalid(
            f"occurredAt {occurred_at.isoformat()}: use a time from {EARLIEST.date()} on",
            "occurredAt",
        )
    await _lock(work, user_id, property_id)
    now = await clock.now(work)
    same = select(Interaction).where(
        Interaction.user_id == user_id,
        Interaction.property_id == property_id,
        Interaction.kind == kind,
    )
    if occurred_at is None:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        same = same.where(Interaction.occurred_at >= midnight)
    else:
        same = same.where(Interaction.occurred_at == occurred_at)
    existing = await work.session.scalar(same.limit(1))
    if existing is not None:
        return existing
    act = Interaction(
        tenant_id=work.tenant_id,
        user_id=user_id,
        property_id=property_id,
        kind=kind,
        occurred_at=occurred_at or now,
        created_at=now,
    )
    await _save(work, act)
    return act


_REPLACED = """(
    SELECT held.id, held.user_id, to_jsonb(held) AS before
    FROM interactions AS held WHERE held.tenant_id = :tenant_id AND held.id = :id
    FOR UPDATE
) AS replaced"""
_RECORD_REPLACED = text(changes.record(Noun.INTERACTION, Operation.UPDATE, _REPLACED))


async def submit_feedback(
    work: Work, user_id: UUID, property_id: UUID, kind: InteractionKind, reason: str | None
) -> Interaction:
    """Set an investor's one opinion of a property; saying the same again changes nothing.

    Raises:
        DomainError: NOT_FOUND for the user or property; INVALID_INPUT for another kind than a
            thumb or a reason that is too long.
    """
    if kind not in THUMBS:
        raise invalid(f"sentiment {kind}: use THUMBS_UP or THUMBS_DOWN", "sentiment")
    if reason is not None and (len(reason) > REASON_LIMIT or not storable(reason)):
        raise invalid(
            f"reason: use text of at most {REASON_LIMIT} characters, without zero bytes", "reason"
        )
    await _lock(work, user_id, property_id)
    thumb = (await feedback(work, user_id, [property_id])).get(property_id)
    if thumb is None:
        thumb = Interaction(tenant_id=work.tenant_id, user_id=user_id, property_id=property_id)
    elif thumb.kind == kind and thumb.reason == reason:
        return thumb
    else:
        values = {"tenant_id": work.tenant_id, "id": thumb.id}
        await work.session.execute(_RECORD_REPLACED, values)
    if thumb.kind != kind:
        thumb.kind = kind
        thumb.occurred_at = thumb.created_at = await clock.now(work)
    thumb.reason = reason
    await _save(work, thumb)
    return thumb


async def retract_feedback(work: Work, user_id: UUID, property_id: UUID) -> bool:
    """Take an investor's opinion of a property back; whether there was one.

    Raises:
        DomainError: NOT_FOUND for the user or property.
    """
    await _lock(work, user_id, property_id)
    retracted = await work.session.scalar(
        delete(Interaction)
        .where(
            Interaction.user_id == user_id,
            Interaction.property_id == property_id,
            Interaction.kind.in_(THUMBS),
        )
        .returning(Interaction.id)
    )
    await refresh_totals(work, [property_id])
    await index_outbox.mark(work, Marked.USER, [user_id])
    if retracted is not None:
        work.publish(Event(Topic.FEEDBACK, user_id))
    return retracted is not None


async def _save(work: Work, act: Interaction) -> None:
    work.session.add(act)
    await work.session.flush()
    await refresh_totals(work, [act.property_id])
    await index_outbox.mark(work, Marked.USER, [act.user_id])
    topic = Topic.FEEDBACK if act.kind in THUMBS else Topic.INTERACTION
    work.publish(Event(topic, act.user_id))


async def feedback(
    work: Work, user_id: UUID, property_ids: Sequence[UUID]
) -> dict[UUID, Interaction]:
    """The investor's opinion of each of the properties it has one of, by property."""
    rows = await work.session.scalars(
        select(Interaction).where(
            Interaction.user_id == user_id,
            Interaction.property_id.in_(property_ids),
            Interaction.kind.in_(THUMBS),
        )
    )
    return {row.property_id: row for row in rows}


async def active_investors(work: Work) -> list[UUID]:
    """The users who did anything, in the order of their ids."""
    query = select(Interaction.user_id).distinct().order_by(Interaction.user_id)
    return list(await work.session.scalars(query))


async def any_simulated(work: Work) -> bool:
    """Whether any of the tenant's interactions are invented."""
    query = select(exists().where(Interaction.simulated, Interaction.tenant_id == work.tenant_id))
    return bool(await work.session.scalar(query))


async def log(work: Work, rows: Mapping[UUID, int]) -> InteractionLog:
    """All interactions of the tenant, oldest first, against the rows of a property snapshot.

    Args:
        work: the unit of work.
        rows: the row of each property id; interactions with others are left out.
    """
    query = select(
        Interaction.user_id,
        Interaction.property_id,
        Interaction.kind,
        extract("epoch", Interaction.occurred_at),
    ).order_by(Interaction.occurred_at, Interaction.id)
    acts: list[tuple[Any, ...]] = [
        tuple(row) for row in await work.session.execute(query) if row[1] in rows
    ]
    users = {user_id: n for n, user_id in enumerate(dict.fromkeys(row[0] for row in acts))}
    return InteractionLog(
        users=tuple(users),
        user=np.array([users[row[0]] for row in acts], dtype=np.int32),
        property=np.array([rows[row[1]] for row in acts], dtype=np.int32),
        kind=np.array([_KINDS[row[2]] for row in acts], dtype=np.int8),
        occurred_at=np.array([row[3] for row in acts], dtype=np.float64),
    )
