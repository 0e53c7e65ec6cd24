"""Who belongs to a tenant: creating, changing and deactivating its users, and forgetting one.

The rule over all of them: a tenant that has an active admin keeps one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from domain.changes import changes
from domain.contract.vocabulary import Role
from domain.core import clock
from domain.core.errors import DomainError, invalid, not_found
from domain.core.events import Event, Topic
from domain.core.input_rules import NO_ZERO_BYTE, Identifier, OutsideInput, Text
from domain.core.outcome import Outcome
from domain.core.work import Work
from domain.interactions.interactions import Interaction, hold_for_totals, refresh_totals
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.tenants import tenants
from domain.users.users import User

MEMBER_LIMIT = 100
"""How many users one call to ``upsert`` takes."""


def _email(text: str) -> str:
    name, at, host = text.rpartition("@")
    if not (name and at and host) or "@" in name or any(letter.isspace() for letter in text):
        raise PydanticCustomError("email", "not an e-mail address; write it as name@example.com")
    return text


class MemberInput(OutsideInput):
    """One user. Only ``external_id`` is required; what is absent is left as it is.

    Someone new is an active viewer unless said otherwise.
    """

    external_id: Identifier
    email: (
        Annotated[str, Field(max_length=254, pattern=NO_ZERO_BYTE), AfterValidator(_email)] | None
    ) = None
    name: Text | None = None
    role: Role | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A user after its upsert."""

    user: User
    outcome: Outcome


async def upsert(work: Work, items: Sequence[MemberInput]) -> list[Member]:
    """Create or change users by external id, all or none; values that are absent are kept.

    Returns:
        What became of each item, in order.

    Raises:
        DomainError: INVALID_INPUT for too many items, an external id or email that appears twice,
            an email of another user, or the end of the tenant's last active admin.
    """
    if len(items) > MEMBER_LIMIT:
        raise invalid(f"{len(items)} users: send at most {MEMBER_LIMIT} at a time")
    _refuse_repeats(items)
    await _lock(work)
    had_admin = await _has_admin(work)
    rows = await work.session.scalars(
        select(User).where(User.external_id.in_([item.external_id for item in items]))
    )
    known = {user.external_id: user for user in rows}
    await _refuse_taken_emails(work, items)
    admins = [place for place, item in enumerate(items) if _is_admin(known.get(item.external_id))]
    now = await clock.now(work)
    members = [_written(work, item, known.get(item.external_id), now) for item in items]
    try:
        await work.session.flush()
    except IntegrityError:
        # An import that creates users does not wait for the lock.
        raise invalid("an external id or email was taken at the same moment; try again") from None
    if had_admin and not await _has_admin(work):
        lost = next((place for place in admins if not _is_admin(members[place].user)), None)
        if lost is None:
            raise invalid("the tenant lost its last active admin at the same moment; try again")
        raise _last_admin(str(lost), "active" if items[lost].active is False else "role")
    return members


async def remove(work: Work, user_id: UUID, *field: str) -> None:
    """Delete a user with all that it did and said; the index forgets it after the commit.

    To keep the history for the twin to learn from, deactivate the user instead.

    Raises:
        DomainError: NOT_FOUND for the user, INVALID_INPUT for the tenant's last active admin; both
            blame ``field``.
    """
    await _lock(work)
    had_admin = await _has_admin(work)
    # Else it could do something more between the two statements.
    if not await work.session.scalar(select(User.id).where(User.id == user_id).with_for_update()):
        raise not_found("user", field)
    touched = await work.session.scalars(
        select(Interaction.property_id).where(Interaction.user_id == user_id).distinct()
    )
    property_ids = list(touched)
    # Before what was done with them, as whoever deletes a property does: else each of two could
    # wait for the other.
    await hold_for_totals(work, property_ids)
    await work.session.execute(delete(User).where(User.id == user_id))
    await changes.erase(work, user_id)
    if had_admin and not await _has_admin(work):
        raise _last_admin(*field)
    many = len(property_ids) > index_outbox.REINDEX_ABOVE
    await refresh_totals(work, None if many else property_ids)
    await index_outbox.follow(work, Marked.USER, [user_id])
    work.publish(Event(Topic.MEMBER, user_id))


async def _lock(work: Work) -> None:
    # Two admins who demote each other at once would leave none.
    await tenants.lock(work, "members")


async def _has_admin(work: Work) -> bool:
    active_admin = select(User.id).where(User.role == Role.ADMIN, User.deactivated_at.is_(None))
    return bool(await work.session.scalar(select(active_admin.exists())))


def _last_admin(*field: str) -> DomainError:
    return invalid("This is the tenant's last active admin; make another one first.", *field)


def _is_admin(user: User | None) -> bool:
    return user is not None and user.role is Role.ADMIN and user.deactivated_at is None


def _refuse_repeats(items: Sequence[MemberInput]) -> None:
    seen: set[tuple[str, str]] = set()
    for place, item in enumerate(items):
        for name, value in (("externalId", item.external_id), ("email", item.email)):
            if value is None:
                continue
            key = name, value.lower() if name == "email" else value
            if key in seen:
                raise invalid(f"{name} {value!r} appears twice", str(place), name)
            seen.add(key)


async def _refuse_taken_emails(work: Work, items: Sequence[MemberInput]) -> None:
    emails = {item.email.lower() for item in items if item.email}
    rows = await work.session.execute(
        select(func.lower(User.email), User.external_id).where(func.lower(User.email).in_(emails))
    )
    owners = {row[0]: row[1] for row in rows}
    for place, item in enumerate(items):
        owner = owners.get(item.email.lower()) if item.email else None
        if owner not in (None, item.external_id):
            raise invalid(f"email {item.email!r} is that of user {owner!r}", str(place), "email")


def _written(work: Work, item: MemberInput, user: User | None, now: datetime) -> Member:
    values: dict[str, Any] = item.model_dump(exclude={"external_id", "active"}, exclude_unset=True)
    if values.get("role", Role.VIEWER) is None:
        del values["role"]
    was_active = user is None or user.deactivated_at is None
    if item.active is not None and item.active is not was_active:
        values["deactivated_at"] = None if item.active else now
    if user is None:
        fresh = {"role": Role.VIEWER} | values
        user = User(tenant_id=work.tenant_id, external_id=item.external_id, **fresh)
        work.session.add(user)
        return Member(user, Outcome.CREATED)
    changed = {name: value for name, value in values.items() if getattr(user, name) != value}
    for name, value in changed.items():
        setattr(user, name, value)
    if not changed.keys().isdisjoint({"role", "deactivated_at"}):
        work.publish(Event(Topic.MEMBER, user.id))
    return Member(user, Outcome.UPDATED if changed else Outcome.UNCHANGED)
