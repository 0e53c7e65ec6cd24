"""The embeddings of one tenant's one model version: written, deleted and searched here alone.

Tenants and model versions share two collections. They are kept apart by construction: points are
reached only through a ``Space``, which is bound to one tenant and version and puts both into the id
of every point it writes and into the filter of every call it makes.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, grpc, models

from domain.snapshots import ModelKey, PropertyColumns, PropertyFilter
from ml.candidates import (
    BELOW,
    EVERYTHING,
    MOST_TIES,
    Candidates,
    Source,
    exceeded,
    gather,
    mostly_ties,
)
from ml.filters import among, conditions, equals, payloads
from ml.index_rows import ROW, pack
from ml.model import DIMENSIONS
from ml.queries import nearest_to, nearest_to_any, only
from ml.reranker import Items

PROPERTIES = "property_embeddings"
USERS = "user_embeddings"

_NAMESPACE = UUID("6f0c3f52-3a54-5d0e-9b8a-6c1c64c9a3b1")
_BATCH = 1000


class Hit(NamedTuple):
    """A property that a search found, and its cosine with the query.

    Attributes:
        vector: its unit vector (16,); empty unless it was asked for.
    """

    property_id: UUID
    cosine: float
    vector: NDArray[np.float32]


class Space:
    """The points of one tenant's one model version; no call can reach another's."""

    def __init__(self, client: AsyncQdrantClient, model: ModelKey) -> None:
        self._client = client
        self._model = model

    async def upsert_properties(self, properties: PropertyColumns, items: Items) -> None:
        """Writes the properties as the space's version sees them; replaces those already there."""
        vectors = items.embedding.cpu().numpy()
        _check(vectors, len(properties))
        rows = [
            payload | {ROW: row}
            for payload, row in zip(payloads(properties), pack(properties.ids, items), strict=True)
        ]
        points = [self._point_id(value) for value in properties.ids]
        await self._upsert(PROPERTIES, points, vectors, rows)

    async def upsert_users(self, interests: Mapping[UUID, NDArray[np.float32]]) -> None:
        """Writes investors, one point for each of an investor's unit vectors (k, 16).

        Replaces what was there of them.
        """
        await self.delete_users(list(interests))
        owner = [user_id for user_id, some in interests.items() for _ in some]
        rank = [place for some in interests.values() for place in range(len(some))]
        if owner:
            await self._upsert(
                USERS,
                [self._point_id(one, place) for one, place in zip(owner, rank, strict=True)],
                np.concatenate(list(interests.values())),
                [
                    {"user_id": str(one), "interest": place}
                    for one, place in zip(owner, rank, strict=True)
                ],
            )

    async def delete_properties(self, ids: Collection[UUID]) -> None:
        """Deletes the properties; unknown ids are ignored."""
        if ids:
            owned = self._filter(must=[among("property_id", ids)])
            await self._client.delete(PROPERTIES, owned)

    async def delete_users(self, ids: Collection[UUID]) -> None:
        """Deletes the investors; unknown ids are ignored."""
        if ids:
            owned = self._filter(must=[among("user_id", ids)])
            await self._client.delete(USERS, owned)

    async def drop(self) -> None:
        """Deletes all properties and investors of the space."""
        for collection in (PROPERTIES, USERS):
            await self._client.delete(collection, self._filter())

    async def query(
        self,
        vector: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
        *,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """The ``limit`` properties nearest to the vector (16,), best first.

        The filter and the exclusions hold inside the search: the list is full if matches exist.
        Equal cosines are ordered by property id, and the smallest ids are the ones kept (among a
        thousand ties at the end of the list; beyond, which are kept is left to Qdrant).
        """
        if limit < 1:
            return []
        wanted = self._wanted(where, exclude)
        fetched = limit + 1
        while True:
            search = grpc.QueryPoints(
                query=nearest_to(vector),
                filter=wanted,
                limit=fetched,
                with_payload=only("property_id"),
                with_vectors=grpc.WithVectorsSelector(enable=with_vectors),
            )
            (points,) = await self._search([search])
            hits = [Hit(_property_id(point), point.score, _vector(point)) for point in points]
            # Where the last one asked for ties with one beyond it, smaller ids may follow.
            tied = len(hits) == fetched and hits[-1].cosine >= hits[limit - 1].cosine
            if not tied or fetched > limit + MOST_TIES:
                return sorted(hits, key=lambda hit: (-hit.cosine, hit.property_id))[:limit]
            fetched = limit + 4 * (fetched - limit)

    async def candidates(
        self,
        interests: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        sources: Sequence[Source],
        fields: Sequence[str] = (),
    ) -> Candidates:
        """The properties that are most like any of the interests (k, 16), k at least 1.

        The filter and the exclusions hold inside the search. All sources are searched in one call.

        Args:
            interests: unit vectors; a property counts by the nearest of them.
            where: the filter.
            exclude: ids that are not wanted.
            sources: how many of what; a property that several bring is there once.
            fields: further fields of the payload to bring along.
        """
        query = nearest_to_any(interests)

        def search(source: Source, limit: int) -> grpc.QueryPoints:
            return grpc.QueryPoints(
                query=query,
                filter=self._wanted(where, exclude, source.conditions),
                limit=limit,
                score_threshold=None if source.above is None else source.above - BELOW,
                with_payload=only(ROW, *fields),
            )

        limits = [one.limit + 1 if one.above is None else 2 * one.limit for one in sources]
        brought = await self._search(list(map(search, sources, limits)))
        for place, source in enumerate(sources):
            if mostly_ties(source, brought[place], limits[place]):
                limits[place] += MOST_TIES
                (brought[place],) = await self._search([search(source, limits[place])])
        above = tuple(map(exceeded, sources, brought, limits))
        return gather(brought, above, fields)

    async def investors(
        self,
        vectors: NDArray[np.float32],
        exclude: Collection[UUID],
        limit: int,
        above: float | None = None,
    ) -> tuple[list[UUID], float]:
        """The investors with an interest that is most like any of the vectors (k, 16).

        Args:
            vectors: unit vectors, at least one.
            exclude: investors that are not wanted.
            limit: how many; fewer where some are exactly as alike as the next.
            above: everyone who is more alike than this, up to twice the limit; None to find out
                what that is for the limit.

        Returns:
            The investors, the most alike first, and what all of them exceed in likeness.
        """
        unwanted = [among("user_id", exclude)] if exclude else None
        query = nearest_to_any(vectors)
        wanted = limit + 1 if above is None else 2 * limit
        # Each investor has as many points as interests; the nearest of them comes first.
        fetched = 2 * wanted
        while True:
            search = grpc.QueryPoints(
                query=query,
                filter=self._filter(must_not=unwanted),
                limit=fetched,
                score_threshold=None if above is None else above - BELOW,
                with_payload=only("user_id"),
            )
            (points,) = await self._search([search], USERS)
            nearest: dict[str, float] = {}
            for point in points:
                nearest.setdefault(point.payload["user_id"].string_value, point.score)
            if len(nearest) >= wanted or len(points) < fetched:
                break
            fetched *= 2
        if above is None:
            above = list(nearest.values())[limit] if len(nearest) > limit else EVERYTHING
        return [UUID(one) for one, score in nearest.items() if score > above], above

    async def interests(self, ids: Collection[UUID]) -> dict[UUID, NDArray[np.float32]]:
        """The unit vectors (k, 16) of those investors who have any."""
        found: dict[UUID, list[Any]] = {}
        if ids:
            owned = self._filter(must=[among("user_id", ids)])
            async for points in self._scroll(USERS, owned, "user_id", with_vectors=True):
                for point in points:
                    owner = UUID((point.payload or {})["user_id"])
                    found.setdefault(owner, []).append(point.vector)
        return {owner: np.array(vectors, dtype=np.float32) for owner, vectors in found.items()}

    async def count(self) -> int:
        """How many properties the space holds."""
        return await self._count(PROPERTIES)

    async def count_users(self) -> int:
        """How many interests of investors the space holds."""
        return await self._count(USERS)

    async def property_ids(self) -> set[UUID]:
        """The ids of all properties in the space."""
        return await self._ids(PROPERTIES, "property_id")

    async def user_ids(self) -> set[UUID]:
        """The ids of all investors in the space."""
        return await self._ids(USERS, "user_id")

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

    async def _count(self, collection: str) -> int:
        return (await self._client.count(collection, self._filter(), exact=True)).count

    async def _upsert(
        self,
        collection: str,
        ids: Sequence[str],
        vectors: NDArray[np.float32],
        payload: list[dict[str, Any]],
    ) -> None:
        _check(vectors, len(ids))
        own = {
            "tenant_id": str(self._model.tenant_id),
            "model_version": str(self._model.version_id),
        }
        for rows in _slices(len(ids)):
            batch = models.Batch(
                ids=list(ids[rows]),
                vectors=vectors[rows].tolist(),
                payloads=[own | one for one in payload[rows]],
            )
            await self._client.upsert(collection, batch)

    async def _search(
        self, searches: list[grpc.QueryPoints], collection: str = PROPERTIES
    ) -> list[list[grpc.ScoredPoint]]:
        """The points of each search, as the protocol has them.

        The client would turn every one of hundreds into models, which costs more than the search.
        """
        for one in searches:
            one.collection_name = collection
        request = grpc.QueryBatchPoints(collection_name=collection, query_points=searches)
        answer = await self._client.grpc_points.QueryBatch(request)
        return [list(one.result) for one in answer.result]

    def _wanted(
        self,
        where: PropertyFilter,
        exclude: Collection[UUID],
        further: Sequence[grpc.Condition] = (),
    ) -> grpc.Filter:
        """What matches, is not excluded, and meets the further conditions."""
        unwanted = [among("property_id", exclude)] if exclude else None
        return self._filter(must=[*conditions(where), *further], must_not=unwanted)

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


def _property_id(point: grpc.ScoredPoint) -> UUID:
    return UUID(point.payload["property_id"].string_value)


def _check(vectors: NDArray[np.float32], count: int) -> None:
    if vectors.shape != (count, DIMENSIONS):
        raise ValueError(
            f"{count} points need vectors of shape ({count}, {DIMENSIONS}), not {vectors.shape}"
        )


def _vector(point: grpc.ScoredPoint) -> NDArray[np.float32]:
    return np.array(point.vectors.vector.dense.data, dtype=np.float32)


def _slices(count: int) -> Iterator[slice]:
    """Stretches of at most ``_BATCH`` that cover ``range(count)``."""
    for first in range(0, count, _BATCH):
        yield slice(first, first + _BATCH)
