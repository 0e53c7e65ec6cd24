"""The domain's closed vocabularies as GraphQL enums."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import strawberry

from domain.contract.vocabulary import ListingStatus, PropertyType, Role
from domain.core.outcome import Outcome
from graph.core.strawberry_internals import class_definition

E = TypeVar("E", bound=StrEnum)


def publish(
    kind: type[E], description: str, values: Mapping[E, str], *, name: str | None = None
) -> None:
    """Make an enum known to the schema, under its own name if no other, every value described."""
    strawberry.enum(kind, name=name, description=description)
    for value in class_definition(kind).values:
        value.description = values[kind(value.value)]


publish(
    PropertyType,
    "What kind of building or land a property is.",
    {
        PropertyType.SINGLE_FAMILY: "A house for one household.",
        PropertyType.CONDO: "A unit owned within a shared building.",
        PropertyType.TOWNHOUSE: "A house that shares walls with its neighbours.",
        PropertyType.MULTI_FAMILY: "A building of several homes.",
        PropertyType.LAND: "A lot without a home.",
    },
)
publish(
    ListingStatus,
    "Where a property stands on the market.",
    {
        ListingStatus.ACTIVE: "For sale.",
        ListingStatus.PENDING: "Under contract.",
        ListingStatus.SOLD: "Sold.",
        ListingStatus.OFF_MARKET: "Not for sale.",
    },
)
publish(
    Role,
    "What a user may do in its tenant.",
    {
        Role.VIEWER: "Reads as itself and gives its own feedback.",
        Role.ANALYST: "Reads and acts for every user of its tenant, and writes properties.",
        Role.ADMIN: "Does all that an analyst may, and says who belongs to the tenant.",
    },
)
publish(
    Outcome,
    "What an upsert did with an item.",
    {
        Outcome.CREATED: "It was new.",
        Outcome.UPDATED: "Some of its values changed.",
        Outcome.UNCHANGED: "It had all these values already.",
    },
    name="UpsertOutcome",
)
