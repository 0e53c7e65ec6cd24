"""What a space holds: counted, listed, and compared with what it should hold."""

from collections.abc import Collection, Mapping, Sequence
from math import isclose
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from domain.contract.snapshots import PropertyColumns
from ml.index.filters import among, at_most, payloads
from ml.index.index_rows import ROW, pack, values
from ml.index.points import Points
from ml.twin.items import Items

_NOISE = 1e-3
"""How far two computations of the same number may differ: it depends on what else is in a batch."""


class Contents(Points):
    """The part of a ``Space`` that looks at what was written. No search goes through it."""

    async def count(self, without: Collection[UUID] = ()) -> int:
        """How many properties the space holds beside those."""
        wanted = self._filter(must_not=[self._named(without)] if without else None)
        return (await self._client.count(self._properties, wanted, exact=True)).count

    async def count_users(self) -> int:
        """How many investors the space holds."""
        first = self._filter(must=[at_most("interest", 0)])
        return (await self._client.count(self._users, first, exact=True)).count

    async def property_ids(self) -> set[UUID]:
        """The ids of all properties in the space."""
        return {
            self._property_id(str(point.id))
            async for points in self._scroll(self._properties, self._filter())
            for point in points
        }

    async def user_ids(self) -> set[UUID]:
        """The ids of all investors in the space."""
        return {
            UUID((point.payload or {})["user_id"])
            async for points in self._scroll(self._users, self._filter(), "user_id")
            for point in points
        }

    async def differing(self, properties: PropertyColumns, items: Items) -> set[UUID]:
        """Those of the properties that are absent, or not as ``upsert_properties`` writes them."""
        if not len(properties):
            return set()
        found = await self._client.retrieve(
            self._properties,
            [self._point_id(one) for one in properties.ids],
            with_payload=True,
            with_vectors=True,
        )
        written = {str(one.id): one for one in found}
        vectors = items.embedding.cpu().numpy()
        expected = zip(
            properties.ids,
            vectors,
            payloads(properties),
            pack(properties.ids, items),
            strict=True,
        )
        return {
            property_id
            for property_id, vector, payload, row in expected
            if not _same(written.get(self._point_id(property_id)), vector, self._own | payload, row)
        }

    async def differing_users(self, interests: Mapping[UUID, NDArray[np.float32]]) -> set[UUID]:
        """Those of the investors whose unit vectors (k, 16) are not those in the space."""
        written: dict[UUID, list[Any]] = {one: [] for one in interests}
        owned = self._filter(must=[among("user_id", interests)])
        async for points in self._scroll(self._users, owned, "user_id", with_vectors=True):
            for point in points:
                written[UUID((point.payload or {})["user_id"])].append(point.vector)
        return {one for one, some in interests.items() if not _same_set(some, written[one])}


def _same(
    point: models.Record | None, vector: NDArray[np.float32], payload: Mapping[str, Any], row: str
) -> bool:
    if point is None or point.payload is None:
        return False
    kept = dict(point.payload)
    row_kept = kept.pop(ROW, None)
    return (
        _equal(kept, payload)
        and isinstance(row_kept, str)
        and len(row_kept) == len(row)
        and np.allclose(values(row_kept), values(row), rtol=0, atol=_NOISE, equal_nan=True)
        and np.allclose(np.array(point.vector), vector, atol=_NOISE)
    )


def _equal(kept: Any, written: Any) -> bool:
    """Whether JSON values are equal, to the last digits of numbers, which the index may round."""
    if isinstance(kept, dict) and isinstance(written, dict):
        return kept.keys() == written.keys() and all(_equal(kept[k], written[k]) for k in kept)
    if isinstance(kept, float) and isinstance(written, float):
        return isclose(kept, written, rel_tol=1e-12)
    return bool(kept == written)


def _same_set(some: NDArray[np.float32], written: Sequence[Any]) -> bool:
    """Whether the vectors are the same, in whatever order."""
    if len(some) != len(written):
        return False
    if not written:
        return True
    gaps = np.abs(some[:, None] - np.array(written)[None]).max(axis=2)
    return bool((gaps.min(axis=0) < _NOISE).all() and (gaps.min(axis=1) < _NOISE).all())
