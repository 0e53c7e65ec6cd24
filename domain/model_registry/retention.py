"""Which versions' vectors may go: what is kept in step with every change is kept small.

A change is written to every version that has vectors. So few have any: the one that answers, the
one before it for a rollback, those of an experiment, and what is on its way. Of a second one behind
the active version nothing is kept: going back so far is rare, and a reindex away.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from domain.core.work import Work
from domain.model_registry import model_versions
from domain.model_registry.model_versions import ModelStatus, ModelVersion, SpaceState
from domain.tenants import experiments, policies, tenants

IN_FLIGHT = timedelta(minutes=10)
"""How long requests that began with a version may still be finishing on it, and longer."""

_LEAST_GRACE = timedelta(days=1)
"""What is on its way is kept at least so long: it may be being filled."""


async def unneeded(work: Work, now: datetime) -> list[UUID]:
    """The versions with vectors that nobody will miss.

    Waits for activations, which wait for the end of this transaction: what it names is not active
    until then.
    """
    await tenants.lock(work, "model_versions")
    grace = timedelta(days=(await policies.get(work)).grace_days)
    previous = await model_versions.previous(work)
    with_vectors = await work.session.execute(
        select(
            ModelVersion.id,
            ModelVersion.status,
            # What is filled for an experiment, or to answer again, may have been retired long ago.
            func.greatest(
                func.coalesce(ModelVersion.retired_at, ModelVersion.created_at),
                ModelVersion.space_since,
            ).label("since"),
            experiments.needed(ModelVersion.id, now - max(grace, IN_FLIGHT)).label("compared"),
        ).where(ModelVersion.space != SpaceState.NONE, ModelVersion.status != ModelStatus.ACTIVE)
    )

    def kept(version_id: UUID, status: ModelStatus) -> timedelta:
        if status is ModelStatus.REFUSED:
            return timedelta()
        if status is not ModelStatus.RETIRED:
            return max(grace, _LEAST_GRACE)
        is_rollback = previous is not None and version_id == previous.id
        return max(grace, IN_FLIGHT) if is_rollback else IN_FLIGHT

    return [
        row.id
        for row in with_vectors
        if not row.compared and now - row.since >= kept(row.id, row.status)
    ]
