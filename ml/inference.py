"""Trained twins at work: loaded once, kept within bounds, and run where the request is.

Encoding one property takes about a tenth of a millisecond, less than handing it to a thread, so
small batches run inline on one thread; only large ones leave the event loop.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import cast
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray

from domain.snapshots import (
    HISTORY_LIMIT,
    InvestorHistory,
    ModelKey,
    ModelLoader,
    PropertyColumns,
    PropertyFilter,
    Ranked,
    Similar,
)
from ml.artifacts import Artifact, unpack
from ml.dataset import KIND_WEIGHTS, YEAR
from ml.features import encode
from ml.index import EmbeddingIndex
from ml.model import DIMENSIONS
from ml.training import pick_device

_LARGE_BATCH = 4096
"""Properties above which embedding takes milliseconds and moves to a thread."""


class TwinService:
    """Implements ``domain.snapshots.Twin`` over an index and a loader of stored versions."""

    def __init__(
        self,
        index: EmbeddingIndex,
        load: ModelLoader,
        device: str = "auto",
        capacity: int = 8,
    ) -> None:
        """Loads nothing yet. On the CPU it sets torch to one thread for the whole process.

        Args:
            index: where the embeddings of every served version are.
            load: fetches a version; what it raises reaches the caller of the request.
            device: "auto", "cpu" or "cuda".
            capacity: most versions kept loaded, at least 1; the least recently used one goes.

        Raises:
            ValueError: if the capacity is below 1, or CUDA is asked for and absent.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1: {capacity}")
        self._index = index
        self._load = load
        self._device = pick_device(device)
        self._capacity = capacity
        self._loaded: OrderedDict[ModelKey, LoadedTwin] = OrderedDict()
        self._loading: dict[ModelKey, asyncio.Task[LoadedTwin]] = {}
        if self._device.type == "cpu":
            torch.set_num_threads(1)

    async def rank(
        self,
        model: ModelKey,
        investor: InvestorHistory,
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
    ) -> list[Ranked]:
        """See ``Twin.rank``."""
        twin = await self._twin(model)
        _require_approval(investor)
        history = twin.embed_history(investor)
        vector = twin.investor_vector(investor, history)
        hits = await self._index.space(model).query(vector, where, exclude, limit)
        if not hits:
            return []
        liked = np.flatnonzero(KIND_WEIGHTS[investor.kind[:HISTORY_LIMIT]] > 0)
        likeness = np.stack([hit.vector for hit in hits]) @ history[liked].T
        # The first of equals is the newest, as histories are.
        nearest = likeness.argmax(axis=1)
        scores = twin.affinity(np.array([hit.cosine for hit in hits]))
        return [
            Ranked(
                property_id=hit.property_id,
                score=float(scores[place]),
                nearest=investor.properties.ids[liked[nearest[place]]],
                nearest_similarity=_likeness(float(likeness[place, nearest[place]])),
            )
            for place, hit in enumerate(hits)
        ]

    async def similar(
        self,
        model: ModelKey,
        anchor: PropertyColumns,
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
    ) -> list[Similar]:
        """See ``Twin.similar``. The anchor itself is never among them.

        Raises ValueError unless the anchor is one row.
        """
        if len(anchor) != 1:
            raise ValueError(f"similar needs one anchor property, not {len(anchor)}")
        vector = (await self._twin(model)).embed(anchor)[0]
        unwanted = {*exclude, *anchor.ids}
        hits = await self._index.space(model).query(vector, where, unwanted, limit)
        return [Similar(hit.property_id, _likeness(hit.cosine)) for hit in hits]

    async def score(
        self, model: ModelKey, investors: Sequence[InvestorHistory], properties: PropertyColumns
    ) -> NDArray[np.float64]:
        """See ``Twin.score``."""
        twin = await self._twin(model)
        vectors = np.zeros((len(investors), DIMENSIONS), dtype=np.float32)
        for row, investor in enumerate(investors):
            _require_approval(investor)
            vectors[row] = twin.investor_vector(investor, twin.embed_history(investor))
        embeddings = await self.embed(model, properties)
        return twin.affinity((vectors @ embeddings.T).astype(np.float64))

    async def embed(self, model: ModelKey, properties: PropertyColumns) -> NDArray[np.float32]:
        """See ``Twin.embed``."""
        twin = await self._twin(model)
        if len(properties) > _LARGE_BATCH:
            return await asyncio.to_thread(twin.embed, properties)
        return twin.embed(properties)

    async def investor_vector(
        self, model: ModelKey, investor: InvestorHistory
    ) -> NDArray[np.float32]:
        """Where the investor stands among the properties: a unit vector, float32 (16,).

        Zeros for an empty history. What ``rank`` searches with, and what the index's
        ``user_embeddings`` holds.
        """
        twin = await self._twin(model)
        return twin.investor_vector(investor, twin.embed_history(investor))

    async def _twin(self, model: ModelKey) -> "LoadedTwin":
        """The loaded version; concurrent requests for an absent one share a single load."""
        if (twin := self._loaded.get(model)) is not None:
            self._loaded.move_to_end(model)
            return twin
        if (task := self._loading.get(model)) is None:
            task = asyncio.create_task(self._fetch(model))
            self._loading[model] = task
            task.add_done_callback(lambda _: self._loading.pop(model, None))
        # Shielded: a request that is cancelled must not fail the others that wait.
        return await asyncio.shield(task)

    async def _fetch(self, model: ModelKey) -> "LoadedTwin":
        twin = LoadedTwin(unpack(await self._load(model), self._device), self._device)
        self._loaded[model] = twin
        while len(self._loaded) > self._capacity:
            self._loaded.popitem(last=False)
        return twin


class LoadedTwin:
    """One version, ready to compute. Knows no index; its methods never wait."""

    def __init__(self, artifact: Artifact, device: torch.device) -> None:
        self._model = artifact.model
        self._statistics = artifact.statistics
        self._device = device
        self.affinity = artifact.calibration

    @torch.inference_mode()
    def embed(self, properties: PropertyColumns) -> NDArray[np.float32]:
        """Unit vectors, float32 (n, 16)."""
        features = torch.from_numpy(encode(properties, self._statistics)).to(self._device)
        return cast(NDArray[np.float32], self._model.property(features).cpu().numpy())

    def embed_history(self, investor: InvestorHistory) -> NDArray[np.float32]:
        """Unit vectors of the newest ``HISTORY_LIMIT`` properties acted on, float32 (h, 16)."""
        recent = range(min(len(investor), HISTORY_LIMIT))
        return self.embed(investor.properties.take(recent))

    @torch.inference_mode()
    def investor_vector(
        self, investor: InvestorHistory, history: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The investor's unit vector (16,) from what ``embed_history`` gave."""
        count = len(history)
        age = np.maximum(0.0, investor.as_of - investor.occurred_at[:count]) / YEAR
        vector = self._model.investor(
            torch.from_numpy(history)[None].to(self._device),
            torch.as_tensor(investor.kind[:count], dtype=torch.int64, device=self._device)[None],
            torch.as_tensor(age, dtype=torch.float32, device=self._device)[None],
            torch.ones((1, count), dtype=torch.bool, device=self._device),
        )
        return cast(NDArray[np.float32], vector[0].cpu().numpy())


def _require_approval(investor: InvestorHistory) -> None:
    if not (KIND_WEIGHTS[investor.kind[:HISTORY_LIMIT]] > 0).any():
        raise ValueError(
            f"investor {investor.user_id} has approved of nothing yet: "
            "there is nothing to rank or score by"
        )


def _likeness(cosine: float) -> float:
    """A cosine mapped to [0, 1]."""
    return min(1.0, max(0.0, (1 + cosine) / 2))
