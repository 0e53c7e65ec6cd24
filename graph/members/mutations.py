"""What admins do with the members of a tenant."""

from typing import Annotated

import strawberry

from domain.contract.vocabulary import Role
from domain.core.errors import DomainError
from domain.core.outcome import Outcome
from domain.members import members
from domain.members.members import MEMBER_LIMIT, Member, MemberInput
from graph.core.context import INPUT, Info
from graph.core.directives import as_many_as, weight
from graph.core.errors import Payload, mutation
from graph.core.inputs import checked
from graph.core.nodes import parse_id
from graph.users.types import User

REFUSAL = "Only admins may change who belongs to the tenant."


@strawberry.input
class UserInput:
    """A user by its external id.

    A field that is absent keeps its value. Someone new is an active viewer unless said otherwise.
    """

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


@strawberry.input
class UpsertUsersInput:
    """Users to create or change, all or none of them."""

    users: list[UserInput] = strawberry.field(
        description="At most 100, each external id once.", directives=[weight(2)]
    )


@strawberry.input
class DeleteUserInput:
    """A user to delete."""

    user_id: strawberry.ID = strawberry.field(
        description="Who; its name and address go, and all that it did and said."
    )


@strawberry.type
class UpsertedUser:
    """What became of one user of an upsert."""

    outcome: Outcome = strawberry.field(description="What was done.")
    user: User = strawberry.field(description="The user as it stands now.")

    @staticmethod
    def of(member: Member) -> "UpsertedUser":
        """An outcome as a client sees it."""
        return UpsertedUser(outcome=member.outcome, user=User.of(member.user))


@strawberry.type
class UpsertUsersPayload(Payload):
    """Who was written, or why nobody was."""

    results: list[UpsertedUser] = strawberry.field(
        default_factory=list, description="One for each user sent, in order."
    )


@strawberry.type
class DeleteUserPayload(Payload):
    """Who was deleted, or why nobody was."""

    deleted_user_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that is gone."
    )


@strawberry.type
class MemberMutations:
    """Mutations of members."""

    @mutation(as_many_as("input.users", "results"))
    async def upsert_users(
        self, info: Info, given: Annotated[UpsertUsersInput, INPUT]
    ) -> UpsertUsersPayload:
        """Create, change, deactivate or activate users by external id; for admins."""
        info.context.require_admin(REFUSAL)
        items = checked(MemberInput, given.users, "users", MEMBER_LIMIT).items
        try:
            async with info.context.changes() as work:
                written = await members.upsert(work, items)
        except DomainError as error:
            raise DomainError(error.code, error.message, ("users", *error.field)) from None
        return UpsertUsersPayload(results=[UpsertedUser.of(one) for one in written])

    @mutation()
    async def delete_user(
        self, info: Info, given: Annotated[DeleteUserInput, INPUT]
    ) -> DeleteUserPayload:
        """Delete a user and all that is known of it; for admins."""
        info.context.require_admin(REFUSAL)
        wanted = parse_id(given.user_id, "User", "userId")
        async with info.context.changes() as work:
            await members.remove(work, wanted, "userId")
        return DeleteUserPayload(deleted_user_id=given.user_id)
