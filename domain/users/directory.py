"""The list of a tenant's users, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select

from domain.contract.vocabulary import Role
from domain.core import keyset
from domain.core.base import storable
from domain.core.errors import invalid
from domain.core.keyset import Created
from domain.core.work import Work
from domain.users.users import User

MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which users are meant; all if nothing is said.

    Attributes:
        roles: in one of these roles.
        active: not deactivated, or deactivated.
        text: part of the name, email or external id, in any case.
    """

    roles: tuple[Role, ...] = ()
    active: bool | None = None
    text: str | None = None


def _matching(where: UserFilter) -> list[ColumnElement[bool]]:
    """Conditions on users. Raises DomainError INVALID_INPUT for a text against the rules."""
    conditions: list[ColumnElement[bool]] = []
    if where.roles:
        conditions.append(User.role.in_(where.roles))
    if where.active is not None:
        conditions.append(User.deactivated_at.is_(None) == where.active)
    if where.text:
        if len(where.text) > MAX_TEXT or not storable(where.text):
            raise invalid(
                f"text: use at most {MAX_TEXT} characters, without zero bytes", "filter", "text"
            )
        columns = (User.name, User.email, User.external_id)
        conditions.append(or_(*(one.icontains(where.text, autoescape=True) for one in columns)))
    return conditions


async def count(work: Work, where: UserFilter) -> int:
    """How many users match."""
    query = select(func.count()).select_from(User).where(*_matching(where))
    return await work.session.scalar(query) or 0


async def page(
    work: Work,
    where: UserFilter,
    limit: int,
    *,
    after: Created | None = None,
    before: Created | None = None,
    backward: bool = False,
) -> Sequence[User]:
    """Up to ``limit`` matching users between two places, those who were there first first.

    ``backward`` takes those nearest the end instead of the start.
    """
    return await keyset.page(
        work,
        select(User).where(*_matching(where)),
        (User.created_at, User.id),
        limit,
        after=after,
        before=before,
        backward=backward,
    )
