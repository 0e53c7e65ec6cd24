"""The index lock: whoever writes a tenant's vectors reads the rows and writes the vectors under it.

It is a lease, see ``domain.core.leases``, so it is held by one at a time: the last to write is the
last to have read, and no vector of an older state overwrites that of a newer one. What changes
while a new version is being filled reaches that version as well, for whoever takes the lock asks
anew which versions there are to write.

Rows are read in one short transaction, vectors are written in none, and what follows from that,
such as the end of a mark, is committed in another, with ``IndexLock.work``. What is committed in
between has marks of its own, which nobody deletes before the next holder has read its rows.
"""

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from math import inf
from typing import Any, TypeVar
from uuid import UUID

from domain.contract.snapshots import ModelKey, PropertyColumns
from domain.core.database import Database
from domain.core.errors import DomainError, not_found
from domain.core.leases import Held, LostLeaseError
from domain.core.work import Work
from domain.interactions import histories
from domain.jobs import index_outbox
from domain.jobs.index_outbox import IndexMark, Marked
from domain.model_registry import model_versions
from domain.model_registry.model_versions import SpaceState
from domain.properties import snapshots
from domain.users import users
from jobs.reindexing.isolation import isolate
from ml.index.index import EmbeddingIndex
from ml.serving.inference import TwinService
from ml.twin.artifacts import ArtifactError

logger = logging.getLogger(__name__)

PROPERTY_BATCH = 2000
USER_BATCH = 250
_PART = 500
"""Properties that are encoded while the index takes as many others."""

Value = TypeVar("Value")


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
class IndexLock:
    """A tenant's index, which nobody else writes; only ``Writer.index_lock`` makes one.

    Attributes:
        database: of the tenant.
        tenant_id: the tenant.
        lease: what the lock is.
        touched: what was written or deleted under it, as it would be marked.
    """

    database: Database
    tenant_id: UUID
    lease: Held
    touched: dict[Marked, set[UUID]] = field(default_factory=lambda: {one: set() for one in Marked})

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        """A transaction to commit what follows from what was written.

        Raises:
            LostLeaseError: somebody else may have written since.
        """
        async with self.database.work(self.tenant_id) as work:
            await self.lease.confirm(work)
            yield work


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the vectors of properties and investors."""

    database: Database
    index: EmbeddingIndex
    twin: TwinService

    @asynccontextmanager
    async def index_lock(self, tenant_id: UUID) -> AsyncIterator[IndexLock]:
        """Wait until nobody else writes vectors of the tenant, and keep others waiting.

        Raises:
            DomainError: NOT_FOUND if the tenant was deleted; the index holds nothing of it then.
            LostLeaseError: somebody else may have taken over meanwhile, so that what was written
                may have come after newer vectors. It is marked, to be written again.
        """
        lock = None
        try:
            async with self.exclusive(tenant_id, "index", wait=inf) as lease:
                lock = IndexLock(self.database, tenant_id, lease)
                yield lock
        finally:
            if lock is not None and lock.lease.lost:
                await _uninterrupted(self._mark_again(lock))

    @asynccontextmanager
    async def exclusive(
        self, tenant_id: UUID, purpose: str, wait: float = 0.0
    ) -> AsyncIterator[Held]:
        """``Database.exclusive``; of a tenant that was deleted meanwhile, all vectors are, too."""
        try:
            async with self.database.exclusive(tenant_id, purpose, wait=wait) as lease:
                yield lease
        except (DomainError, LostLeaseError):
            async with self.database.work(tenant_id) as work:
                exists = await work.hold_tenant()
            if exists:
                raise
            await self.index.keep_versions(tenant_id, ())
            raise not_found("tenant") from None

    @staticmethod
    async def _mark_again(lock: IndexLock) -> None:
        try:
            async with lock.database.work(lock.tenant_id) as work:
                if await work.hold_tenant():
                    for kind, ids in lock.touched.items():
                        await index_outbox.mark_again(work, kind, sorted(ids))
        except Exception:
            # The comparison of the next nights finds what is out of date.
            found = {str(kind): len(ids) for kind, ids in lock.touched.items()}
            logger.exception("what was written may be out of date, and is not marked: %s", found)

    async def targets(self, tenant_id: UUID, only: UUID | None = None) -> list[ModelKey]:
        """The versions to write: all that have anything in the index, of those ``only`` that one.

        One that this code cannot read, as a worker of another release may, is left out if it
        neither answers nor is being filled: see ``unmark``.

        Raises:
            ArtifactError: another one, or ``only``, cannot be read. Whoever can will write it.
        """
        async with self.database.work(tenant_id) as work:
            indexed = await model_versions.indexed(work)
        found = []
        for version_id in indexed:
            if only not in (None, version_id):
                continue
            model = ModelKey(tenant_id, version_id)
            try:
                await self.twin.loaded.get(model)
            except ArtifactError as error:
                if only or await self._is_wanted(model):
                    raise
                logger.error("version %s is not kept in the index: %s", version_id, error)
            else:
                found.append(model)
        return found

    async def _is_wanted(self, model: ModelKey) -> bool:
        async with self.database.work(model.tenant_id) as work:
            version = await model_versions.get(work, model.version_id)
            is_complete = version.space is SpaceState.COMPLETE
            return not is_complete or await model_versions.answers(work, model.version_id)

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
        await index_outbox.unmark(work, done)

    async def write(
        self, lock: IndexLock, batch: PropertyColumns, targets: Iterable[ModelKey]
    ) -> None:
        """Write properties that were read under the lock, in every version of ``targets``."""
        if len(batch):
            lock.touched[Marked.PROPERTY].update(batch.ids)
            parts = [batch.take(rows) for rows in batches(range(len(batch)), _PART)]
            await _overlapping(
                partial(self._write, model, part) for model in targets for part in parts
            )

    async def _write(self, model: ModelKey, part: PropertyColumns) -> None:
        items = await self.twin.items(model, part)
        await self.index.space(model).upsert_properties(part, items)

    async def write_properties(
        self, lock: IndexLock, ids: Iterable[UUID], targets: Sequence[ModelKey], counts: Counts
    ) -> set[UUID]:
        """Write those that exist, and forget those that do not in every version.

        Returns the ids of those that cannot be written, which ``counts`` has, too.
        """

        async def attempt(some: Sequence[UUID]) -> None:
            async with self.database.work(lock.tenant_id) as work:
                found = await snapshots.snapshot(work, some)
            gone = set(some).difference(found.ids)
            lock.touched[Marked.PROPERTY].update(gone)
            await self.index.delete_properties_everywhere(lock.tenant_id, gone)
            await self.write(lock, found, targets)
            counts.properties += len(found)
            counts.removed += len(gone)

        unwritable: set[UUID] = set()
        for some in batches(ids, PROPERTY_BATCH):
            unwritable |= await isolate(some, attempt)
        counts.unwritable[Marked.PROPERTY] |= unwritable
        return unwritable

    async def write_users(
        self, lock: IndexLock, ids: Iterable[UUID], targets: Sequence[ModelKey], counts: Counts
    ) -> set[UUID]:
        """Write those with a history, and forget the others.

        Returns the ids of those that cannot be written, which ``counts`` has, too.
        """

        async def attempt(some: Sequence[UUID]) -> None:
            async with self.database.work(lock.tenant_id) as work:
                found = (await histories.get_many(work, some)).values()
                idle = [history.user_id for history in found if not len(history)]
                # A version without vectors of late may still have some of who is deleted.
                gone = set(idle).difference(await users.get_many(work, idle) if idle else ())
            known = [history for history in found if len(history)]
            lock.touched[Marked.USER].update(some)
            await self.index.delete_users_everywhere(lock.tenant_id, gone)
            for model in targets:
                space = self.index.space(model)
                await space.delete_users(idle)
                if known:
                    await space.upsert_users(await self.twin.interests(model, known))
            counts.users += len(known)

        done = await _overlapping(
            partial(isolate, some, attempt) for some in batches(ids, USER_BATCH)
        )
        unwritable = set().union(*done)
        counts.unwritable[Marked.USER] |= unwritable
        return unwritable


async def _overlapping(work: Iterable[Callable[[], Awaitable[Value]]]) -> list[Value]:
    """What the pieces of work return, done two at a time: the index takes one, the next is made.

    Nothing is written behind the index lock's back: where one fails, the others are waited for.
    """
    slots = asyncio.Semaphore(2)

    async def do(piece: Callable[[], Awaitable[Value]]) -> Value:
        async with slots:
            return await piece()

    done = await asyncio.gather(*map(do, work), return_exceptions=True)
    found: list[Value] = []
    for one in done:
        if isinstance(one, BaseException):
            raise one
        found.append(one)
    return found


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Finish the work even if cancelled meanwhile, as by the loss of a second lease."""
    task, cancelled = asyncio.create_task(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    task.result()


def batches(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """The values, so many at a time."""
    remaining = iter(values)
    while batch := list(islice(remaining, size)):
        yield batch
