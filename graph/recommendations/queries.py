"""What the twin recommends to an investor, and how well properties fit."""

from collections.abc import Awaitable
from typing import Annotated
from uuid import UUID

import strawberry

from domain.core.errors import invalid
from domain.recommendations.discovery import RecommendationHistory
from graph.core.context import Context, Info
from graph.core.directives import QUERY, RANKING, as_many_as, weight
from graph.core.enums import publish
from graph.core.extension import extend
from graph.core.nodes import parse_id
from graph.core.pagination import PAGED, After, Diversity, Edge, First
from graph.core.ranked_cursors import RankedBefore, RankedLast, Window, ranked_page, window
from graph.execution import READY
from graph.properties.filters import PropertyFilter, Where, to_filter
from graph.properties.loaders import PropertyLoaders
from graph.properties.types import Property
from graph.recommendations.loaders import Pair, RecommendationList, RecommendationLoaders
from graph.recommendations.reasons import FallbackReason, version_of
from graph.recommendations.types import Affinity, Recommendation, RecommendationConnection
from graph.users.types import User, UserId

MAX_AFFINITIES = 500

publish(
    RecommendationHistory,
    "Whether properties that the investor has acted on are recommended.",
    {
        RecommendationHistory.NEW: "Leaves out what the investor has saved, contacted somebody "
        "about or made a deal on.",
        RecommendationHistory.ANY: "Leaves out only what the investor has made a deal on.",
    },
)

History = Annotated[
    RecommendationHistory,
    strawberry.argument(
        description="Whether properties that the investor has acted on are recommended. What it "
        "disliked or dismissed never is. Give all pages the same."
    ),
]


@strawberry.type
class RecommendationQueries:
    """Queries of recommendations and affinity."""

    @strawberry.field(directives=[weight(RANKING), PAGED])
    async def recommendations(
        self,
        info: Info,
        user_id: UserId = None,
        where: Where = None,
        first: First = None,
        after: After = None,
        last: RankedLast = None,
        before: RankedBefore = None,
        diversity: Diversity = None,
        history: History = RecommendationHistory.NEW,
    ) -> RecommendationConnection:
        """What is recommended to an investor, the best first, with reasons.

        Unless the filter names listing statuses, sold and off-market properties are left out.
        """
        investor = info.context.investor(user_id, "userId")
        page = window("recommendations", first, after, last, before)
        return await _recommend(info.context, investor, where, diversity, page, history)

    @strawberry.field(directives=[weight(QUERY), as_many_as("propertyIds")])
    async def affinity(
        self,
        info: Info,
        property_ids: Annotated[
            list[strawberry.ID], strawberry.argument(description="At most 500 properties.")
        ],
        user_id: UserId = None,
    ) -> list[Affinity]:
        """How well properties fit an investor, in the order asked."""
        investor = info.context.investor(user_id, "userId")
        if len(property_ids) > MAX_AFFINITIES:
            raise invalid(
                f"propertyIds: {len(property_ids)} ids; use at most {MAX_AFFINITIES}",
                "propertyIds",
            )
        wanted = [
            parse_id(value, "Property", "propertyIds", str(place))
            for place, value in enumerate(property_ids)
        ]
        rows = await info.context.loaders(PropertyLoaders).require(wanted, "propertyIds")
        judgements = info.context.loaders(RecommendationLoaders).judgements
        judged = await judgements.load_many([Pair(investor, value) for value in wanted])
        return [
            Affinity(
                property=Property.of(row),
                score=one.score,
                model_version=version_of(one),
                reason=FallbackReason.of(one.reason),
            )
            for row, one in zip(rows, judged, strict=True)
        ]


@extend(User, "recommendations", directives=[weight(RANKING), PAGED])
async def recommendations_of(
    parent: strawberry.Parent[User],
    info: Info,
    where: Where = None,
    first: First = None,
    after: After = None,
    last: RankedLast = None,
    before: RankedBefore = None,
    diversity: Diversity = None,
    history: History = RecommendationHistory.NEW,
) -> RecommendationConnection:
    """What is recommended to it, the best first.

    Unless the filter names listing statuses, sold and off-market properties are left out.
    """
    page = window("recommendations", first, after, last, before)
    return await _recommend(info.context, parent.row.id, where, diversity, page, history)


async def _recommend(
    context: Context, user_id: UUID, where: PropertyFilter | None, diversity: float | None,
    window: Window, history: RecommendationHistory,
) -> RecommendationConnection:  # fmt: skip
    matching = to_filter(where)
    asked = RecommendationList(
        user_id, matching, window.size, window.after, diversity or 0.0, window.before, history
    )
    found = await context.loaders(RecommendationLoaders).recommendations.load(asked)
    # A later page is of the investor as it was known when the first was asked for.
    own = user_id == context.principal.user and window.after is None and window.before is None
    edges, page = ranked_page(
        "recommendations",
        found,
        lambda cursor, item: Edge(cursor=cursor, node=Recommendation.of(item, own=own)),
    )

    async def count(context: Context) -> int:
        tenant_id = context.principal.tenant_id
        return await context.recommender.count(tenant_id, user_id, matching, history)

    return RecommendationConnection(count=count, edges=edges, page_info=page)


@extend(Property, "embedding", directives=[weight(1)])
async def embedding_of(parent: strawberry.Parent[Property], info: Info) -> list[float] | None:
    """Its 16 numbers in the space of the active model; null while there is none."""
    return await info.context.loaders(RecommendationLoaders).embeddings.load(parent.row.id)


@extend(
    Property,
    "affinity",
    graphql_type=float | None,
    directives=[weight(1)],
    metadata={READY: "prefetched_affinity"},
)
def affinity_of(
    parent: strawberry.Parent[Property], info: Info, user_id: UserId = None
) -> float | Awaitable[float] | None:
    """How well it fits an investor, calibrated to 0 to 1."""
    if user_id is None and parent.prefetched_affinity is not None:
        return parent.prefetched_affinity
    investor = info.context.investor(user_id, "userId")
    pair = Pair(investor, parent.row.id)
    return info.context.loaders(RecommendationLoaders).affinity_of(pair)
