"""What investors say of properties and do with them: the types."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import strawberry

from domain.contract.vocabulary import THUMBS, InteractionKind
from domain.interactions import interactions
from domain.interactions.interactions import Interaction as Act
from graph.core.context import Info
from graph.core.enums import publish
from graph.core.extension import extend
from graph.core.loaders import Loaders, batched
from graph.core.nodes import global_id
from graph.properties.types import Property
from graph.users.types import User


class Sentiment(StrEnum):
    """The interaction kinds that are an opinion."""

    THUMBS_UP = "THUMBS_UP"
    THUMBS_DOWN = "THUMBS_DOWN"


class DeedKind(StrEnum):
    """The interaction kinds that are a deed."""

    VIEW = "VIEW"
    SAVE = "SAVE"
    OUTREACH = "OUTREACH"
    DEAL = "DEAL"
    DISMISS = "DISMISS"


assert {kind.value for kind in Sentiment} == THUMBS
assert {kind.value for kind in DeedKind} == set(InteractionKind) - THUMBS

publish(
    Sentiment,
    "An investor's opinion of a property.",
    {Sentiment.THUMBS_UP: "More like this.", Sentiment.THUMBS_DOWN: "Not this."},
)
publish(
    DeedKind,
    "What an investor did with a property.",
    {
        DeedKind.VIEW: "Looked at it.",
        DeedKind.SAVE: "Kept it for later.",
        DeedKind.OUTREACH: "Made contact about it.",
        DeedKind.DEAL: "Bought it; it is not recommended again.",
        DeedKind.DISMISS: "Waved it away; it is not recommended again.",
    },
    name="InteractionKind",
)


@strawberry.type
class Feedback:
    """An investor's one opinion of a property."""

    id: strawberry.ID = strawberry.field(description="Identifies the opinion.")
    sentiment: Sentiment = strawberry.field(description="For or against.")
    reason: str | None = strawberry.field(description="Why, in the investor's words.")
    given_at: datetime = strawberry.field(description="When it was given.")
    simulated: bool = strawberry.field(description="Whether it was invented.")

    @staticmethod
    def of(act: Act) -> "Feedback":
        """An opinion as a client sees it."""
        return Feedback(
            id=global_id("Interaction", act.id),
            sentiment=Sentiment(act.kind.value),
            reason=act.reason,
            given_at=act.occurred_at,
            simulated=act.simulated,
        )


@strawberry.type
class Interaction:
    """One act of one investor on one property."""

    act: strawberry.Private[Act]
    id: strawberry.ID = strawberry.field(description="Identifies the act; a repeat has the same.")
    kind: DeedKind = strawberry.field(description="What was done.")
    occurred_at: datetime = strawberry.field(description="When.")
    simulated: bool = strawberry.field(description="Whether it was invented.")

    @staticmethod
    def of(act: Act) -> "Interaction":
        """An act as a client sees it."""
        return Interaction(
            act=act,
            id=global_id("Interaction", act.id),
            kind=DeedKind(act.kind.value),
            occurred_at=act.occurred_at,
            simulated=act.simulated,
        )

    @strawberry.field
    async def user(self, info: Info) -> User | None:
        """Who did it."""
        return await User.find(info.context, self.act.user_id)


class InteractionLoaders(Loaders):
    """Loaders of interactions."""

    @batched
    async def feedback(self, wanted: list[UUID]) -> list[Act | None]:
        """The caller's own opinion of a property, None if it has none."""
        caller = self.context.principal.user
        if caller is None:
            # A service has no opinions.
            return [None] * len(wanted)
        async with self.context.work() as work:
            found = await interactions.feedback(work, caller, wanted)
        return [found.get(property_id) for property_id in wanted]


@extend(Property, "feedback")
async def feedback_of(parent: strawberry.Parent[Property], info: Info) -> Feedback | None:
    """The caller's own opinion of it, if it gave one."""
    given = await info.context.loaders(InteractionLoaders).feedback.load(parent.row.id)
    return Feedback.of(given) if given else None
