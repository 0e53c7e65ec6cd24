"""Investors as answers: whom a property would suit, and who buys alike."""

from typing import Annotated
from uuid import UUID

import strawberry

from domain.recommendations import AudienceAsk, FoundUser, count_investors
from graph.core.context import Context, Info
from graph.core.directives import weight
from graph.core.loaders import KinAsk
from graph.core.nodes import parse_id
from graph.core.pagination import After, First, PageInfo
from graph.core.ranked_cursors import RankedBefore, RankedLast, Window, ranked_page, window
from graph.core.weights import QUERY
from graph.recommendations.reasons import FallbackReason, version_of
from graph.users.types import User


@strawberry.type(description="An investor whom a property would suit.")
class InterestedUser:
    """An investor whom a property would suit."""

    user: User = strawberry.field(description="The investor.")
    score: float = strawberry.field(
        description="How well the property fits, calibrated to 0 to 1: the same number as the "
        "affinity."
    )
    rank: int = strawberry.field(description="Its place on the list, from 1.")

    @staticmethod
    def of(item: FoundUser) -> "InterestedUser":
        """An investor as a client sees it."""
        return InterestedUser(user=User.of(item.user), score=item.score, rank=item.place.rank)


@strawberry.type(description="An investor whom a property would suit, in a list.")
class InterestedUserEdge:
    """An investor whom a property would suit, in a list."""

    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    node: InterestedUser = strawberry.field(description="The investor.")


@strawberry.type(description="A page of the investors whom a property would suit, the best first.")
class InterestedUserConnection:
    """A page of the investors whom a property would suit."""

    property_id: strawberry.Private[UUID]
    edges: list[InterestedUserEdge] = strawberry.field(description="The page's, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    model_version: str | None = strawberry.field(
        description="Model version that ranked the list. Null if none did; see `reason`."
    )
    reason: FallbackReason | None = strawberry.field(
        description="Why no model ranked the list, and what the list follows instead. Null if one "
        "did."
    )

    @strawberry.field(
        description="Number of investors who approved of anything and neither own the property nor "
        "disliked or dismissed it; counted only if asked for. The list shows at most the two "
        "hundred with an interest most like the property; without a model, at most the thousand "
        "with the best score.",
        directives=[weight(QUERY)],
    )
    async def total_count(self, info: Info) -> int:
        """One more query."""
        async with info.context.work() as work:
            return await count_investors(work, for_property=self.property_id)


@strawberry.type(description="An investor who buys like another, in a list.")
class SimilarUserEdge:
    """An investor who buys like another, in a list."""

    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    similarity: float = strawberry.field(
        description="How alike their interests are, 0 to 1: of each interest of either the cosine "
        "with the nearest one of the other, averaged over the one's and over the other's, half "
        "each, and mapped from -1 to 1. It is the same both ways."
    )
    node: User = strawberry.field(description="The investor.")


@strawberry.type(description="A page of investors who buy like another, the most alike first.")
class SimilarUserConnection:
    """A page of investors who buy like another."""

    user_id: strawberry.Private[UUID]
    edges: list[SimilarUserEdge] = strawberry.field(description="The page's, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")

    @strawberry.field(
        description="How many other investors approved of anything; counted only if asked for. "
        "The list shows the two hundred of them with an interest most like one of this one's.",
        directives=[weight(QUERY)],
    )
    async def total_count(self, info: Info) -> int:
        """One more query."""
        async with info.context.work() as work:
            return await count_investors(work, but=self.user_id)


async def list_interested(
    context: Context, property_id: UUID, page: Window
) -> InterestedUserConnection:
    """A page of the investors whom a property would suit. Raises DomainError FORBIDDEN."""
    context.require_privileged("Only analysts and admins may see who is interested.")
    found = await context.loaders.interested.load(AudienceAsk(property_id, *page))
    edges, where_it_is = ranked_page(
        "interested",
        found,
        lambda cursor, item: InterestedUserEdge(cursor=cursor, node=InterestedUser.of(item)),
    )
    return InterestedUserConnection(
        property_id=property_id,
        edges=edges,
        page_info=where_it_is,
        model_version=version_of(found),
        reason=FallbackReason.of(found.reason),
    )


async def list_similar_users(
    context: Context, user_id: UUID, page: Window
) -> SimilarUserConnection:
    """A page of the investors who buy like one. Raises DomainError FORBIDDEN."""
    context.require_privileged("Only analysts and admins may compare investors.")
    found = await context.loaders.kin.load(KinAsk(user_id, *page))
    edges, where_it_is = ranked_page(
        "kin",
        found,
        lambda cursor, item: SimilarUserEdge(
            cursor=cursor, similarity=item.score, node=User.of(item.user)
        ),
    )
    return SimilarUserConnection(
        user_id=user_id,
        edges=edges,
        page_info=where_it_is,
    )


async def similar_users(
    info: Info,
    user_id: Annotated[strawberry.ID, strawberry.argument(description="Like which investor.")],
    first: First = None,
    after: After = None,
    last: RankedLast = None,
    before: RankedBefore = None,
) -> SimilarUserConnection:
    """The investors who buy like one."""
    page = window("kin", first, after, last, before)
    return await list_similar_users(info.context, parse_id(user_id, "User", "userId"), page)
