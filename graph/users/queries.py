"""Reading the caller, or another user."""

import strawberry

from domain.core.errors import forbidden, unauthenticated
from graph.core.context import Info
from graph.core.nodes import NodeId
from graph.users.types import User


@strawberry.type
class UserQueries:
    """Queries of users."""

    @strawberry.field
    async def me(self, info: Info) -> User:
        """The caller.

        Raises DomainError FORBIDDEN for a service, no user.
        """
        principal = info.context.principal
        if principal.user is None:
            raise forbidden(
                "This is a service's token, which speaks for no user; ask for user(id)."
            )
        row = await User.read(info.context, principal.user)
        if row is None:
            raise unauthenticated("The token's user does not exist any more.")
        return User.of(row, principal.role)

    @strawberry.field
    async def user(self, info: Info, user_id: NodeId) -> User | None:
        """A user; a viewer sees itself only.

        Raises DomainError NOT_FOUND, and FORBIDDEN for a viewer's other.
        """
        return await User.get(info.context, info.context.investor(user_id, "id"), "id")
