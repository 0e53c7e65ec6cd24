"""Asking the index, and whoever listens, to follow a change of many rows after the commit."""

from collections.abc import Sequence
from uuid import UUID

from domain import tenants
from domain.events import Event, Topic
from domain.work import Job, Work

BATCH = 500
REINDEX_ABOVE = 5000
"""Above so many changes one full reindex is cheaper than many small jobs."""

_TOPICS = {"index_properties": Topic.PROPERTIES, "index_users": Topic.INTERACTION}


def follow(work: Work, job: str, ids: Sequence[UUID]) -> None:
    """Enqueue ``job`` ("index_properties" or "index_users") for the ids, or a full reindex.

    However many they are, listeners are told once that properties or histories changed.
    """
    if ids:
        work.publish(Event(_TOPICS[job]))
    if len(ids) > REINDEX_ABOVE:
        if all(planned.function != "reindex" for planned in work.jobs):
            work.enqueue("reindex")
        return
    for start in range(0, len(ids), BATCH):
        work.enqueue(job, [str(one) for one in ids[start : start + BATCH]])


async def reindex_everyone(work: Work) -> None:
    """Have every tenant reindexed after the commit; the unit of work needs no tenant."""
    work.jobs.extend(Job("reindex", tenant.id) for tenant in await tenants.list_all(work))
