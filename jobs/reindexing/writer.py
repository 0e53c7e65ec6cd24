"""Turns: whoever writes a tenant's vectors reads the rows and writes the vectors in one.

Turns are taken one after the other. So the last to write is the last to have read, and no vector
of an older state overwrites that of a newer one. What changes while a new version is being filled
reaches that version as well, for every turn asks anew which versions there are to write.
"""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from domain import histories, indexing, model_versions, properties, tenants, users
from domain.database import Database
from domain.errors import not_found
from domain.events import Event, Topic
from domain.indexing import IndexMark, Marked
from domain.model_versions import SpaceState
from domain.snapshots import ModelKey, PropertyColumns
from domain.work import Work
from jobs.reindexing.isolation import isolate
from ml.artifacts import ArtifactError
from ml.index import EmbeddingIndex
from ml.inference import TwinService

logger = logging.getLogger(__name__)

PROPERTY_BATCH = 2000
USER_BATCH = 250


@dataclass(slots=True)
class Counts:
    """What was done.

    Attributes:
        properties: how many were written.
        users: how many investors were.
        removed: how many properties were found to be gone.
        unwritable: what cannot be written, as it is marked.
    """

    properties: int = 0
    users: int = 0
    removed: int = 0
    unwritable: dict[Marked, set[UUID]] = field(
        default_factory=lambda: {Marked.PROPERTY: set(), Marked.USER: set()}
    )


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the vectors of properties and investors."""

    database: Database
    index: EmbeddingIndex
    twin: TwinService

    @asynccontextmanager
    async def turn(self, tenant_id: UUID) -> AsyncIterator[Work]:
        """A transaction in which nobody else writes vectors of the tenant.

        Raises:
            DomainError: NOT_FOUND if the tenant was deleted; the index holds nothing of it then.
        """
        async with self.database.work(tenant_id) as work:
            await tenants.lock(work, "index")
            if not await tenants.hold(work):
                await self.index.keep_versions(tenant_id, ())
                raise not_found("tenant")
            yield work

    async def targets(self, work: Work, only: UUID | None = None) -> list[ModelKey]:
        """The versions to write: all that have anything in the index, of those ``only`` that one.

        One that this code cannot read, as a worker of another release may, is left out if it
        neither answers nor is being filled: see ``unmark``.

        Raises:
            ArtifactError: another one, or ``only``, cannot be read. Whoever can will write it.
        """
        found = []
        for version_id in await model_versions.indexed(work):
            if only not in (None, version_id):
                continue
            model = ModelKey(work.tenant_id, version_id)
            try:
                await self.twin.loaded.get(model)
            except ArtifactError as error:
                if only or await self._is_wanted(work, version_id):
                    raise
                logger.error("version %s is not kept in the index: %s", version_id, error)
            else:
                found.append(model)
        return found

    @staticmethod
    async def _is_wanted(work: Work, version_id: UUID) -> bool:
        version = await model_versions.get(work, version_id)
        is_complete = version.space is SpaceState.COMPLETE
        return not is_complete or await model_versions.answers(work, version_id)

    async def unmark(
        self, work: Work, done: Sequence[IndexMark], targets: Iterable[ModelKey]
    ) -> None:
        """Delete marks that were followed in ``targets``.

        Other versions' spaces are given up: what is marked did not reach them, so that they are
        filled anew before they answer.
        """
        written = {model.version_id for model in targets}
        for version in await model_versions.get_many(work, await model_versions.indexed(work)):
            # One whose filling began meanwhile takes what is marked from the database.
            if version.space is SpaceState.COMPLETE and version.id not in written:
                await model_versions.forget_space(work, version.id)
        await indexing.unmark(work, done)

    async def write(self, batch: PropertyColumns, targets: Iterable[ModelKey]) -> None:
        """Write properties just read, in every version of ``targets``."""
        if len(batch):
            for model in targets:
                items = await self.twin.items(model, batch)
                await self.index.space(model).upsert_properties(batch, items)

    async def write_properties(
        self, work: Work, ids: Iterable[UUID], targets: Sequence[ModelKey], counts: Counts
    ) -> set[UUID]:
        """Within a turn: write those that exist, and forget those that do not in every version.

        Returns the ids of those that cannot be written, which ``counts`` has, too.
        """

        async def attempt(some: Sequence[UUID]) -> None:
            found = await properties.snapshot(work, some)
            gone = set(some).difference(found.ids)
            await self.index.delete_properties_everywhere(work.tenant_id, gone)
            await self.write(found, targets)
            counts.properties += len(found)
            counts.removed += len(gone)

        unwritable: set[UUID] = set()
        for some in batches(ids, PROPERTY_BATCH):
            unwritable |= await isolate(some, attempt)
            # At the change itself the index answered as before; now it answers anew.
            work.publish(Event(Topic.PROPERTIES))
        counts.unwritable[Marked.PROPERTY] |= unwritable
        return unwritable

    async def write_users(
        self, work: Work, ids: Iterable[UUID], targets: Sequence[ModelKey], counts: Counts
    ) -> set[UUID]:
        """Within a turn: write those with a history, and forget the others.

        Returns the ids of those that cannot be written, which ``counts`` has, too.
        """

        async def attempt(some: Sequence[UUID]) -> None:
            found = (await histories.get_many(work, some)).values()
            known = [history for history in found if len(history)]
            idle = [history.user_id for history in found if not len(history)]
            # A version without vectors of late may still have some of who is deleted.
            gone = set(idle).difference(await users.get_many(work, idle) if idle else ())
            await self.index.delete_users_everywhere(work.tenant_id, gone)
            for model in targets:
                space = self.index.space(model)
                await space.delete_users(idle)
                if known:
                    await space.upsert_users(await self.twin.interests(model, known))
            counts.users += len(known)

        unwritable: set[UUID] = set()
        for some in batches(ids, USER_BATCH):
            unwritable |= await isolate(some, attempt)
        counts.unwritable[Marked.USER] |= unwritable
        return unwritable


def batches(ids: Iterable[UUID], size: int) -> Iterator[list[UUID]]:
    """The ids, so many at a time."""
    remaining = iter(ids)
    while batch := list(islice(remaining, size)):
        yield batch
