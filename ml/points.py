"""The points of one tenant's one model version in Qdrant.

Tenants and model versions share two collections. They are kept apart by construction: points are
reached only through ``Points``, which is bound to one tenant and version and puts both into the id
of every point it writes and into the filter of every call it makes.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, grpc, models

from domain.snapshots import ModelKey
from ml.filters import equals
from ml.model import DIMENSIONS

PROPERTIES = "property_embeddings"
USERS = "user_embeddings"

TIMEOUT = 30
"""Seconds that a call of Qdrant may take."""

_NAMESPACE = UUID("6f0c3f52-3a54-5d0e-9b8a-6c1c64c9a3b1")
_BATCH = 1000


class Points:
    """What ``ml.space.Space`` is made of; no call can reach another's points."""

    def __init__(self, client: AsyncQdrantClient, model: ModelKey) -> None:
        self._client = client
        self._model = model
        self._own = {"tenant_id": str(model.tenant_id), "model_version": str(model.version_id)}

    async def _upsert(
        self,
        collection: str,
        ids: Sequence[str],
        vectors: NDArray[np.float32],
        payload: list[dict[str, Any]],
    ) -> None:
        for rows in _slices(len(ids)):
            batch = models.Batch(
                ids=list(ids[rows]),
                vectors=vectors[rows].tolist(),
                payloads=[self._own | one for one in payload[rows]],
            )
            await self._client.upsert(collection, batch)

    async def _search(
        self, searches: list[grpc.QueryPoints], collection: str = PROPERTIES
    ) -> list[list[grpc.ScoredPoint]]:
        """The points of each search, as the protocol has them.

        The client would turn every one of hundreds into models, which costs more than the search.
        Its timeout does not hold for calls past it.
        """
        for one in searches:
            one.collection_name = collection
        request = grpc.QueryBatchPoints(collection_name=collection, query_points=searches)
        answer = await self._client.grpc_points.QueryBatch(request, timeout=TIMEOUT)
        return [list(one.result) for one in answer.result]

    async def _ids(self, collection: str, field: str) -> set[UUID]:
        return {
            UUID((point.payload or {})[field])
            async for points in self._scroll(collection, self._filter(), field)
            for point in points
        }

    async def _scroll(
        self, collection: str, wanted: grpc.Filter, field: str, *, with_vectors: bool = False
    ) -> AsyncIterator[list[models.Record]]:
        """All points that match, in batches, with one field of their payload."""
        offset: Any = None
        while True:
            points, offset = await self._client.scroll(
                collection,
                scroll_filter=wanted,
                limit=_BATCH,
                offset=offset,
                with_payload=[field],
                with_vectors=with_vectors,
            )
            yield points
            if offset is None:
                return

    def _filter(
        self,
        must: Sequence[grpc.Condition] = (),
        must_not: list[grpc.Condition] | None = None,
    ) -> grpc.Filter:
        """The given conditions within the space; every read and delete goes through here."""
        own = [
            equals("tenant_id", self._model.tenant_id),
            equals("model_version", self._model.version_id),
        ]
        return grpc.Filter(must=[*own, *must], must_not=must_not)

    def _point_id(self, value: UUID, place: int = 0) -> str:
        """The id of the point of a property, or of an investor's interest, in the space."""
        name = f"{self._model.tenant_id}:{self._model.version_id}:{value}"
        return str(uuid5(_NAMESPACE, f"{name}:{place}" if place else name))


def check_shape(vectors: NDArray[np.float32], count: int) -> None:
    """Raises ValueError unless there are so many vectors, of ``DIMENSIONS`` numbers each."""
    if vectors.shape != (count, DIMENSIONS):
        raise ValueError(
            f"{count} points need vectors of shape ({count}, {DIMENSIONS}), not {vectors.shape}"
        )


def _slices(count: int) -> Iterator[slice]:
    """Stretches of at most ``_BATCH`` that cover ``range(count)``."""
    for first in range(0, count, _BATCH):
        yield slice(first, first + _BATCH)
