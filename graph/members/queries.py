"""Listing the members of a tenant."""

from typing import Annotated

import strawberry

from domain.contract.vocabulary import Role
from domain.users import directory
from graph.core.context import Info
from graph.core.directives import QUERY, weight
from graph.core.inputs import bounded
from graph.core.pagination import (
    PAGED,
    After,
    Before,
    Connection,
    First,
    Last,
    list_by_age,
    slice_of,
)
from graph.users.types import User


@strawberry.input
class UserFilter:
    """Which users; all conditions that are given must hold."""

    roles: list[Role] | None = strawberry.field(default=None, description="In one of these roles.")
    active: bool | None = strawberry.field(
        default=None, description="Not deactivated, or deactivated."
    )
    text: str | None = strawberry.field(
        default=None,
        description="Part of the name, e-mail address or external id, in any case; at most 200 "
        "characters.",
    )


Which = Annotated[UserFilter | None, strawberry.argument(name="filter", description="Which users.")]


@strawberry.type
class MemberQueries:
    """Queries of members."""

    @strawberry.field(directives=[weight(QUERY), PAGED])
    async def users(
        self,
        info: Info,
        where: Which = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[User]:
        """The users of the tenant, in order of creation; for analysts and admins."""
        info.context.require_privileged("Only analysts and admins may list users.")
        matching, asked = _filter(where), slice_of(first, after, last, before)
        return await list_by_age(
            info.context, "users", asked, matching, directory.page, directory.count, User.of
        )


def _filter(where: UserFilter | None) -> directory.UserFilter:
    if where is None:
        return directory.UserFilter()
    return directory.UserFilter(bounded(where.roles, "roles"), where.active, where.text)
