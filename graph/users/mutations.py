"""Saying what an investor wants."""

from typing import Annotated

import strawberry

from domain.contract import snapshots
from domain.contract.filters import Range
from domain.contract.vocabulary import PropertyType
from domain.users import buy_boxes
from domain.users.buy_boxes import MAX_TEXT, MAX_VALUES
from graph.core.context import INPUT, Info
from graph.core.errors import Payload, mutation
from graph.core.inputs import FloatRange, IntRange
from graph.users.types import User


@strawberry.input
class SetBuyBoxInput:
    """What an investor wants. It replaces what was said before.

    A side that is absent, null or empty says nothing. Without any side the buy box is taken back.
    """

    property_types: list[PropertyType] | None = strawberry.field(
        default=None, description="One of these types."
    )
    zipcodes: list[str] | None = strawberry.field(
        default=None,
        description=f"One of these ZIP codes, at most {MAX_VALUES} of {MAX_TEXT} characters.",
    )
    cities: list[str] | None = strawberry.field(
        default=None,
        description="One of these cities, spelled as in the data, at most "
        f"{MAX_VALUES} of {MAX_TEXT} characters.",
    )
    price: FloatRange | None = strawberry.field(
        default=None, description="The listing price, in dollars, 0 or more."
    )
    bedrooms: IntRange | None = strawberry.field(
        default=None, description="How many bedrooms, 0 or more."
    )
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose; the caller's if absent. Not for viewers."
    )

    def said(self) -> snapshots.BuyBox:
        """The domain's buy box, not checked yet."""
        return snapshots.BuyBox(
            # What is said twice is said once.
            property_types=tuple(dict.fromkeys(self.property_types or ())),
            zipcodes=tuple(self.zipcodes or ()),
            cities=tuple(self.cities or ()),
            price=_range(self.price),
            bedrooms=_range(self.bedrooms),
        )


def _range(wanted: FloatRange | IntRange | None) -> Range | None:
    if wanted is None or (wanted.min is None and wanted.max is None):
        return None
    return Range(wanted.min, wanted.max)


@strawberry.type
class SetBuyBoxPayload(Payload):
    """Whose buy box it is and was set, or why it was refused."""

    user: User | None = strawberry.field(
        default=None, description="The investor, with the buy box as it stands now."
    )


@strawberry.type
class UserMutations:
    """Mutations of what users say of themselves."""

    @mutation()
    async def set_buy_box(
        self, info: Info, given: Annotated[SetBuyBoxInput, INPUT]
    ) -> SetBuyBoxPayload:
        """Say what an investor wants, or take that back; it counts at once."""
        investor = info.context.investor(given.user_id, "userId")
        async with info.context.changes() as work:
            user = await buy_boxes.state(work, investor, given.said())
        return SetBuyBoxPayload(user=User.of(user))
