"""Twins kept in memory: each version loaded once, few of them, none for long after its time."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import torch

from domain.contract.snapshots import ModelKey, ModelLoader
from ml.twin.artifacts import unpack
from ml.twin.observing import EVICTIONS, LOADED, LOADS
from ml.twin.scoring import LoadedTwin

logger = logging.getLogger(__name__)

SUPERSEDED_FOR = 60.0
"""Seconds since its last use that a version is kept which is not its tenant's active one."""


@dataclass(slots=True)
class _Kept:
    twin: LoadedTwin
    used_at: float


class LoadedTwins:
    """The versions that this process computes with."""

    def __init__(self, load: ModelLoader, device: torch.device, capacity: int) -> None:
        """Loads nothing yet.

        Args:
            load: fetches a version; what it raises reaches whoever asked.
            device: where the weights go.
            capacity: most versions kept, at least 1; the least recently used one goes.

        Raises:
            ValueError: if the capacity is below 1.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1: {capacity}")
        self._load = load
        self._device = device
        self._capacity = capacity
        self._kept: OrderedDict[ModelKey, _Kept] = OrderedDict()
        self._loading: dict[ModelKey, asyncio.Task[LoadedTwin]] = {}

    async def get(self, model: ModelKey) -> LoadedTwin:
        """The version; concurrent callers for one that is absent share a single load."""
        if (kept := self._kept.get(model)) is not None:
            self._kept.move_to_end(model)
            kept.used_at = time.monotonic()
            return kept.twin
        if (task := self._loading.get(model)) is None:
            task = asyncio.create_task(self._fetch(model))
            self._loading[model] = task
            task.add_done_callback(lambda _: self._loading.pop(model, None))
        # Shielded: a request that is cancelled must not fail the others that wait.
        return await asyncio.shield(task)

    def models(self) -> list[ModelKey]:
        """What is in memory, the least recently used first."""
        return list(self._kept)

    def tenants(self) -> set[UUID]:
        """Who has a version in memory."""
        return {model.tenant_id for model in self._kept}

    async def follow(self, active: Mapping[UUID, UUID | None]) -> None:
        """Load what became active before a request asks for it, and let go of what it replaced.

        A version that is not active stays for ``SUPERSEDED_FOR`` seconds after its last use: some
        requests finish on the version they began with, and an experiment goes on using it.

        Args:
            active: the active version by tenant. Of one without anything in memory none is loaded:
                its requests may all go to other processes.
        """
        for tenant in self.tenants() & active.keys():
            version = active[tenant]
            if version is not None and ModelKey(tenant, version) not in self._kept:
                try:
                    await self.get(ModelKey(tenant, version))
                except Exception:
                    # The next request says so to whoever asked.
                    logger.warning("could not load version %s ahead", version, exc_info=True)
        idle_since = time.monotonic() - SUPERSEDED_FOR
        for model, kept in list(self._kept.items()):
            superseded = active.get(model.tenant_id, model.version_id) != model.version_id
            if superseded and kept.used_at < idle_since:
                self._forget(model)

    async def _fetch(self, model: ModelKey) -> LoadedTwin:
        twin = LoadedTwin(unpack(await self._load(model), self._device), self._device)
        self._kept[model] = _Kept(twin, time.monotonic())
        LOADS.inc()
        while len(self._kept) > self._capacity:
            self._forget(next(iter(self._kept)))
        LOADED.set(len(self._kept))
        return twin

    def _forget(self, model: ModelKey) -> None:
        del self._kept[model]
        EVICTIONS.inc()
        LOADED.set(len(self._kept))
