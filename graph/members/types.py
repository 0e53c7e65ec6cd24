"""The members of a tenant: listing them, and what admins may do with them."""

from typing import Annotated

import strawberry

from domain.contract.vocabulary import Role
from domain.core.errors import DomainError, forbidden
from domain.core.keyset import Created
from domain.members import members
from domain.members.members import MEMBER_LIMIT, Member, MemberInput
from domain.properties.upsert import Outcome
from domain.users import directory, users
from graph.core.context import INPUT, Context, Info
from graph.core.directives import weight
from graph.core.errors import UserError, refusals_into
from graph.core.inputs import checked
from graph.core.nodes import parse_id
from graph.core.pagination import (
    After,
    Before,
    First,
    Last,
    PageInfo,
    created_cursor,
    keyset_page,
    page_size,
    parse_created,
)
from graph.core.weights import QUERY
from graph.properties.filters import bounded
from graph.users.types import User


@strawberry.input(description="Which users; all conditions that are given must hold.")
class UserFilter:
    """Which users."""

    roles: list[Role] | None = strawberry.field(default=None, description="In one of these roles.")
    active: bool | None = strawberry.field(
        default=None, description="Not deactivated, or deactivated."
    )
    text: str | None = strawberry.field(
        default=None,
        description="Part of the name, e-mail address or external id, in any case; at most 200 "
        "characters.",
    )


@strawberry.type(description="A user in a list.")
class UserEdge:
    """A user in a list."""

    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    node: User = strawberry.field(description="The user.")


@strawberry.type(description="A page of users, those who were there first at the beginning.")
class UserConnection:
    """A page of users."""

    where: strawberry.Private[directory.UserFilter]
    edges: list[UserEdge] = strawberry.field(description="The page's users, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")

    @strawberry.field(
        description="How many users match in all; counted only if asked for.",
        directives=[weight(QUERY)],
    )
    async def total_count(self, info: Info) -> int:
        """One more query."""
        async with info.context.work() as work:
            return await directory.count(work, self.where)


@strawberry.input(
    description="A user by its external id. A field that is absent keeps its value. Someone new is "
    "an active viewer unless said otherwise."
)
class UserInput:
    """A user by its external id."""

    external_id: str = strawberry.field(description="The id in the tenant's own systems.")
    email: str | None = strawberry.field(
        default=strawberry.UNSET, description="E-mail address; null takes it away."
    )
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="Name; null takes it away."
    )
    role: Role | None = strawberry.field(
        default=strawberry.UNSET,
        description="What it may do at most; a token that names a lesser role allows less.",
    )
    active: bool | None = strawberry.field(
        default=strawberry.UNSET,
        description="False deactivates it: its tokens are refused within two seconds, and what it "
        "did still counts. True takes that back.",
    )


@strawberry.input(description="Users to create or change, all or none of them.")
class UpsertUsersInput:
    """Users to create or change."""

    users: list[UserInput] = strawberry.field(
        description="At most 100, each external id once.", directives=[weight(2)]
    )


@strawberry.input(description="A user to delete.")
class DeleteUserInput:
    """A user to delete."""

    user_id: strawberry.ID = strawberry.field(
        description="Who; its name and address go, and all that it did and said."
    )


@strawberry.type(description="What became of one user of an upsert.")
class UpsertedUser:
    """What became of one user."""

    outcome: Outcome = strawberry.field(description="What was done.")
    user: User = strawberry.field(description="The user as it stands now.")

    @staticmethod
    def of(member: Member) -> "UpsertedUser":
        """An outcome as a client sees it."""
        return UpsertedUser(outcome=member.outcome, user=User.of(member.user))


@strawberry.type(description="Who was written, or why nobody was.")
class UpsertUsersPayload:
    """Who was written, or why nobody was."""

    results: list[UpsertedUser] = strawberry.field(
        default_factory=list, description="One for each user sent, in order."
    )
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nobody was written; at most 100 of the reasons."
    )


@strawberry.type(description="Who was deleted, or why nobody was.")
class DeleteUserPayload:
    """Who was deleted, or why nobody was."""

    deleted_user_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that is gone."
    )
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nobody was deleted; empty if someone was."
    )


async def list_users(
    info: Info,
    where: Annotated[
        UserFilter | None, strawberry.argument(name="filter", description="Which users.")
    ] = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> UserConnection:
    """A page of the tenant's users."""
    if not info.context.principal.privileged:
        raise forbidden("Only analysts and admins may list users.")
    matching, size, backward = _filter(where), page_size(first, last), last is not None
    async with info.context.work() as work:
        rows = await directory.page(
            work,
            matching,
            size + 1,
            after=parse_created(after, "users", "after"),
            before=parse_created(before, "users", "before"),
            backward=backward,
        )

    def edge(row: users.User) -> UserEdge:
        return UserEdge(
            cursor=created_cursor("users", Created(row.created_at, row.id)), node=User.of(row)
        )

    edges, page = keyset_page(rows, size, edge, after=after, before=before, backward=backward)
    return UserConnection(where=matching, edges=edges, page_info=page)


@refusals_into(UpsertUsersPayload)
async def upsert_users(info: Info, given: Annotated[UpsertUsersInput, INPUT]) -> UpsertUsersPayload:
    """Create or change users by external id, all or none."""
    _require_admin(info.context)
    items = checked(MemberInput, given.users, "users", MEMBER_LIMIT)
    try:
        async with info.context.changes() as work:
            written = await members.upsert(work, items)
    except DomainError as error:
        raise DomainError(error.code, error.message, ("users", *error.field)) from None
    return UpsertUsersPayload(results=[UpsertedUser.of(one) for one in written])


@refusals_into(DeleteUserPayload)
async def delete_user(info: Info, given: Annotated[DeleteUserInput, INPUT]) -> DeleteUserPayload:
    """Delete a user and all that is known of it."""
    _require_admin(info.context)
    wanted = parse_id(given.user_id, "User", "userId")
    async with info.context.changes() as work:
        await members.remove(work, wanted, "userId")
    return DeleteUserPayload(deleted_user_id=given.user_id)


def _require_admin(context: Context) -> None:
    if context.principal.role is not Role.ADMIN:
        raise forbidden("Only admins may change who belongs to the tenant.")


def _filter(where: UserFilter | None) -> directory.UserFilter:
    if where is None:
        return directory.UserFilter()
    return directory.UserFilter(bounded(where.roles, "roles"), where.active, where.text)
