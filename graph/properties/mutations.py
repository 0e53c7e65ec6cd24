"""Writing properties through the API: upserts in batches, and deletion."""

from datetime import datetime
from typing import Annotated

import strawberry

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.errors import DomainError
from domain.core.outcome import Outcome
from domain.properties import table
from domain.properties.input import PropertyInput as PropertyRules
from domain.properties.upsert import UPSERT_LIMIT, upsert
from graph.core.context import INPUT, Info
from graph.core.directives import as_many_as, weight
from graph.core.errors import Payload, mutation
from graph.core.inputs import InputNote, checked
from graph.core.nodes import parse_id
from graph.properties.loaders import PropertyLoaders
from graph.properties.types import Property, describe_columns


@describe_columns
@strawberry.input
class PropertyInput:
    """A property by its external id. A field that is absent keeps its value; null empties it."""

    external_id: str
    address: str | None = strawberry.UNSET
    city: str | None = strawberry.UNSET
    state: str | None = strawberry.UNSET
    zipcode: str | None = strawberry.UNSET
    latitude: float | None = strawberry.UNSET
    longitude: float | None = strawberry.UNSET
    property_type: PropertyType | None = strawberry.UNSET
    listing_status: ListingStatus | None = strawberry.UNSET
    listing_price: float | None = strawberry.UNSET
    estimated_value: float | None = strawberry.UNSET
    cap_rate: float | None = strawberry.UNSET
    cash_on_cash_return: float | None = strawberry.UNSET
    bedrooms: int | None = strawberry.UNSET
    bathrooms: float | None = strawberry.UNSET
    square_feet: float | None = strawberry.UNSET
    lot_square_feet: float | None = strawberry.UNSET
    year_built: int | None = strawberry.UNSET
    days_on_market: int | None = strawberry.UNSET
    condition_score: float | None = strawberry.UNSET
    renovation_needed: bool | None = strawberry.UNSET
    listed_at: datetime | None = strawberry.UNSET
    source_system: str | None = strawberry.UNSET
    confidence: float | None = strawberry.UNSET


@strawberry.input
class UpsertPropertiesInput:
    """Properties to create or update, all or none of them."""

    properties: list[PropertyInput] = strawberry.field(
        description="At most 500, each external id once.", directives=[weight(2)]
    )


@strawberry.input
class DeletePropertyInput:
    """A property to delete."""

    property_id: strawberry.ID = strawberry.field(
        description="Which one; what was done with it goes too."
    )


@strawberry.type
class UpsertedProperty:
    """What became of one property of an upsert."""

    outcome: Outcome = strawberry.field(description="What was done.")
    property: Property = strawberry.field(description="The property as it stands now.")


@strawberry.type
class UpsertPropertiesPayload(Payload):
    """What was written, or why nothing was."""

    results: list[UpsertedProperty] = strawberry.field(
        default_factory=list, description="One for each property sent, in order."
    )

    notes: list[InputNote] = strawberry.field(
        default_factory=list,
        description="Values that were read in another form, such as the text `N/A` as a missing "
        "city, or left out, such as the coordinates 0,0.",
    )

    @strawberry.field
    def properties(self) -> list[Property]:
        """The properties sent, as they stand now, in order."""
        return [result.property for result in self.results]

    @strawberry.field
    def created(self) -> int:
        """How many were new."""
        return self._count(Outcome.CREATED)

    @strawberry.field
    def updated(self) -> int:
        """How many had values that changed."""
        return self._count(Outcome.UPDATED)

    @strawberry.field
    def unchanged(self) -> int:
        """How many were as sent already."""
        return self._count(Outcome.UNCHANGED)

    def _count(self, outcome: Outcome) -> int:
        return sum(result.outcome is outcome for result in self.results)


@strawberry.type
class DeletePropertyPayload(Payload):
    """What was deleted, or why nothing was."""

    deleted_property_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that is gone."
    )


@strawberry.type
class PropertyMutations:
    """Mutations of properties."""

    @mutation(as_many_as("input.properties", "results", "properties"))
    async def upsert_properties(
        self, info: Info, given: Annotated[UpsertPropertiesInput, INPUT]
    ) -> UpsertPropertiesPayload:
        """Create or update properties by external id; for analysts and admins."""
        info.context.require_writer()
        sent = checked(PropertyRules, given.properties, "properties", UPSERT_LIMIT)
        try:
            async with info.context.changes() as work:
                written = await upsert(work, sent.items)
        except DomainError as error:
            raise DomainError(error.code, error.message, ("properties", *error.field)) from None
        rows = await info.context.loaders(PropertyLoaders).require(
            [item.property_id for item in written], "properties"
        )
        return UpsertPropertiesPayload(
            results=[
                UpsertedProperty(outcome=item.outcome, property=Property.of(row))
                for item, row in zip(written, rows, strict=True)
            ],
            notes=sent.notes,
        )

    @mutation()
    async def delete_property(
        self, info: Info, given: Annotated[DeletePropertyInput, INPUT]
    ) -> DeletePropertyPayload:
        """Delete a property; for analysts and admins."""
        info.context.require_writer()
        wanted = parse_id(given.property_id, "Property", "propertyId")
        async with info.context.changes() as work:
            await table.remove(work, wanted, "propertyId")
        return DeletePropertyPayload(deleted_property_id=given.property_id)
