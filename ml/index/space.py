"""The embeddings of one tenant's one model version: written, deleted and searched here alone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import BuyBox, OutdatedIndexError, PropertyColumns
from ml.catalogue.candidates import NO_FLOOR, TOLERANCE, Candidates, Hits, Source, floor_of
from ml.catalogue.property_ids import PropertyIds, as_bytes
from ml.index.contents import Contents
from ml.index.filters import (
    among,
    at_least,
    both,
    conditions,
    either,
    payloads,
    unowned,
    within_any,
)
from ml.index.index_rows import ROW, pack, unpack
from ml.index.points import aside, check_shape
from ml.index.queries import nearest_to, nearest_to_any, only, to_cosine, to_score
from ml.twin.buy_box import FIELDS, columns_of, share_met
from ml.twin.items import Items
from ml.twin.observing import searching
from ml.twin.towers import DIMENSIONS, INTERESTS

_MOST_TIES = 1000
"""Points that are read beyond those asked for where the last ones tie."""


class Space(Contents):
    """The points of one tenant's one model version; no call can reach another's.

    Implements ``CandidateGenerator``, up to the approximation of Qdrant's graph.
    """

    async def upsert_properties(self, properties: PropertyColumns, items: Items) -> None:
        """Writes the properties as the space's version sees them; replaces those already there."""
        vectors = items.embedding.cpu().numpy()
        check_shape(vectors, len(properties))

        def points() -> tuple[list[str], list[dict[str, Any]]]:
            rows = payloads(properties)
            for payload, row in zip(rows, pack(properties.ids, items), strict=True):
                payload[ROW] = row
            return [self._point_id(value) for value in properties.ids], rows

        ids, rows = await aside(len(properties), points)
        await self._upsert(self._properties, ids, vectors, rows)

    async def upsert_users(self, interests: Mapping[UUID, NDArray[np.float32]]) -> None:
        """Writes investors, one point for each of an investor's unit vectors (k, 16).

        Replaces what was there of them; whoever searches meanwhile finds each by one or the other.
        """
        owner = [user_id for user_id, some in interests.items() for _ in some]
        rank = [place for some in interests.values() for place in range(len(some))]
        if owner:
            vectors = np.concatenate(list(interests.values()))
            check_shape(vectors, len(owner))
            await self._upsert(
                self._users,
                [self._point_id(one, place) for one, place in zip(owner, rank, strict=True)],
                vectors,
                [
                    {"user_id": str(one), "interest": place}
                    for one, place in zip(owner, rank, strict=True)
                ],
            )
        by_count: dict[int, list[UUID]] = {}
        for user_id, some in interests.items():
            if len(some) < INTERESTS:
                by_count.setdefault(len(some), []).append(user_id)
        if by_count:
            left_over = [
                both(among("user_id", ids), at_least("interest", count))
                for count, ids in by_count.items()
            ]
            await self._client.delete(self._users, self._filter(must=[either(left_over)]))

    async def delete_properties(self, ids: Collection[UUID]) -> None:
        """Deletes the properties; unknown ids are ignored."""
        if ids:
            await self._client.delete(self._properties, self._filter(must=[self._named(ids)]))

    async def delete_users(self, ids: Collection[UUID]) -> None:
        """Deletes the investors; unknown ids are ignored."""
        if ids:
            owned = self._filter(must=[among("user_id", ids)])
            await self._client.delete(self._users, owned)

    async def drop(self) -> None:
        """Deletes all properties and investors of the space."""
        for collection in (self._properties, self._users):
            await self._client.delete(collection, self._filter())

    @searching
    async def query(
        self,
        vector: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
        *,
        with_vectors: bool = False,
    ) -> Hits:
        """See ``CandidateGenerator``.

        Among a thousand ties at the end of the list the smallest ids are kept; beyond, which are
        kept is left to Qdrant.
        """
        wanted = self._wanted(where, exclude)
        for fetched in (limit + 1, limit + _MOST_TIES):
            search = grpc.QueryPoints(
                query=nearest_to(vector),
                filter=wanted,
                limit=fetched,
                with_payload=only(*self._told),
                with_vectors=grpc.WithVectorsSelector(enable=with_vectors),
            )
            (points,) = await self._search([search], self._properties)
            # Where the last one asked for ties with the one beyond it, smaller ids may follow.
            if len(points) < fetched or points[-1].score < points[limit - 1].score:
                break
        ids = as_bytes(map(self._property_of, points))
        cosines = np.array([point.score for point in points])
        vectors = np.array([point.vectors.vector.dense.data for point in points], dtype=np.float32)
        vectors = vectors.reshape(len(points), DIMENSIONS if with_vectors else 0)
        order = np.lexsort((ids, -cosines))[:limit]
        return Hits(PropertyIds(ids[order]), cosines[order], vectors[order])

    @searching
    async def candidates(
        self,
        interests: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        sources: Sequence[Source],
        box: BuyBox | None = None,
    ) -> Candidates:
        """See ``CandidateGenerator``. All sources are searched in one call."""
        query = nearest_to_any(interests)
        fields = FIELDS if box else ()

        def search(source: Source, limit: int) -> grpc.QueryPoints:
            return grpc.QueryPoints(
                query=query,
                filter=self._wanted(where, exclude, _conditions(source)),
                limit=limit,
                score_threshold=None if source.floor is None else to_score(source.floor),
                with_payload=only(ROW, *fields),
            )

        limits = [one.limit + 1 if one.floor is None else 2 * one.limit for one in sources]
        brought = await self._search(list(map(search, sources, limits)), self._properties)
        for place, source in enumerate(sources):
            if source.floor is None and len(brought[place]) > source.limit:
                likeness = _likeness(brought[place])
                if likeness[-1] >= floor_of(source, likeness):
                    # Others may be as alike as the last one.
                    again = [search(source, 2 * source.limit)]
                    (brought[place],) = await self._search(again, self._properties)
        return _gather(sources, brought, box)

    @searching
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
                score_threshold=None if above is None else above - TOLERANCE,
                with_payload=only("user_id"),
            )
            (points,) = await self._search([search], self._users)
            nearest: dict[str, float] = {}
            for point in points:
                nearest.setdefault(point.payload["user_id"].string_value, point.score)
            if len(nearest) >= wanted or len(points) < fetched:
                break
            fetched *= 2
        if above is None:
            above = list(nearest.values())[limit] if len(nearest) > limit else NO_FLOOR
        return [UUID(one) for one, score in nearest.items() if score > above], above

    @searching
    async def interests(self, ids: Collection[UUID]) -> dict[UUID, NDArray[np.float32]]:
        """The unit vectors (k, 16) of those investors who have any."""
        found: dict[UUID, list[Any]] = {}
        if ids:
            owned = self._filter(must=[among("user_id", ids)])
            async for points in self._scroll(self._users, owned, "user_id", with_vectors=True):
                for point in points:
                    owner = UUID((point.payload or {})["user_id"])
                    found.setdefault(owner, []).append(point.vector)
        return {owner: np.array(vectors, dtype=np.float32) for owner, vectors in found.items()}

    def _wanted(
        self,
        where: PropertyFilter,
        exclude: Collection[UUID],
        further: Sequence[grpc.Condition] = (),
    ) -> grpc.Filter:
        """What matches, is not excluded, and meets the further conditions."""
        unwanted = [self._named(exclude)] if exclude else None
        wanted = conditions(where, self._named)
        return self._filter(must=[*wanted, *further], must_not=unwanted)


def _conditions(source: Source) -> list[grpc.Condition]:
    found = [unowned()] if source.unowned else []
    return found if source.near is None else [*found, within_any(source.near)]


def _likeness(points: Sequence[grpc.ScoredPoint]) -> list[float]:
    return [to_cosine(point.score) for point in points]


def _gather(
    sources: Sequence[Source], brought: Sequence[Sequence[grpc.ScoredPoint]], box: BuyBox | None
) -> Candidates:
    """The candidates of several searches, down to their floors.

    Raises OutdatedIndexError for points that another version of this program wrote.
    """
    likeness = [_likeness(points) for points in brought]
    floors = tuple(map(floor_of, sources, likeness))
    points = [
        point
        for some, cosines, floor in zip(brought, likeness, floors, strict=True)
        for point, cosine in zip(some, cosines, strict=True)
        if cosine >= floor
    ]
    try:
        found = unpack([point.payload[ROW].string_value for point in points])
    except ValueError as error:
        raise OutdatedIndexError(str(error)) from error
    met = None
    if box is not None:
        fields = [
            {
                name: _plain(points[row].payload[name])
                for name in FIELDS
                if name in points[row].payload
            }
            for row in found.first.tolist()
        ]
        met = share_met(box, columns_of(found.ids, fields))
    return Candidates(found.ids, found.items, met, floors)


def _plain(value: grpc.Value) -> Any:
    return getattr(value, value.WhichOneof("kind") or "null_value")
