"""The catalogues of a process: loaded when first asked for, kept up to date, and dropped."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from domain.contract.property_search import ActiveVersion
from domain.contract.snapshots import ModelKey, PropertyColumns, PropertyFeed
from ml.catalogue.catalogue import Catalogue
from ml.serving.loaded import SUPERSEDED_FOR, LoadedTwins
from ml.twin.items import Items
from ml.twin.observing import (
    CATALOGUE_BYTES,
    CATALOGUE_LOAD_SECONDS,
    CATALOGUE_PROPERTIES,
)

logger = logging.getLogger(__name__)

LOADED_AT_ONCE = 2
"""Catalogues that are loaded at a time; for tenants that wait, the index answers."""

AGAIN_AFTER = 10.0
"""Seconds before a catalogue that could not be loaded, or was too large, is tried again."""

CATCH_UP_WITHIN = 1.0
"""Seconds that a question waits for a catalogue to catch up; then PostgreSQL answers."""

READINGS = 3
"""How often a catalogue is read, one time after the other, if everything changes meanwhile."""


@dataclass(slots=True)
class _Kept:
    catalogue: Catalogue
    position: str
    used_at: float
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    nbytes: int = 0
    """Bytes of the catalogue after it was last written."""
    catching_up: asyncio.Task[bool] | None = None
    """Is going to read what is committed by then; None once that began."""


class TooLargeError(Exception):
    """A tenant has more properties than a catalogue may hold, or than there is memory for."""


class Catalogues:
    """The catalogues that this process answers from."""

    def __init__(
        self, feed: PropertyFeed, twins: LoadedTwins, *, memory: int = 2**30, limit: int = 1_000_000
    ) -> None:
        """Loads nothing yet.

        Args:
            feed: where the properties come from.
            twins: what computes their embeddings.
            memory: bytes that all catalogues may take; above it the least recently used one goes.
            limit: number of properties that a catalogue may hold.
        """
        self._feed = feed
        self._twins = twins
        self._memory = memory
        self._limit = limit
        self._kept: OrderedDict[ModelKey, _Kept] = OrderedDict()
        self._of_tenant: dict[UUID, list[ModelKey]] = {}
        self._loading: dict[ModelKey, asyncio.Task[None]] = {}
        self._catching_up: set[asyncio.Task[bool]] = set()
        self._refused: dict[ModelKey, float] = {}
        self._turns = asyncio.Semaphore(LOADED_AT_ONCE)

    def get(self, model: ModelKey) -> Catalogue | None:
        """The catalogue, or None if it is not in memory.

        In that case it begins to load, unless it was refused a moment ago as too large or broken.
        """
        if (kept := self._kept.get(model)) is not None:
            self._kept.move_to_end(model)
            kept.used_at = time.monotonic()
            return kept.catalogue
        if time.monotonic() >= self._refused.get(model, 0.0):
            self._begin(model)
        return None

    def __contains__(self, model: ModelKey) -> bool:
        """Whether the catalogue is loaded."""
        return model in self._kept

    def properties(self, tenant_id: UUID, ids: Sequence[UUID]) -> PropertyColumns | None:
        """A tenant's properties in the order of the ids, without labels; None unless it has all."""
        # The catalogues of all its versions hold the same properties.
        models = self._of_tenant.get(tenant_id)
        return self._kept[models[-1]].catalogue.properties(ids) if models else None

    def tenants(self) -> set[UUID]:
        """The tenants whose properties are in memory."""
        return set(self._of_tenant)

    async def current(self, tenant_id: UUID, active: ActiveVersion) -> Catalogue | None:
        """See ``PropertyMemory``."""
        if not (models := self._of_tenant.get(tenant_id)):
            if (version_id := await active()) is not None:
                self.get(ModelKey(tenant_id, version_id))
            return None
        # The catalogues of all its versions hold the same properties. That of a superseded
        # version does not stay for these questions: they do not change when it was last used.
        model = models[-1]
        self._kept.move_to_end(model)
        kept = self._kept[model]
        task = self._caught_up(model, kept)
        done, _ = await asyncio.wait({task}, timeout=CATCH_UP_WITHIN)
        return kept.catalogue if done and task.result() else None

    async def catch_up(self, tenant_id: UUID) -> None:
        """Bring the tenant's catalogues up to what is committed by now.

        If one cannot be brought up to date, it stays as it is, and the error is logged.
        """
        for model in list(self._of_tenant.get(tenant_id, ())):
            if (kept := self._kept.get(model)) is not None:
                await asyncio.wait({self._caught_up(model, kept)})

    async def follow(self, active: Mapping[UUID, UUID | None]) -> None:
        """Begin to load versions that became active, and drop those that they replaced.

        Only tenants in memory are followed. A replaced version stays for ``SUPERSEDED_FOR`` seconds
        after its last use.

        Args:
            active: the active version by tenant.
        """
        for tenant_id in self.tenants() & active.keys():
            version_id = active[tenant_id]
            if version_id is not None and ModelKey(tenant_id, version_id) not in self._kept:
                self._begin(ModelKey(tenant_id, version_id))
        idle_since = time.monotonic() - SUPERSEDED_FOR
        for model, kept in list(self._kept.items()):
            superseded = active.get(model.tenant_id, model.version_id) != model.version_id
            if superseded and kept.used_at < idle_since:
                self._forget(model)

    async def close(self) -> None:
        """Stop loading and catching up."""
        running = [*self._loading.values(), *self._catching_up]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self, model: ModelKey) -> None:
        if model not in self._loading:
            task = asyncio.create_task(self._load(model))
            self._loading[model] = task
            task.add_done_callback(lambda _: self._loading.pop(model, None))

    async def _load(self, model: ModelKey) -> None:
        try:
            for _ in range(READINGS):
                async with self._turns:
                    started = time.perf_counter()
                    kept = await self._read(model)
                    if not await self._apply(model, kept):
                        continue
                    self._keep(model, kept)
                    CATALOGUE_LOAD_SECONDS.observe(time.perf_counter() - started)
                # Reads changes whose notification came before this tenant was followed.
                if await self._apply(model, kept):
                    return
            raise RuntimeError(f"everything changed {READINGS} times while it was read")
        except Exception as error:
            self._refuse(model, error)

    def _caught_up(self, model: ModelKey, kept: _Kept) -> asyncio.Task[bool]:
        """The task that catches up with all that is committed by now; shared until it begins."""
        if kept.catching_up is None:
            kept.catching_up = task = asyncio.create_task(self._catch_up(model, kept))
            self._catching_up.add(task)
            task.add_done_callback(self._catching_up.discard)
        return kept.catching_up

    async def _catch_up(self, model: ModelKey, kept: _Kept) -> bool:
        """Bring a catalogue up to date. Returns False if that is not possible."""
        try:
            known = await self._apply(model, kept)
        except TooLargeError as error:
            if self._kept.get(model) is kept:
                self._refuse(model, error)
            return False
        except Exception:
            logger.warning(
                "the catalogue of version %s could not catch up", model.version_id, exc_info=True
            )
            return False
        if not known and self._kept.get(model) is kept:
            # The old catalogue answers until the new one is loaded.
            self._begin(model)
        return known

    def _keep(self, model: ModelKey, kept: _Kept) -> None:
        if model not in self._kept:
            self._of_tenant.setdefault(model.tenant_id, []).append(model)
        self._kept[model] = kept
        self._kept.move_to_end(model)
        self._refused.pop(model, None)
        self._make_room()

    async def _read(self, model: ModelKey) -> _Kept:
        # Checked before anything is read, and again below: the number may grow meanwhile.
        count = await self._feed.count(model.tenant_id)
        self._check_count(count)
        catalogue = Catalogue(count)
        position = await self._feed.position(model.tenant_id)
        async for columns in self._feed.batches(model.tenant_id):
            items = await self._items(model, columns)
            await asyncio.to_thread(catalogue.load, columns, items)
            self._check(catalogue)
        await asyncio.to_thread(catalogue.settle)
        return _Kept(catalogue, position, time.monotonic(), nbytes=catalogue.nbytes)

    async def _apply(self, model: ModelKey, kept: _Kept) -> bool:
        """Bring a catalogue up to date. Returns False if it has to be loaded anew.

        Raises TooLargeError if it is now larger than the limit or the memory.
        """
        async with kept.writing:
            # What is committed from here on may be missing: who asks now waits for another reading.
            kept.catching_up = None
            changes = await self._feed.changes(model.tenant_id, kept.position)
            if changes is None:
                return False
            if not len(changes.columns) and not changes.deleted:
                kept.position = changes.position
                return True
            # Without any, the version is not loaded: it may have been dropped for one in use.
            if len(changes.columns):
                items = await self._items(model, changes.columns)
                kept.catalogue.write(changes.columns, items)
            # In the same step of the event loop: no search sees half of what changed.
            kept.catalogue.delete(changes.deleted)
            kept.position = changes.position
            await kept.catalogue.tidy()
        kept.nbytes = kept.catalogue.nbytes
        self._check(kept.catalogue)
        self._make_room()
        return True

    def _check(self, catalogue: Catalogue) -> None:
        self._check_count(len(catalogue))
        if catalogue.nbytes > self._memory:
            raise TooLargeError(
                f"{len(catalogue):,} properties take more than {self._memory:,} bytes"
            )

    def _check_count(self, count: int) -> None:
        if count > self._limit:
            raise TooLargeError(f"{count:,} properties, of at most {self._limit:,}")

    async def _items(self, model: ModelKey, columns: PropertyColumns) -> Items:
        twin = await self._twins.get(model)
        # In a thread even for a few properties: no request waits for them.
        return await asyncio.to_thread(twin.items, columns)

    def _refuse(self, model: ModelKey, reason: Exception) -> None:
        """Let the index answer for ``AGAIN_AFTER`` seconds, and drop the catalogue if any."""
        if isinstance(reason, TooLargeError):
            logger.info("the index answers for version %s: %s", model.version_id, reason)
        else:
            logger.warning(
                "could not load the catalogue of version %s", model.version_id, exc_info=reason
            )
        self._refused[model] = time.monotonic() + AGAIN_AFTER
        for old in [one for one, until in self._refused.items() if until < time.monotonic()]:
            del self._refused[old]
        if model in self._kept:
            # It is out of date or too large.
            self._forget(model)

    def _make_room(self) -> None:
        while len(self._kept) > 1 and self._bytes() > self._memory:
            self._forget(next(iter(self._kept)))
        self._report()

    def _forget(self, model: ModelKey) -> None:
        del self._kept[model]
        self._of_tenant[model.tenant_id].remove(model)
        if not self._of_tenant[model.tenant_id]:
            del self._of_tenant[model.tenant_id]
        self._report()

    def _bytes(self) -> int:
        return sum(kept.nbytes for kept in self._kept.values())

    def _report(self) -> None:
        CATALOGUE_BYTES.set(self._bytes())
        CATALOGUE_PROPERTIES.set(sum(len(kept.catalogue) for kept in self._kept.values()))
