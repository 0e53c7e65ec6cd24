"""Investors as answers: whom a property would suit, and who buys alike."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry

from domain.recommendations.audience import AudienceAsk, FoundUser, count_investors
from graph.core.context import Context, Info
from graph.core.directives import AUDIENCE, RANKING, weight
from graph.core.extension import extend
from graph.core.nodes import parse_id
from graph.core.pagination import PAGED, After, Connection, Edge, First, counted
from graph.core.ranked_cursors import RankedBefore, RankedLast, Window, ranked_page, window
from graph.properties.types import Property
from graph.recommendations.loaders import KinAsk, RecommendationLoaders
from graph.recommendations.reasons import FallbackReason, JudgedConnection, version_of
from graph.users.types import User


@strawberry.type
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
        return InterestedUser(user=User.of(item.user), score=item.score, rank=item.cursor.rank)


@strawberry.type
class InterestedUserConnection(JudgedConnection[InterestedUser]):
    """A page of the investors whom a property would suit, the best first.

    `totalCount` is the number of investors who approved of anything and neither own the property
    nor disliked or dismissed it. The list shows at most the two hundred with an interest most like
    the property; without a model, at most the thousand with the best score.
    """


@strawberry.type
class SimilarUserEdge(Edge[User]):
    """An investor who buys like another, in a list."""

    similarity: float = strawberry.field(
        description="How alike their interests are, 0 to 1: of each interest of either the cosine "
        "with the nearest one of the other, averaged over the one's and over the other's, half "
        "each, and mapped from -1 to 1. It is the same both ways."
    )


@strawberry.type
class SimilarUserConnection(Connection[User]):
    """A page of investors who buy like another, the most alike first.

    `totalCount` is the number of other investors who approved of anything. The list shows the two
    hundred of them with an interest most like one of this one's.
    """

    edges: Sequence[SimilarUserEdge] = strawberry.field(description="Edges of this page, in order.")


@strawberry.type
class AudienceQueries:
    """Queries of investors."""

    @strawberry.field(directives=[weight(RANKING), PAGED])
    async def similar_users(
        self,
        info: Info,
        user_id: Annotated[strawberry.ID, strawberry.argument(description="Like which investor.")],
        first: First = None,
        after: After = None,
        last: RankedLast = None,
        before: RankedBefore = None,
    ) -> SimilarUserConnection:
        """The investors who buy like one, the most alike first; for analysts and admins."""
        page = window("kin", first, after, last, before)
        return await _similar_users(info.context, parse_id(user_id, "User", "userId"), page)


@extend(User, "similar_users", directives=[weight(RANKING), PAGED])
async def similar_users_of(
    parent: strawberry.Parent[User],
    info: Info,
    first: First = None,
    after: After = None,
    last: RankedLast = None,
    before: RankedBefore = None,
) -> SimilarUserConnection:
    """The investors who buy alike, the most alike first; for analysts and admins."""
    page = window("kin", first, after, last, before)
    return await _similar_users(info.context, parent.row.id, page)


@extend(Property, "interested_users", directives=[weight(AUDIENCE), PAGED])
async def interested_users_of(
    parent: strawberry.Parent[Property],
    info: Info,
    first: First = None,
    after: After = None,
    last: RankedLast = None,
    before: RankedBefore = None,
) -> InterestedUserConnection:
    """The investors whom it would suit, the best first; for analysts and admins.

    Those who own, disliked or dismissed it are left out. Of at most 20 properties in one request.
    """
    property_id = parent.row.id
    asked = AudienceAsk(property_id, *window("interested", first, after, last, before))
    info.context.require_privileged("Only analysts and admins may see who is interested.")
    found = await info.context.loaders(RecommendationLoaders).interested.load(asked)
    edges, page = ranked_page(
        "interested", found, lambda cursor, item: Edge(cursor=cursor, node=InterestedUser.of(item))
    )
    return InterestedUserConnection(
        count=counted(partial(count_investors, for_property=property_id)),
        edges=edges,
        page_info=page,
        model_version=version_of(found),
        reason=FallbackReason.of(found.reason),
    )


async def _similar_users(context: Context, user_id: UUID, page: Window) -> SimilarUserConnection:
    context.require_privileged("Only analysts and admins may compare investors.")
    found = await context.loaders(RecommendationLoaders).kin.load(KinAsk(user_id, *page))
    edges, page_info = ranked_page(
        "kin",
        found,
        lambda cursor, item: SimilarUserEdge(
            cursor=cursor, similarity=item.score, node=User.of(item.user)
        ),
    )
    return SimilarUserConnection(
        count=counted(partial(count_investors, but=user_id)), edges=edges, page_info=page_info
    )
