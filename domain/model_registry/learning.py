"""How much a tenant has to learn from: enough for a training, and enough that is new."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select

from domain.contract.vocabulary import INTERACTION_WEIGHTS
from domain.core.work import Work
from domain.interactions.interactions import Interaction
from domain.properties.table import Property
from domain.tenants.policies import Policy

APPROVING = tuple(kind for kind, weight in INTERACTION_WEIGHTS.items() if weight > 0)
"""The kinds of interaction that speak for a property."""


@dataclass(frozen=True, slots=True)
class Stock:
    """How many there are of each, counted no further than a training needs."""

    approvals: int
    properties: int
    investors: int


async def stock(work: Work, policy: Policy) -> Stock:
    """What there is to learn from; for ``domain.model_registry.gates.require_enough``."""
    approvals = select(Interaction.user_id).where(Interaction.kind.in_(APPROVING))

    async def count(rows: Select[UUID], most: int) -> int:
        counted = select(func.count()).select_from(rows.limit(most).subquery())
        return await work.session.scalar(counted) or 0

    return Stock(
        approvals=await count(approvals, policy.least_approvals),
        properties=await count(select(Property.id), policy.least_properties),
        investors=await count(approvals.distinct(), policy.least_investors),
    )


async def enough_new(work: Work, least: int, read_at: datetime | None, known_at: datetime) -> bool:
    """Whether at least so many of the tenant's interactions, of whatever time, came in meanwhile.

    Args:
        work: of the tenant.
        least: how many.
        read_at: when the active version's training read them; None counts all.
        known_at: what was written after this does not count.
    """
    if not least:
        return True
    rows = select(Interaction.id).where(Interaction.created_at <= known_at)
    if read_at is not None:
        rows = rows.where(Interaction.created_at > read_at)
    # The last that is needed, over the index of times: mostly what is new came last.
    last = rows.order_by(Interaction.occurred_at.desc()).offset(least - 1).limit(1)
    return await work.session.scalar(last) is not None
