"""Users, and what they say they want: the types."""

from typing import Annotated, Self
from uuid import UUID

import strawberry

from domain.contract import snapshots
from domain.contract.vocabulary import PropertyType, Role
from domain.users import buy_boxes, users
from graph.core.context import Context
from graph.core.loaders import Loaders, batched
from graph.core.nodes import Node, global_id

UserId = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="The investor; the caller if absent. Not for viewers."),
]


@strawberry.type
class FloatInterval:
    """A closed interval of numbers; a side that is null is open."""

    min: float | None = strawberry.field(description="The smallest.")
    max: float | None = strawberry.field(description="The greatest.")


@strawberry.type
class IntInterval:
    """A closed interval of integers; a side that is null is open."""

    min: int | None = strawberry.field(description="The smallest.")
    max: int | None = strawberry.field(description="The greatest.")


@strawberry.type
class BuyBox:
    """What an investor says is wanted. An empty list or null says nothing of that side."""

    property_types: list[PropertyType] = strawberry.field(description="One of these types.")
    zipcodes: list[str] = strawberry.field(description="One of these ZIP codes.")
    cities: list[str] = strawberry.field(description="One of these cities.")
    price: FloatInterval | None = strawberry.field(description="The listing price, in dollars.")
    bedrooms: IntInterval | None = strawberry.field(description="How many bedrooms.")

    @staticmethod
    def of(box: snapshots.BuyBox) -> "BuyBox":
        """A buy box as a client sees it."""
        price, bedrooms = box.price, box.bedrooms
        return BuyBox(
            property_types=list(box.property_types),
            zipcodes=list(box.zipcodes),
            cities=list(box.cities),
            price=FloatInterval(min=price.min, max=price.max) if price else None,
            bedrooms=IntInterval(min=_whole(bedrooms.min), max=_whole(bedrooms.max))
            if bedrooms
            else None,
        )


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


class UserLoaders(Loaders):
    """Loaders of users."""

    @batched
    async def users(self, wanted: list[UUID]) -> list[users.UserRow | None]:
        """A user by id, None if there is none."""
        async with self.context.read() as reading:
            found = await users.read_many(reading, wanted)
        return [found.get(user_id) for user_id in wanted]


@strawberry.type
class User(Node, rows=(users.User, users.UserRow)):
    """A member of the tenant. Investors are users with a history."""

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

    @classmethod
    def of(cls, row: users.UserValues, role: Role | None = None) -> Self:
        """A user as a client sees it, in its own role unless another one is given."""
        active = row.deactivated_at is None
        return cls.made_of(row, role=role or row.role, active=active)

    @classmethod
    async def read(cls, context: Context, row_id: UUID) -> users.UserRow | None:
        """See ``Node.read``."""
        return await context.loaders(UserLoaders).users.load(row_id)

    @classmethod
    def permit(cls, context: Context, row_id: UUID, *field: str) -> None:
        """A viewer sees itself only. Raises DomainError FORBIDDEN."""
        context.investor(global_id("User", row_id), *field)

    @strawberry.field
    def buy_box(self) -> BuyBox | None:
        """What it says is wanted; null if it says nothing."""
        box = buy_boxes.loads(self.row.buy_box)
        return BuyBox.of(box) if box else None
