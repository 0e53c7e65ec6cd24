"""Comparing database and index: by ids, and by what is written."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from domain.contract.snapshots import ModelKey
from domain.core.work import Work
from domain.interactions import histories, interactions
from domain.jobs import index_outbox
from domain.model_registry import model_versions
from domain.model_registry.model_versions import SpaceState
from domain.properties import snapshots
from jobs.reindexing.writer import Writer, batches

SAMPLE = 1000
"""Properties drawn at random whose content is compared where only some are."""

NIGHTS = 7
"""In so many nights the content of every property is compared."""

_CHECKED = 500


@dataclass(frozen=True, slots=True)
class Gaps:
    """How the ids in a space differ from those in the database.

    Attributes:
        database: properties in the database.
        index: properties in the space.
        missing: properties that the space lacks.
        extra: properties that only the space has.
        investors: users who did anything, not all of whom have an interest.
        missing_users: those of them whom the space lacks.
        extra_users: users whom only the space has.
    """

    database: int
    index: int
    missing: set[UUID]
    extra: set[UUID]
    investors: set[UUID]
    missing_users: set[UUID]
    extra_users: set[UUID]

    @property
    def found(self) -> float:
        """The share of the database's properties that the space has."""
        return 1 - len(self.missing) / self.database if self.database else 1.0


async def gaps(writer: Writer, model: ModelKey) -> Gaps:
    """Compare by ids. What changes meanwhile may show as a gap."""
    async with writer.database.work(model.tenant_id) as work:
        known = await snapshots.ids(work)
        investors = set(await interactions.active_investors(work))
    space = writer.index.space(model)
    written, written_users = await space.property_ids(), await space.user_ids()
    return Gaps(
        database=len(known),
        index=len(written),
        missing=known - written,
        extra=written - known,
        investors=investors,
        missing_users=investors - written_users,
        extra_users=written_users - investors,
    )


async def miscounted(writer: Writer, tenant_id: UUID) -> bool:
    """Whether a complete space holds more or fewer properties than are not marked.

    Without the index lock, what changes meanwhile may look like it.
    """
    async with writer.database.work(tenant_id) as work:
        versions = await model_versions.get_many(work, await model_versions.indexed(work))
        complete = [one.id for one in versions if one.space is SpaceState.COMPLETE]
        settled = await index_outbox.settled(work) if complete else None
    if settled is None:
        return False
    for version_id in complete:
        space = writer.index.space(ModelKey(tenant_id, version_id))
        if await space.count(settled.marked) != settled.properties:
            return True
    return False


async def wrong(writer: Writer, model: ModelKey, ids: set[UUID]) -> set[UUID]:
    """Those of the properties that the space lacks, or has otherwise than they are now.

    Not those that are marked, which is no fault, nor those that do not exist.
    """
    found: set[UUID] = set()
    for some in batches(ids, _CHECKED):
        found |= await _differing_properties(writer, model, some)
    # Once more with nobody writing: what changed between two looks is no difference.
    confirmed: set[UUID] = set()
    for some in batches(found, _CHECKED):
        async with writer.index_lock(model.tenant_id):
            differing = await _differing_properties(writer, model, some)
            # Looked at last: the change of a row that was read is marked, if it is not written.
            confirmed |= await _unmarked(writer, model.tenant_id, differing)
    return confirmed


async def some_differ(writer: Writer, model: ModelKey, night: int, without: set[UUID]) -> bool:
    """Whether any of some properties, ``without`` those, is ``wrong``.

    They are those that are due that night, one in ``NIGHTS``, and ``SAMPLE`` drawn at
    random. The many tell an index that was restored from a backup, or that missed many changes,
    at once; the nights find each that an outage left as it was before.
    """
    async with writer.database.work(model.tenant_id) as work:
        known = tuple(await snapshots.ids(work) - without)
    compared = {one for one in known if one.int % NIGHTS == night % NIGHTS}
    compared.update(random.sample(known, min(SAMPLE, len(known))))
    return bool(await wrong(writer, model, compared))


@dataclass(slots=True)
class Differences:
    """Where the index is not what the database says.

    Attributes:
        properties: those that the space lacks, or has otherwise than they are.
        extra: properties that only the space has.
        users: investors whose vectors are not those of what they did.
        compared: how many properties and investors were compared.
    """

    properties: set[UUID] = field(default_factory=set)
    extra: set[UUID] = field(default_factory=set)
    users: set[UUID] = field(default_factory=set)
    compared: int = 0

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.properties or self.extra or self.users)


async def differences(writer: Writer, model: ModelKey) -> Differences:
    """Compare every vector and payload of a space with what the database gives now.

    What differs is looked at again under the index lock, and what is marked is none: so a
    difference is one even while others write. It costs about as much as writing everything.
    """
    tenant_id = model.tenant_id
    between = await gaps(writer, model)
    async with writer.database.work(tenant_id) as work:
        known = await snapshots.ids(work)
    found = Differences(compared=len(known) + len(between.investors))
    found.properties = await wrong(writer, model, known)
    found.extra = await _strangers(writer, model, between.extra)
    users = await _differing_users(writer, model, between.investors | between.extra_users)
    for some in batches(users, _CHECKED):
        async with writer.index_lock(tenant_id):
            differing = await _differing_users(writer, model, some)
            async with writer.database.work(tenant_id) as work:
                moving = await index_outbox.concerned(work, differing)
            found.users |= await _unmarked(writer, tenant_id, differing - moving)
    return found


async def _strangers(writer: Writer, model: ModelKey, ids: set[UUID]) -> set[UUID]:
    """Those of the ids that the space has and the database has not."""
    if not ids:
        return set()
    async with writer.index_lock(model.tenant_id):
        async with writer.database.work(model.tenant_id) as work:
            ids = ids - await snapshots.ids(work)
        ids = ids & await writer.index.space(model).property_ids()
        return await _unmarked(writer, model.tenant_id, ids)


async def _differing_properties(writer: Writer, model: ModelKey, ids: Sequence[UUID]) -> set[UUID]:
    async with writer.database.work(model.tenant_id) as work:
        found = await snapshots.snapshot(work, ids)
    return await writer.index.space(model).differing(found, await writer.twin.items(model, found))


async def _differing_users(writer: Writer, model: ModelKey, ids: Iterable[UUID]) -> set[UUID]:
    differing: set[UUID] = set()
    for some in batches(ids, _CHECKED):
        async with writer.database.work(model.tenant_id) as work:
            found = await histories.get_many(work, some)
        interests = await writer.twin.interests(model, [found[one] for one in some])
        differing |= await writer.index.space(model).differing_users(interests)
    return differing


async def _unmarked(writer: Writer, tenant_id: UUID, ids: set[UUID]) -> set[UUID]:
    async with writer.database.work(tenant_id) as work:
        return ids - await marked(work, ids)


async def marked(work: Work, ids: set[UUID]) -> set[UUID]:
    """Those of the properties or users that are marked: the index does not know them yet."""
    found = {one.subject_id for one in await index_outbox.marks_of(work, ids)}
    return ids if await index_outbox.marks_of_everything(work) else found
