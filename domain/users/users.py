"""Users: the members of a tenant. Investors are users with a history."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import ARRAY, Index, Text, UniqueConstraint, Uuid, any_, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.contract.vocabulary import Role
from domain.core.base import Base, TenantScoped, one_of, parse_uuid, vocabulary
from domain.core.errors import not_found
from domain.core.reading import Reader, Row, Statement, parameter
from domain.core.work import Work


class User(TenantScoped, Base):
    """A member of a tenant; ``simulated`` marks an invented one.

    ``buy_box`` is what the member says is wanted, as ``domain.users.buy_boxes`` writes it, and
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


class UserRow(NamedTuple):
    """What ``User`` holds of a user, without a session behind it."""

    id: UUID
    role: Role
    external_id: str
    email: str | None
    name: str | None
    simulated: bool
    buy_box: dict[str, Any] | None
    deactivated_at: datetime | None


UserValues: TypeAlias = User | UserRow
"""A user to be read, however it was."""

_ROLES = {str(one): one for one in Role}
_ROW = select(*(getattr(User, name) for name in UserRow._fields))
_BY_ID = Statement(_ROW.where(User.id == any_(parameter("ids", ARRAY(Uuid())))))
_REFERENCE = parameter("reference", Text())
_REFERRED = Statement(
    _ROW.where(or_(User.id == parameter("id", Uuid()), User.external_id == _REFERENCE))
    .order_by(User.external_id == _REFERENCE)
    .limit(1)
)
_OF_EMAIL = Statement(_ROW.where(func.lower(User.email) == _REFERENCE).limit(1))


def _row(values: Row) -> UserRow:
    return UserRow(values[0], _ROLES[values[1]], *values[2:])


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


async def read_many(reader: Reader, user_ids: Collection[UUID]) -> dict[UUID, UserRow]:
    """As ``get_many``, for what is only shown: plain rows, straight from the driver."""
    rows = await reader.fetch(_BY_ID, ids=list(user_ids))
    return {row[0]: _row(row) for row in rows}


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


async def referred(reader: Reader, reference: str, *, by_email: bool = False) -> UserRow | None:
    """The user that a token means: by its id or external id, or else by email (any case) alone.

    An external id never stands for an email, nor the reverse: whoever chooses the one at an
    identity provider must not become the other here.
    """
    if by_email:
        rows = await reader.fetch(_OF_EMAIL, reference=reference.lower())
    else:
        rows = await reader.fetch(_REFERRED, id=parse_uuid(reference), reference=reference)
    return _row(rows[0]) if rows else None


async def list_all(work: Work) -> list[User]:
    """All users of the tenant, by external id."""
    return list(await work.session.scalars(select(User).order_by(User.external_id)))
