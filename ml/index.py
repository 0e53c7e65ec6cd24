"""The embeddings in Qdrant: written after training, searched by every recommendation.

Tenants and model versions share two collections. They are kept apart by construction: points are
reached only through a ``Space``, which is bound to one tenant and version and puts both into the id
of every point it writes and into the filter of every call it makes.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models

from domain.snapshots import ModelKey, PropertyColumns, PropertyFilter
from ml.filters import PAYLOAD_INDEXES, conditions, payloads
from ml.model import DIMENSIONS

PROPERTIES = "property_embeddings"
USERS = "user_embeddings"

_NAMESPACE = UUID("6f0c3f52-3a54-5d0e-9b8a-6c1c64c9a3b1")
_BATCH = 1000
# Qdrant's own threshold is meant for vectors of a thousand dimensions; of ours, hundreds of
# thousands would stay without a graph.
_GRAPH_FROM_KB = 500
_MOST_TIES = 1000
_TENANT = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)


class Hit(NamedTuple):
    """A property that a search found, its cosine with the query, and its unit vector (16,)."""

    property_id: UUID
    cosine: float
    vector: NDArray[np.float32]


class EmbeddingIndex:
    """The two collections, on a client that the caller opens and closes."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self._client = client

    async def ensure_collections(self) -> None:
        """Creates what is absent of the collections and their payload indexes.

        Raises ValueError if a collection exists with other vectors than ours.
        """
        own: dict[str, models.PayloadSchemaType | models.KeywordIndexParams] = {
            "tenant_id": _TENANT,
            "model_version": models.PayloadSchemaType.KEYWORD,
        }
        for name, indexes in (
            (PROPERTIES, own | PAYLOAD_INDEXES),
            (USERS, own | {"user_id": models.PayloadSchemaType.KEYWORD}),
        ):
            await self._ensure_collection(name)
            for field, schema in indexes.items():
                await self._client.create_payload_index(name, field, field_schema=schema)

    async def ping(self) -> None:
        """Checks that Qdrant answers. Raises what its client raises if it does not."""
        await self._client.collection_exists(PROPERTIES)

    def space(self, model: ModelKey) -> "Space":
        """The points of one tenant's one model version. Costs nothing."""
        return Space(self._client, model)

    async def delete_property_everywhere(self, tenant_id: UUID, ids: Collection[UUID]) -> None:
        """Deletes the tenant's properties from all of its versions; unknown ids are ignored."""
        if not ids:
            return
        owned: list[models.Condition] = [
            _equals("tenant_id", tenant_id),
            _among("property_id", ids),
        ]
        await self._client.delete(
            PROPERTIES, models.FilterSelector(filter=models.Filter(must=owned))
        )

    async def _ensure_collection(self, name: str) -> None:
        wanted = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
        if not await self._client.collection_exists(name):
            try:
                await self._client.create_collection(
                    name,
                    vectors_config=wanted,
                    hnsw_config=models.HnswConfigDiff(full_scan_threshold=_GRAPH_FROM_KB),
                    optimizers_config=models.OptimizersConfigDiff(
                        indexing_threshold=_GRAPH_FROM_KB
                    ),
                )
            except Exception:
                # Another process may have created it in the meantime, which is as good.
                if not await self._client.collection_exists(name):
                    raise
        found = (await self._client.get_collection(name)).config.params.vectors
        if not isinstance(found, models.VectorParams) or (found.size, found.distance) != (
            wanted.size,
            wanted.distance,
        ):
            raise ValueError(
                f"Qdrant collection {name!r} holds {found!r}, not {DIMENSIONS} dimensions with "
                "cosine distance: it belongs to something else; use another Qdrant"
            )


class Space:
    """The points of one tenant's one model version; no call can reach another's."""

    def __init__(self, client: AsyncQdrantClient, model: ModelKey) -> None:
        self._client = client
        self._model = model

    async def upsert_properties(
        self, properties: PropertyColumns, vectors: NDArray[np.float32]
    ) -> None:
        """Writes the properties with their unit vectors (n, 16); replaces those already there."""
        await self._upsert(PROPERTIES, properties.ids, vectors, payloads(properties))

    async def upsert_users(self, ids: Sequence[UUID], vectors: NDArray[np.float32]) -> None:
        """Writes the investors with their unit vectors (n, 16); replaces those already there."""
        await self._upsert(USERS, ids, vectors, [{"user_id": str(value)} for value in ids])

    async def delete_properties(self, ids: Collection[UUID]) -> None:
        """Deletes the properties; unknown ids are ignored."""
        if ids:
            owned = self._filter(must=[_among("property_id", ids)])
            await self._client.delete(PROPERTIES, models.FilterSelector(filter=owned))

    async def delete_users(self, ids: Collection[UUID]) -> None:
        """Deletes the investors; unknown ids are ignored."""
        if ids:
            owned = self._filter(must=[_among("user_id", ids)])
            await self._client.delete(USERS, models.FilterSelector(filter=owned))

    async def drop(self) -> None:
        """Deletes all properties and investors of the space."""
        for collection in (PROPERTIES, USERS):
            await self._client.delete(collection, models.FilterSelector(filter=self._filter()))

    async def query(
        self,
        vector: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
    ) -> list[Hit]:
        """The ``limit`` properties nearest to the vector (16,), see ``query_batch``."""
        return (await self.query_batch(vector[None], where, exclude, limit))[0]

    async def query_batch(
        self,
        vectors: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
    ) -> list[list[Hit]]:
        """For each of the vectors (q, 16) the ``limit`` nearest properties, best first.

        The filter and the exclusions hold inside the search: lists are full if matches exist.
        Equal cosines are ordered by property id, and the smallest ids are the ones kept (among a
        thousand ties at the end of the list; beyond, which are kept is left to Qdrant).
        """
        if limit < 1 or not len(vectors):
            return [[] for _ in vectors]
        unwanted = [_among("property_id", exclude)] if exclude else None
        wanted = self._filter(must=conditions(where), must_not=unwanted)
        fetched = limit + 1
        while True:
            requests = [
                models.QueryRequest(
                    query=vector.tolist(),
                    filter=wanted,
                    limit=fetched,
                    with_payload=["property_id"],
                    with_vector=True,
                )
                for vector in vectors
            ]
            responses = await self._client.query_batch_points(PROPERTIES, requests)
            lists = [[_hit(point) for point in response.points] for response in responses]
            # Where the last one asked for ties with one beyond it, smaller ids may follow.
            tied = any(
                len(hits) == fetched and hits[-1].cosine >= hits[limit - 1].cosine for hits in lists
            )
            if not tied or fetched > limit + _MOST_TIES:
                ordered = (
                    sorted(hits, key=lambda hit: (-hit.cosine, hit.property_id)) for hits in lists
                )
                return [hits[:limit] for hits in ordered]
            fetched = limit + 4 * (fetched - limit)

    async def count(self) -> int:
        """How many properties the space holds."""
        return await self._count(PROPERTIES)

    async def count_users(self) -> int:
        """How many investors the space holds."""
        return await self._count(USERS)

    async def property_ids(self) -> set[UUID]:
        """The ids of all properties in the space."""
        ids: set[UUID] = set()
        offset: Any = None
        while True:
            points, offset = await self._client.scroll(
                PROPERTIES,
                scroll_filter=self._filter(),
                limit=_BATCH,
                offset=offset,
                with_payload=["property_id"],
            )
            ids.update(UUID((point.payload or {})["property_id"]) for point in points)
            if offset is None:
                return ids

    async def _count(self, collection: str) -> int:
        return (await self._client.count(collection, self._filter(), exact=True)).count

    async def _upsert(
        self,
        collection: str,
        ids: Sequence[UUID],
        vectors: NDArray[np.float32],
        payload: list[dict[str, Any]],
    ) -> None:
        if vectors.shape != (len(ids), DIMENSIONS):
            raise ValueError(
                f"{len(ids)} points need vectors of shape ({len(ids)}, {DIMENSIONS}), "
                f"not {vectors.shape}"
            )
        own = {
            "tenant_id": str(self._model.tenant_id),
            "model_version": str(self._model.version_id),
        }
        points: list[int | str | UUID] = [self._point_id(value) for value in ids]
        for rows in _slices(len(ids)):
            batch = models.Batch(
                ids=points[rows],
                vectors=vectors[rows].tolist(),
                payloads=[own | one for one in payload[rows]],
            )
            await self._client.upsert(collection, batch)

    def _filter(
        self,
        must: Sequence[models.Condition] = (),
        must_not: list[models.Condition] | None = None,
    ) -> models.Filter:
        """The given conditions within the space; every read and delete goes through here."""
        own = [
            _equals("tenant_id", self._model.tenant_id),
            _equals("model_version", self._model.version_id),
        ]
        return models.Filter(must=[*own, *must], must_not=must_not)

    def _point_id(self, value: UUID) -> str:
        """A property or investor has one point per tenant and version."""
        return str(uuid5(_NAMESPACE, f"{self._model.tenant_id}:{self._model.version_id}:{value}"))


def _equals(key: str, value: UUID) -> models.Condition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=str(value)))


def _among(key: str, values: Collection[UUID]) -> models.Condition:
    match = models.MatchAny(any=[str(value) for value in values])
    return models.FieldCondition(key=key, match=match)


def _hit(point: models.ScoredPoint) -> Hit:
    payload = point.payload or {}
    return Hit(
        UUID(payload["property_id"]), point.score, np.asarray(point.vector, dtype=np.float32)
    )


def _slices(count: int) -> Iterator[slice]:
    """Stretches of at most ``_BATCH`` that cover ``range(count)``."""
    for first in range(0, count, _BATCH):
        yield slice(first, first + _BATCH)
