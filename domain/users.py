"""Users: the members of a tenant. Investors are users with a history."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Text, UniqueConstraint, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.base import Base, TenantScoped, one_of, parse_uuid, vocabulary
from domain.errors import not_found
from domain.vocabulary import Role
from domain.work import Work


class User(TenantScoped, Base):
    """A member of a tenant; ``simulated`` marks an invented one.

    ``buy_box`` is what the member says is wanted, as ``domain.buy_boxes`` writes it, and
    ``buy_box_set_at`` when that was last said or taken back. Since ``deactivated_at`` it may not
    sign in; what it did still counts.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("tenant_id", "external_id"),
        Index("uq_users_tenant_id_email", "tenant_id", text("lower(email)"), unique=True),
        Index(None, "tenant_id", "created_at", "id"),
        one_of("role", Role),
    )

    external_id: Mapped[str] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    role: Mapped[Role] = mapped_column(vocabulary(Role))
    simulated: Mapped[bool] = mapped_column(server_default="false")
    buy_box: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    buy_box_set_at: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]


async def get(work: Work, user_id: UUID, *field: str) -> User:
    """The user of that id. Raises DomainError NOT_FOUND, blaming ``field``."""
    user = await work.session.get(User, (work.tenant_id, user_id))
    if user is None:
        raise not_found("user", field)
    return user


async def get_many(work: Work, user_ids: list[UUID]) -> dict[UUID, User]:
    """The users of those ids that exist, by id."""
    rows = await work.session.scalars(select(User).where(User.id.in_(user_ids)))
    return {user.id: user for user in rows}


async def find(work: Work, reference: str) -> User:
    """The user with that email (any case) or external id. Raises DomainError NOT_FOUND."""
    user = await work.session.scalar(
        select(User)
        .where(or_(func.lower(User.email) == reference.lower(), User.external_id == reference))
        .order_by(User.external_id != reference)
        .limit(1)
    )
    if user is None:
        raise not_found(f"user: {reference!r}")
    return user


async def referred(work: Work, reference: str, *, by_email: bool = False) -> User | None:
    """The user that a token means: by its id or external id, or else by email (any case) alone.

    An external id never stands for an email, nor the reverse: whoever chooses the one at an
    identity provider must not become the other here.
    """
    if by_email:
        meant = func.lower(User.email) == reference.lower()
    else:
        meant = or_(User.id == parse_uuid(reference), User.external_id == reference)
    return await work.session.scalar(
        select(User).where(meant).order_by(User.external_id == reference).limit(1)
    )


async def list_all(work: Work) -> list[User]:
    """All users of the tenant, by external id."""
    return list(await work.session.scalars(select(User).order_by(User.external_id)))
