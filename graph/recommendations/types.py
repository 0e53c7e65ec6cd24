"""Recommendations and affinity: the types."""

import strawberry

from domain.recommendations import concentration, ranking
from graph.core.context import Info
from graph.core.directives import at_most, weight
from graph.core.pagination import Connection
from graph.properties.types import Property
from graph.recommendations.loaders import RecommendationLoaders
from graph.recommendations.reasons import FallbackReason, Reason, reason_of
from graph.users.types import User


@strawberry.type
class Exposure:
    """The share of an investor's holdings, by number, that has one value."""

    name: str = strawberry.field(description="The ZIP code or the property type.")
    before: float = strawberry.field(description="Now, 0 to 1; 0 of no holdings.")
    after: float = strawberry.field(description="With the property bought, 0 to 1.")

    @staticmethod
    def of(exposure: concentration.Exposure | None) -> "Exposure | None":
        """An exposure as a client sees it."""
        if exposure is None:
            return None
        return Exposure(name=exposure.name, before=exposure.before, after=exposure.after)


@strawberry.type
class Concentration:
    """How buying a property would change what the investor's holdings are made of.

    Holdings are the properties that it made a deal on.
    """

    zipcode: Exposure | None = strawberry.field(
        description="To its ZIP code; null if the property has none."
    )
    property_type: Exposure | None = strawberry.field(
        description="To its type; null if the property has none."
    )


@strawberry.type
class Counterfactual:
    """The smallest change of price that would bring the property among the investor's ten best.

    Prices are tried in steps of 1% up to 10%, then of 2.5% up to 50%, either way. The rent stays,
    so the cap rate moves against the price. All else is kept.
    """

    listing_price: float = strawberry.field(description="The price that would, in dollars.")
    change: float = strawberry.field(
        description="The change relative to the listing price: -0.05 is 5% cheaper."
    )


@strawberry.type
class Recommendation:
    """A property on an investor's list."""

    item: strawberry.Private[ranking.Recommendation]
    property: Property = strawberry.field(description="The property.")
    score: float = strawberry.field(
        description="How well it fits, calibrated to 0 to 1: the same number as the affinity."
    )
    rank: int = strawberry.field(description="Its place on the list, from 1.")
    model_version: str = strawberry.field(
        description="The model that ranked it; `engagement` where none did."
    )

    @staticmethod
    def of(item: ranking.Recommendation, *, own: bool) -> "Recommendation":
        """A recommendation as a client sees it; its score may be the caller's own affinity."""
        return Recommendation(
            item=item,
            property=Property.of(item.property, item.score if own else None),
            score=item.score,
            rank=item.rank,
            model_version=item.ranking.version,
        )

    @strawberry.field
    async def user(self, info: Info) -> User:
        """The investor."""
        return await User.get(info.context, self.item.ranking.user_id, "userId")

    @strawberry.field(directives=[weight(2), at_most(3)])
    async def reasons(self, info: Info) -> list[Reason]:
        """Why it is on the list: at most three reasons, the strongest first."""
        found = await info.context.loaders(RecommendationLoaders).reasons.load(self.item)
        return list(map(reason_of, found))

    @strawberry.field(directives=[weight(1)])
    async def concentration(self, info: Info) -> Concentration:
        """What buying it would do to the investor's exposure."""
        found = await info.context.loaders(RecommendationLoaders).concentration.load(self.item)
        return Concentration(
            zipcode=Exposure.of(found.zipcode), property_type=Exposure.of(found.property_type)
        )

    @strawberry.field(directives=[weight(10)])
    async def counterfactual(self, info: Info) -> Counterfactual | None:
        """The price that would bring it among the ten best of the same filter and history.

        Null if it is one of them, if no change does, if it has no price, or if no model ranked it.
        At most 100 in one request.
        """
        found = await info.context.loaders(RecommendationLoaders).counterfactuals.load(self.item)
        if found is None:
            return None
        return Counterfactual(listing_price=found.listing_price, change=found.change)


@strawberry.type
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


@strawberry.type
class RecommendationConnection(Connection[Recommendation]):
    """A page of recommendations, the best first.

    `totalCount` counts the properties that match the filter and may be recommended to the investor:
    without what it owns, disliked or dismissed, what `history` leaves out, and what is sold or off
    the market unless the filter names statuses. The list shows at least the
    five hundred of them that are most like the investor's interests, and at most eight hundred, by
    score; without a model, at most a thousand.
    """
