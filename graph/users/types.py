"""Users: the type, and reading the caller or another."""

from typing import TYPE_CHECKING, Annotated

import strawberry

# Before a type has one of them.
import graph.core.enums  # noqa: F401
from domain.contract.vocabulary import Role
from domain.core.errors import forbidden, not_found, unauthenticated
from domain.users import buy_boxes, users
from graph.core.context import Info
from graph.core.directives import page_of, weight
from graph.core.nodes import Node, NodeId, global_id
from graph.core.pagination import DEFAULT_PAGE, After, Diversity, First
from graph.core.ranked_cursors import RankedBefore, RankedLast, window
from graph.core.weights import RANKING
from graph.properties.filters import Where

if TYPE_CHECKING:
    from graph.recommendations.audience import SimilarUserConnection
    from graph.recommendations.types import RecommendationConnection
    from graph.users.buy_boxes import BuyBox


@strawberry.type(description="A member of the tenant. Investors are users with a history.")
class User(Node):
    """A member of the tenant."""

    row: strawberry.Private[users.UserValues]
    external_id: str = strawberry.field(description="The id in the tenant's own systems.")
    email: str | None = strawberry.field(description="E-mail address.")
    name: str | None = strawberry.field(description="Name.")
    role: Role = strawberry.field(
        description="What it may do in the tenant. Of `me` the role in force, which is less where "
        "the token names less."
    )
    simulated: bool = strawberry.field(
        description="Whether it was invented, and its history with it."
    )
    active: bool = strawberry.field(
        description="Whether it may sign in: false once it was deactivated."
    )

    @staticmethod
    def of(row: users.UserValues, role: Role | None = None) -> "User":
        """A user as a client sees it, in its own role unless another one is given."""
        return User(
            id=global_id("User", row.id),
            row=row,
            external_id=row.external_id,
            email=row.email,
            name=row.name,
            role=role or row.role,
            simulated=row.simulated,
            active=row.deactivated_at is None,
        )

    @strawberry.field(description="What it says is wanted; null if it says nothing.")
    def buy_box(self) -> Annotated["BuyBox", strawberry.lazy("graph.users.buy_boxes")] | None:
        """The stated criteria."""
        from graph.users.buy_boxes import BuyBox

        box = buy_boxes.loads(self.row.buy_box)
        return BuyBox.of(box) if box else None

    @strawberry.field(
        description="What is recommended to it, the best first.",
        directives=[weight(RANKING), page_of(DEFAULT_PAGE, "first", "last")],
    )
    async def recommendations(
        self,
        info: Info,
        where: Where = None,
        first: First = None,
        after: After = None,
        last: RankedLast = None,
        before: RankedBefore = None,
        diversity: Diversity = None,
    ) -> Annotated["RecommendationConnection", strawberry.lazy("graph.recommendations.types")]:
        """As the query of the same name."""
        from graph.recommendations.types import list_recommendations

        page = window("recommendations", first, after, last, before)
        return await list_recommendations(info.context, self.row.id, where, diversity, page)

    @strawberry.field(
        description="The investors who buy alike, the most alike first; for analysts and admins.",
        directives=[weight(RANKING), page_of(DEFAULT_PAGE, "first", "last")],
    )
    async def similar_users(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: RankedLast = None,
        before: RankedBefore = None,
    ) -> Annotated["SimilarUserConnection", strawberry.lazy("graph.recommendations.audience")]:
        """As the query of the same name."""
        from graph.recommendations.audience import list_similar_users

        page = window("kin", first, after, last, before)
        return await list_similar_users(info.context, self.row.id, page)


async def me(info: Info) -> User:
    """The caller, in the role in force. Raises DomainError FORBIDDEN for a service, no user."""
    principal = info.context.principal
    if principal.user is None:
        raise forbidden("This is a service's token, which speaks for no user; ask for user(id).")
    row = await info.context.loaders.users.load(principal.user)
    if row is None:
        raise unauthenticated("The token's user does not exist any more.")
    return User.of(row, principal.role)


async def find_user(info: Info, user_id: NodeId) -> User | None:
    """The user of that id. Raises DomainError NOT_FOUND, and FORBIDDEN for a viewer's other."""
    row = await info.context.loaders.users.load(info.context.investor(user_id, "id"))
    if row is None:
        raise not_found("user", ("id",))
    return User.of(row)
