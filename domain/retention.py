"""Which versions' vectors may go: what is kept in step with every change is kept small.

A change is written to every version that has vectors. So few have any: the one that answers, the
one before it for a rollback, those of an experiment that runs, and what is on its way. Of a second
one beyond the active version nothing is kept: going back so far is rare, and a reindex away.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from domain import experiments, model_versions, policies, tenants
from domain.model_versions import ModelStatus, ModelVersion, SpaceState
from domain.work import Work

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
    experiment = await experiments.running(work)
    compared = {experiment.control_id, experiment.treatment_id} if experiment else set()
    with_vectors = await work.session.execute(
        select(
            ModelVersion.id, ModelVersion.status, ModelVersion.created_at, ModelVersion.retired_at
        ).where(ModelVersion.space != SpaceState.NONE, ModelVersion.status != ModelStatus.ACTIVE)
    )

    def is_needed(version_id: UUID, status: ModelStatus, since: datetime) -> bool:
        if version_id in compared:
            return True
        if status is ModelStatus.REFUSED:
            return False
        if status is ModelStatus.RETIRED:
            rollback = previous is not None and version_id == previous.id
            return now - since < (max(grace, IN_FLIGHT) if rollback else IN_FLIGHT)
        return now - since < max(grace, _LEAST_GRACE)

    return [
        row.id
        for row in with_vectors
        if not is_needed(row.id, row.status, row.retired_at or row.created_at)
    ]
