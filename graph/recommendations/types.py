"""Recommendations, similar properties and affinity: types and resolvers."""

from typing import Annotated
from uuid import UUID

import strawberry

from domain import recommendations
from domain.contract import filters
from domain.core.errors import invalid, not_found
from domain.interactions import histories
from domain.properties import search
from graph.core.context import Context, Info
from graph.core.directives import at_most, weight
from graph.core.loaders import Pair, RankedList
from graph.core.nodes import parse_id
from graph.core.pagination import After, Diversity, First, PageInfo
from graph.core.ranked_cursors import RankedBefore, RankedLast, Window, ranked_page, window
from graph.core.weights import QUERY
from graph.properties.filters import PropertyFilter, Where, to_filter
from graph.properties.types import Property, UserId
from graph.recommendations.reasons import FallbackReason, Reason, reason_of, version_of
from graph.users.types import User

MAX_AFFINITIES = 500


@strawberry.type(description="The share of an investor's holdings, by number, that has one value.")
class Exposure:
    """The share of the holdings that has one value."""

    name: str = strawberry.field(description="The ZIP code or the property type.")
    before: float = strawberry.field(description="Now, 0 to 1; 0 of no holdings.")
    after: float = strawberry.field(description="With the property bought, 0 to 1.")

    @staticmethod
    def of(exposure: recommendations.Exposure | None) -> "Exposure | None":
        """An exposure as a client sees it."""
        if exposure is None:
            return None
        return Exposure(name=exposure.name, before=exposure.before, after=exposure.after)


@strawberry.type(
    description="How buying a property would change what the investor's holdings are made of. "
    "Holdings are the properties that it made a deal on."
)
class Concentration:
    """What a purchase would do to an investor's exposure."""

    zipcode: Exposure | None = strawberry.field(
        description="To its ZIP code; null if the property has none."
    )
    property_type: Exposure | None = strawberry.field(
        description="To its type; null if the property has none."
    )


@strawberry.type(
    description="The smallest change of price that would bring the property among the investor's "
    "ten best: in steps of 1% up to 10%, then of 2.5% up to 50%, either way. The rent stays, so "
    "the cap rate moves against the price; all else is kept."
)
class Counterfactual:
    """The smallest change of price that would bring a property among the best."""

    listing_price: float = strawberry.field(description="The price that would, in dollars.")
    change: float = strawberry.field(
        description="The change relative to the listing price: -0.05 is 5% cheaper."
    )


@strawberry.type(description="A property on an investor's list.")
class Recommendation:
    """A property on an investor's list."""

    item: strawberry.Private[recommendations.Recommendation]
    property: Property = strawberry.field(description="The property.")
    score: float = strawberry.field(
        description="How well it fits, calibrated to 0 to 1: the same number as the affinity."
    )
    rank: int = strawberry.field(description="Its place on the list, from 1.")
    model_version: str = strawberry.field(
        description="The model that ranked it; `engagement` where none did."
    )

    @staticmethod
    def of(item: recommendations.Recommendation, *, own: bool) -> "Recommendation":
        """A recommendation as a client sees it; its score may be the caller's own affinity."""
        return Recommendation(
            item=item,
            property=Property.of(item.property, item.score if own else None),
            score=item.score,
            rank=item.rank,
            model_version=item.ranking.version,
        )

    @strawberry.field(description="The investor.")
    async def user(self, info: Info) -> User:
        """One query for a whole list."""
        row = await info.context.loaders.users.load(self.item.ranking.user_id)
        if row is None:
            raise not_found("user", ("userId",))
        return User.of(row)

    @strawberry.field(
        description="Why it is on the list: at most three reasons, the strongest first.",
        directives=[weight(2), at_most(3)],
    )
    async def reasons(self, info: Info) -> list[Reason]:
        """One query and one batch of the model for a whole list."""
        return [reason_of(one) for one in await info.context.loaders.reasons.load(self.item)]

    @strawberry.field(
        description="What buying it would do to the investor's exposure.", directives=[weight(1)]
    )
    async def concentration(self, info: Info) -> Concentration:
        """One query for a whole list."""
        found = await info.context.loaders.concentration.load(self.item)
        return Concentration(
            zipcode=Exposure.of(found.zipcode), property_type=Exposure.of(found.property_type)
        )

    @strawberry.field(
        description="The price that would bring it among the investor's ten best of the same "
        "filter; null if it is one of them, if no change does, if it has no price, or if no model "
        "ranked it. At most 100 in one request.",
        directives=[weight(10)],
    )
    async def counterfactual(self, info: Info) -> Counterfactual | None:
        """One ranking and one batch of the model for a whole list."""
        found = await info.context.loaders.counterfactuals.load(self.item)
        if found is None:
            return None
        return Counterfactual(listing_price=found.listing_price, change=found.change)


@strawberry.type(description="A recommendation in a list.")
class RecommendationEdge:
    """A recommendation in a list."""

    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    node: Recommendation = strawberry.field(description="The recommendation.")


@strawberry.type(description="A page of recommendations, the best first.")
class RecommendationConnection:
    """A page of recommendations."""

    user_id: strawberry.Private[UUID]
    where: strawberry.Private[filters.PropertyFilter]
    edges: list[RecommendationEdge] = strawberry.field(description="The page's, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")

    @strawberry.field(
        description="How many properties match the filter and may be recommended to the investor, "
        "who does not own them and has neither disliked nor dismissed them; counted only if asked "
        "for. The list shows the best thousand of them.",
        directives=[weight(QUERY)],
    )
    async def total_count(self, info: Info) -> int:
        """One more query."""
        async with info.context.work() as work:
            excluded = await histories.excluded(work, self.user_id)
            return await search.count(work, self.where, excluded)


@strawberry.type(description="How well a property fits an investor.")
class Affinity:
    """How well a property fits an investor."""

    property: Property = strawberry.field(description="The property.")
    score: float = strawberry.field(description="Calibrated to 0 to 1.")
    model_version: str | None = strawberry.field(
        description="Model version that computed the score. Null if none did; see `reason`."
    )
    reason: FallbackReason | None = strawberry.field(
        description="Why no model computed the score, and what the score follows instead. Null if "
        "one did."
    )


async def list_recommendations(
    context: Context, user_id: UUID, where: PropertyFilter | None, diversity: float | None,
    window: Window,
) -> RecommendationConnection:  # fmt: skip
    """A page of an investor's recommendations."""
    matching = to_filter(where)
    asked = RankedList(
        user_id, matching, window.size, window.after, diversity or 0.0, window.before
    )
    page = await context.loaders.recommendations.load(asked)
    # A later page is of the investor as it was known when the first was asked for.
    own = user_id == context.principal.user and window.after is None and window.before is None
    edges, where_it_is = ranked_page(
        "recommendations",
        page,
        lambda cursor, item: RecommendationEdge(
            cursor=cursor, node=Recommendation.of(item, own=own)
        ),
    )
    return RecommendationConnection(
        user_id=user_id,
        where=matching,
        edges=edges,
        page_info=where_it_is,
    )


async def recommend(
    info: Info,
    user_id: UserId = None,
    where: Where = None,
    first: First = None,
    after: After = None,
    last: RankedLast = None,
    before: RankedBefore = None,
    diversity: Diversity = None,
) -> RecommendationConnection:
    """What is recommended to an investor."""
    investor = info.context.investor(user_id, "userId")
    page = window("recommendations", first, after, last, before)
    return await list_recommendations(info.context, investor, where, diversity, page)


async def affinity(
    info: Info,
    property_ids: Annotated[
        list[strawberry.ID], strawberry.argument(description="At most 500 properties.")
    ],
    user_id: UserId = None,
) -> list[Affinity]:
    """How well each of the properties fits an investor, in the order asked."""
    investor = info.context.investor(user_id, "userId")
    if len(property_ids) > MAX_AFFINITIES:
        raise invalid(
            f"propertyIds: {len(property_ids)} ids; use at most {MAX_AFFINITIES}", "propertyIds"
        )
    wanted = [
        parse_id(value, "Property", "propertyIds", str(place))
        for place, value in enumerate(property_ids)
    ]
    loaders = info.context.loaders
    rows = await loaders.require_properties(wanted, "propertyIds")
    judged = await loaders.judgements.load_many([Pair(investor, value) for value in wanted])
    return [
        Affinity(
            property=Property.of(row),
            score=one.score,
            model_version=version_of(one),
            reason=FallbackReason.of(one.reason),
        )
        for row, one in zip(rows, judged, strict=True)
    ]
