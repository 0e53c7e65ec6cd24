"""Makers of rows for tests. Each takes a unit of work and flushes; the caller commits."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select

from domain.contract.vocabulary import InteractionKind, ListingStatus, PropertyType, Role
from domain.core.database import Database
from domain.core.work import Work
from domain.interactions.interactions import Interaction, refresh_totals
from domain.jobs import index_outbox
from domain.jobs.index_outbox import IndexMark, Marked
from domain.properties.table import Property
from domain.tenants import policies
from domain.tenants.tenants import Tenant
from domain.users.users import User
from jobs.model_registry.training import Training, train_tenant
from jobs.reindexing.indexer import Indexer
from ml.index.space import Space
from ml.training.config import TrainingConfig
from runtime import Runtime

_numbers = count(1)
_FIRST_ID = uuid4().int >> 64 << 64


def _next_id() -> UUID:
    """Ids in the order of creation: training reads by id, so that equal towns train equally."""
    return UUID(int=_FIRST_ID + next(_numbers))


async def add_user(work: Work, **fields: Any) -> User:
    """A user; an analyst unless said otherwise."""
    number = next(_numbers)
    defaults = {
        "id": _next_id(),
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
        "id": _next_id(),
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
    await refresh_totals(work, [property_id])
    return act


async def take_marks(database: Database, tenant: Tenant) -> set[tuple[Marked, UUID]]:
    """What the index has to follow; it is marked no more."""
    async with database.work(tenant.id) as work:
        found = list(await work.session.scalars(select(IndexMark)))
        await index_outbox.unmark(work, found)
    return {(one.kind, one.subject_id) for one in found}


@dataclass(frozen=True, slots=True)
class Town:
    """A trained tenant with a known answer.

    Half of the houses are cheap and in the south, half dear and in the north. Southern investors
    act on southern houses only, northern ones on northern houses.

    Attributes:
        south: ids of the cheap houses.
        north: ids of the dear houses.
        southerners: ids of the investors of the south.
        northerners: ids of the investors of the north.
        idle: an investor who did nothing.
        newest: when the newest act was.
    """

    tenant: Tenant
    south: list[UUID]
    north: list[UUID]
    southerners: list[UUID]
    northerners: list[UUID]
    idle: UUID
    newest: datetime


async def build_town(database: Database, tenant: Tenant, houses: int = 60) -> Town:
    """Fill a tenant with a town, committed, not trained.

    Which houses of its half an investor takes follows from counting, so that no model can rank
    them, and two dozen held-out pairs, half of them of two houses of one half, tell next to nothing
    of one: the gates of quality are opened.
    """
    start = datetime(2024, 1, 1, tzinfo=UTC)
    async with database.work(tenant.id) as work:
        opened = {"ndcg_tolerance": 1.0, "least_f1": 0.0, "least_accuracy": 0.0}
        await policies.change(work, opened)
        ids: dict[bool, list[UUID]] = {True: [], False: []}
        for n in range(houses):
            southern = n % 2 == 0
            house = await add_property(
                work,
                latitude=(47.30 if southern else 47.70) + 0.001 * (n % 10),
                longitude=-122.30 + 0.001 * (n % 7),
                zipcode="98030" if southern else "98125",
                listing_price=(300_000.0 if southern else 900_000.0) + 5_000 * (n % 9),
                square_feet=1000.0 + 10 * (n % 11) if southern else 3000.0 + 10 * (n % 11),
            )
            ids[southern].append(house.id)
        investors: dict[bool, list[UUID]] = {True: [], False: []}
        for n in range(12):
            southern = n % 2 == 0
            user = await add_user(work)
            investors[southern].append(user.id)
            for step in range(10):
                work.session.add(
                    Interaction(
                        id=_next_id(),
                        tenant_id=tenant.id,
                        user_id=user.id,
                        property_id=ids[southern][(n * 5 + step * 3) % len(ids[southern])],
                        kind=InteractionKind.SAVE if step % 3 else InteractionKind.OUTREACH,
                        occurred_at=start + timedelta(days=step, minutes=n),
                    )
                )
        idle = await add_user(work)
        await work.session.flush()
        await refresh_totals(work)
    newest = start + timedelta(days=9, minutes=11)
    return Town(tenant, ids[True], ids[False], investors[True], investors[False], idle.id, newest)


async def train(
    rt: Runtime, tenant: Tenant, *, epochs: int = 12, seed: int = 0, with_report: bool = False
) -> Training:
    """Train, index and activate a small twin by the way that a job takes."""
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)

    async def report(share: float, message: str) -> None:
        assert 0 <= share <= 1
        assert message

    config = TrainingConfig(epochs=epochs, rerank_epochs=8, batch_size=32, device="cpu", seed=seed)
    training = await train_tenant(indexer, tenant.id, config, report, with_report=with_report)
    assert training.refusal is None, training.refusal
    return training


async def interests_in(space: Space) -> int:
    """How many interests of investors the space holds."""
    found = await space.interests(await space.user_ids())
    return sum(map(len, found.values()))
