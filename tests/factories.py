"""Makers of rows for tests. Each takes a unit of work and flushes; the caller commits."""

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from domain.interactions import Interaction, refresh_engagement
from domain.properties import Property
from domain.users import User
from domain.vocabulary import InteractionKind, ListingStatus, PropertyType, Role
from domain.work import Work

_numbers = count(1)


async def add_user(work: Work, **fields: Any) -> User:
    """A user; an analyst unless said otherwise."""
    number = next(_numbers)
    defaults = {
        "external_id": f"user-{number}",
        "email": f"user-{number}@example.com",
        "name": f"User {number}",
        "role": Role.ANALYST,
        "simulated": False,
    }
    user = User(tenant_id=work.tenant_id, **(defaults | fields))
    work.session.add(user)
    await work.session.flush()
    return user


async def add_property(work: Work, **fields: Any) -> Property:
    """A plain house in Seattle."""
    number = next(_numbers)
    defaults = {
        "external_id": f"house-{number}",
        "address": f"{number} Main Street",
        "city": "Seattle",
        "state": "WA",
        "zipcode": "98103",
        "latitude": 47.66,
        "longitude": -122.34,
        "property_type": PropertyType.SINGLE_FAMILY,
        "listing_status": ListingStatus.ACTIVE,
        "listing_price": 500_000.0,
        "bedrooms": 3,
        "bathrooms": 2.0,
        "square_feet": 1800.0,
        "year_built": 1960,
        "provenance": {},
        "engagement": 0.0,
    }
    found = Property(tenant_id=work.tenant_id, **(defaults | fields))
    work.session.add(found)
    await work.session.flush()
    return found


async def add_interaction(
    work: Work, user_id: UUID, property_id: UUID, kind: InteractionKind, **fields: Any
) -> Interaction:
    """An act of now, without any rule but the database's."""
    defaults = {"occurred_at": datetime.now(UTC), "simulated": False}
    act = Interaction(
        tenant_id=work.tenant_id,
        user_id=user_id,
        property_id=property_id,
        kind=kind,
        **(defaults | fields),
    )
    work.session.add(act)
    await work.session.flush()
    await refresh_engagement(work, [property_id])
    return act
