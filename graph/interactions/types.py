"""What investors say of properties and do with them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import strawberry

from domain.contract.vocabulary import THUMBS, InteractionKind
from domain.interactions import interactions
from domain.interactions.interactions import Interaction as Act
from graph.core.context import INPUT, Context, Info
from graph.core.enums import publish
from graph.core.errors import UserError, refusals_into
from graph.core.nodes import global_id, parse_id
from graph.properties.filters import utc
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


@strawberry.type(description="An investor's one opinion of a property.")
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


@strawberry.type(description="One act of one investor on one property.")
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

    @strawberry.field(description="Who did it.")
    async def user(self, info: Info) -> User | None:
        """The investor."""
        row = await info.context.loaders.users.load(self.act.user_id)
        return User.of(row) if row else None


@strawberry.input(description="An opinion to give; it replaces the one given before.")
class SubmitFeedbackInput:
    """An opinion to give."""

    property_id: strawberry.ID = strawberry.field(description="Of which property.")
    sentiment: Sentiment = strawberry.field(description="For or against.")
    reason: str | None = strawberry.field(default=None, description="Why, at most 2000 characters.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose; the caller's if absent. Not for viewers."
    )


@strawberry.input(description="An opinion to take back.")
class RetractFeedbackInput:
    """An opinion to take back."""

    property_id: strawberry.ID = strawberry.field(description="Of which property.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose; the caller's if absent. Not for viewers."
    )


@strawberry.input(
    description="Something done. The same kind, property, investor and time is the same act; "
    "without a time it is now, once a day (UTC). So a client may retry."
)
class RecordInteractionInput:
    """Something done."""

    property_id: strawberry.ID = strawberry.field(description="With which property.")
    kind: DeedKind = strawberry.field(description="What.")
    occurred_at: datetime | None = strawberry.field(
        default=None, description="When, not in the future; UTC if it has no zone; now if absent."
    )
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="By whom; by the caller if absent. Not for viewers."
    )


@strawberry.type(description="The opinion given, or why it was refused.")
class SubmitFeedbackPayload:
    """What became of an opinion."""

    feedback: Feedback | None = strawberry.field(
        default=None, description="The opinion as it stands now."
    )
    property: Property | None = strawberry.field(default=None, description="The property.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was refused; empty if it was not."
    )


@strawberry.type(description="Whether an opinion was taken back, or why that was refused.")
class RetractFeedbackPayload:
    """What became of the wish to take an opinion back."""

    retracted: bool = strawberry.field(default=False, description="Whether there was an opinion.")
    property: Property | None = strawberry.field(default=None, description="The property.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was refused; empty if it was not."
    )


@strawberry.type(description="The act recorded, or why it was refused.")
class RecordInteractionPayload:
    """What became of an act."""

    interaction: Interaction | None = strawberry.field(default=None, description="The act.")
    property: Property | None = strawberry.field(default=None, description="The property.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was refused; empty if it was not."
    )


@refusals_into(SubmitFeedbackPayload)
async def submit_feedback(
    info: Info, given: Annotated[SubmitFeedbackInput, INPUT]
) -> SubmitFeedbackPayload:
    """Set an investor's opinion of a property."""
    investor = info.context.investor(given.user_id, "userId")
    wanted = parse_id(given.property_id, "Property", "propertyId")
    kind = InteractionKind(given.sentiment.value)
    async with info.context.changes() as work:
        act = await interactions.submit_feedback(work, investor, wanted, kind, given.reason)
    return SubmitFeedbackPayload(
        feedback=Feedback.of(act), property=await _fresh(info.context, wanted)
    )


@refusals_into(RetractFeedbackPayload)
async def retract_feedback(
    info: Info, given: Annotated[RetractFeedbackInput, INPUT]
) -> RetractFeedbackPayload:
    """Take an investor's opinion of a property back."""
    investor = info.context.investor(given.user_id, "userId")
    wanted = parse_id(given.property_id, "Property", "propertyId")
    async with info.context.changes() as work:
        retracted = await interactions.retract_feedback(work, investor, wanted)
    return RetractFeedbackPayload(retracted=retracted, property=await _fresh(info.context, wanted))


@refusals_into(RecordInteractionPayload)
async def record_interaction(
    info: Info, given: Annotated[RecordInteractionInput, INPUT]
) -> RecordInteractionPayload:
    """Record what an investor did with a property."""
    investor = info.context.investor(given.user_id, "userId")
    wanted = parse_id(given.property_id, "Property", "propertyId")
    kind, occurred_at = InteractionKind(given.kind.value), utc(given.occurred_at, "occurredAt")
    async with info.context.changes() as work:
        act = await interactions.record(work, investor, wanted, kind, occurred_at)
    return RecordInteractionPayload(
        interaction=Interaction.of(act), property=await _fresh(info.context, wanted)
    )


async def _fresh(context: Context, property_id: UUID) -> Property | None:
    row = await context.loaders.properties.load(property_id)
    return Property.of(row) if row else None
