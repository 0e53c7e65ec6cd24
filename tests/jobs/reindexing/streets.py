"""A tenant with enough to learn from for real gates: see ``tests.ml.worlds.make_streets``."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import isnan
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import select

from domain.contract.snapshots import NUMERIC_COLUMNS
from domain.contract.vocabulary import InteractionKind, ListingStatus, PropertyType
from domain.core.database import Database
from domain.interactions.interactions import Interaction, refresh_totals
from domain.tenants import policies
from domain.tenants.tenants import Tenant
from jobs.model_registry.training import Training, train_tenant
from jobs.reindexing.indexer import Indexer
from ml.training.config import TrainingConfig
from runtime import Runtime
from tests.factories import add_property, add_user
from tests.ml.worlds import make_streets

_COLUMNS: dict[str, Callable[[float], float]] = {
    "listing_price": float,
    "estimated_value": float,
    "bedrooms": round,
    "bathrooms": float,
    "square_feet": float,
    "lot_square_feet": float,
    "year_built": round,
    "latitude": float,
    "longitude": float,
}
"""Those of the world's columns that look like a property's, and of what kind they are."""

CONFIG = TrainingConfig(epochs=2, rerank_epochs=4, device="cpu")


async def build_streets(database: Database, tenant: Tenant) -> None:
    """Fill a tenant with investors who each buy on one street; committed, not trained.

    Which of the houses of a street an investor takes is drawn by lot, so that rankings of equal
    worth differ by chance: more is tolerated than by default.
    """
    columns, log = make_streets()
    async with database.work(tenant.id) as work:
        await policies.change(work, {"ndcg_tolerance": 0.5})
        rows = zip(columns.numeric, columns.property_type, columns.listing_status, strict=True)
        houses = [
            (await add_property(work, **_fields(numbers, kind, status))).id
            for numbers, kind, status in rows
        ]
        users = [(await add_user(work)).id for _ in log.users]
        start = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
        work.session.add_all(
            Interaction(
                tenant_id=tenant.id,
                user_id=users[user],
                property_id=houses[house],
                kind=InteractionKind.SAVE,
                occurred_at=datetime.fromtimestamp(start + seconds, UTC),
            )
            for user, house, seconds in zip(log.user, log.property, log.occurred_at, strict=True)
        )
        await work.session.flush()
        await refresh_totals(work)


async def shuffle_labels(database: Database, tenant: Tenant) -> None:
    """Have each interaction be with the property of another one."""
    async with database.work(tenant.id) as work:
        acts: Sequence[Interaction] = (
            await work.session.scalars(select(Interaction).order_by(Interaction.occurred_at))
        ).all()
        order = np.random.default_rng(0).permutation(len(acts))
        houses: list[UUID] = [acts[place].property_id for place in order]
        for act, house in zip(acts, houses, strict=True):
            act.property_id = house


async def train_streets(
    rt: Runtime, tenant: Tenant, config: TrainingConfig = CONFIG, run_id: UUID | None = None
) -> Training:
    """As a job does."""
    indexer = await Indexer.open(rt.database, rt.index, rt.twin)

    async def unheard(share: float, message: str) -> None:
        """Nobody listens."""

    return await train_tenant(indexer, tenant.id, config, unheard, run_id=run_id)


def _fields(numbers: Sequence[float], kind: int, status: int) -> dict[str, Any]:
    named = dict(zip(NUMERIC_COLUMNS, map(float, numbers), strict=True))
    known: dict[str, Any] = {
        name: None if isnan(named[name]) else of(named[name]) for name, of in _COLUMNS.items()
    }
    return known | {
        "property_type": list(PropertyType)[kind] if kind >= 0 else None,
        "listing_status": list(ListingStatus)[status] if status >= 0 else None,
    }
