"""Giving and taking back opinions, and recording what investors do."""

from datetime import datetime
from typing import Annotated

import strawberry

from domain.contract.vocabulary import InteractionKind
from domain.interactions import interactions
from graph.core.context import INPUT, Info
from graph.core.errors import Payload, mutation
from graph.core.inputs import utc
from graph.core.nodes import parse_id
from graph.interactions.types import DeedKind, Feedback, Interaction, Sentiment
from graph.properties.types import Property


@strawberry.input
class SubmitFeedbackInput:
    """An opinion to give; it replaces the one given before."""

    property_id: strawberry.ID = strawberry.field(description="Of which property.")
    sentiment: Sentiment = strawberry.field(description="For or against.")
    reason: str | None = strawberry.field(default=None, description="Why, at most 2000 characters.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose; the caller's if absent. Not for viewers."
    )


@strawberry.input
class RetractFeedbackInput:
    """An opinion to take back."""

    property_id: strawberry.ID = strawberry.field(description="Of which property.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose; the caller's if absent. Not for viewers."
    )


@strawberry.input
class RecordInteractionInput:
    """Something done.

    The same kind, property, investor and time is the same act; without a time it is now, once a day
    (UTC). So a client may retry.
    """

    property_id: strawberry.ID = strawberry.field(description="With which property.")
    kind: DeedKind = strawberry.field(description="What.")
    occurred_at: datetime | None = strawberry.field(
        default=None, description="When, not in the future; UTC if it has no zone; now if absent."
    )
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="By whom; by the caller if absent. Not for viewers."
    )


@strawberry.type
class SubmitFeedbackPayload(Payload):
    """The opinion given, or why it was refused."""

    feedback: Feedback | None = strawberry.field(
        default=None, description="The opinion as it stands now."
    )
    property: Property | None = strawberry.field(default=None, description="The property.")


@strawberry.type
class RetractFeedbackPayload(Payload):
    """Whether an opinion was taken back, or why that was refused."""

    retracted: bool = strawberry.field(default=False, description="Whether there was an opinion.")
    property: Property | None = strawberry.field(default=None, description="The property.")


@strawberry.type
class RecordInteractionPayload(Payload):
    """The act recorded, or why it was refused."""

    interaction: Interaction | None = strawberry.field(default=None, description="The act.")
    property: Property | None = strawberry.field(default=None, description="The property.")


@strawberry.type
class InteractionMutations:
    """Mutations of what investors say of properties and do with them."""

    @mutation()
    async def submit_feedback(
        self, info: Info, given: Annotated[SubmitFeedbackInput, INPUT]
    ) -> SubmitFeedbackPayload:
        """Give a thumb; it counts from the next answer on."""
        investor = info.context.investor(given.user_id, "userId")
        wanted = parse_id(given.property_id, "Property", "propertyId")
        kind = InteractionKind(given.sentiment.value)
        async with info.context.changes() as work:
            act = await interactions.submit_feedback(work, investor, wanted, kind, given.reason)
        return SubmitFeedbackPayload(
            feedback=Feedback.of(act), property=await Property.find(info.context, wanted)
        )

    @mutation()
    async def retract_feedback(
        self, info: Info, given: Annotated[RetractFeedbackInput, INPUT]
    ) -> RetractFeedbackPayload:
        """Take a thumb back."""
        investor = info.context.investor(given.user_id, "userId")
        wanted = parse_id(given.property_id, "Property", "propertyId")
        async with info.context.changes() as work:
            retracted = await interactions.retract_feedback(work, investor, wanted)
        return RetractFeedbackPayload(
            retracted=retracted, property=await Property.find(info.context, wanted)
        )

    @mutation()
    async def record_interaction(
        self, info: Info, given: Annotated[RecordInteractionInput, INPUT]
    ) -> RecordInteractionPayload:
        """Say what an investor did with a property."""
        investor = info.context.investor(given.user_id, "userId")
        wanted = parse_id(given.property_id, "Property", "propertyId")
        kind, occurred_at = InteractionKind(given.kind.value), utc(given.occurred_at, "occurredAt")
        async with info.context.changes() as work:
            act = await interactions.record(work, investor, wanted, kind, occurred_at)
        return RecordInteractionPayload(
            interaction=Interaction.of(act), property=await Property.find(info.context, wanted)
        )
