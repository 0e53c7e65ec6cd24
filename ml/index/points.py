"""The points of one tenant's one model version in Qdrant: a space.

Spaces share two collections. They are kept apart by construction: points are reached only through
``Points``, which is bound to one space and puts its name into every point it writes and into the
filter of every call it makes.

The id of a point is that of its property or investor, XOR a key of the space. So the same property
has another point in each space, and a hit names its property without a payload.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, grpc, models

from domain.contract.snapshots import ModelKey
from ml.index.filters import equals
from ml.twin.towers import DIMENSIONS

if TYPE_CHECKING:
    from google.protobuf.internal.containers import MessageMap

PROPERTIES = "property_embeddings_2"
USERS = "user_embeddings_2"
"""Whoever changes what points carry raises the numbers, and has ``ml.index.earlier`` read what the
collections held before."""

SPACE = "space"
"""The payload field that names a point's space: its tenant, a colon and its model version."""

TIMEOUT = 30
"""Seconds that a call of Qdrant may take."""

_NAMESPACE = UUID("6f0c3f52-3a54-5d0e-9b8a-6c1c64c9a3b1")
_BATCH = 1000
"""Points read in one call."""

_WRITTEN = 250
"""Points written in one call: few, for the embedded server answers nobody else meanwhile."""

_PARAMS = grpc.SearchParams(
    # A filter hides a part of the graph: look past neighbours that do not match.
    acorn=grpc.AcornSearchParams(enable=True, max_selectivity=1.0),
    # Where vectors are quantized: twice as many are found by them, and compared by the whole ones.
    quantization=grpc.QuantizationSearchParams(rescore=True, oversampling=2.0),
)

_INLINE = 50
"""Above so many points they are made in another thread, lest all else wait for milliseconds."""


Value = TypeVar("Value")


class Points:
    """What ``ml.index.space.Space`` is made of; no call can reach another's points."""

    _properties = PROPERTIES
    _users = USERS
    _told: tuple[str, ...] = ()
    """Fields of the payload that say which property a hit is of."""

    def __init__(self, client: AsyncQdrantClient, model: ModelKey) -> None:
        self._client = client
        self._model = model
        self._own = {SPACE: f"{model.tenant_id}:{model.version_id}"}

    async def _upsert(
        self,
        collection: str,
        ids: Sequence[str],
        vectors: NDArray[np.float32],
        payload: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write points; they are searched when this returns.

        The messages are made here: the client would make a model of every point first, which takes
        longer than all the rest.
        """
        for rows in _slices(len(ids), _WRITTEN):
            make = partial(self._messages, ids[rows], vectors[rows], payload[rows])
            points = await aside(len(ids), make)
            request = grpc.UpsertPoints(collection_name=collection, points=points, wait=True)
            await self._client.grpc_points.Upsert(request, timeout=TIMEOUT)

    def _messages(
        self,
        ids: Sequence[str],
        vectors: NDArray[np.float32],
        payload: Sequence[Mapping[str, Any]],
    ) -> list[grpc.PointStruct]:
        points = []
        for point_id, vector, one in zip(ids, vectors.tolist(), payload, strict=True):
            point = grpc.PointStruct()
            point.id.uuid = point_id
            point.vectors.vector.dense.data.extend(vector)
            _write(self._own, point.payload)
            _write(one, point.payload)
            points.append(point)
        return points

    async def _search(
        self, searches: list[grpc.QueryPoints], collection: str
    ) -> list[list[grpc.ScoredPoint]]:
        """The points of each search, as the protocol has them.

        The client would turn every one of hundreds into models, which costs more than the search.
        Its timeout does not hold for calls past it.
        """
        for one in searches:
            one.collection_name = collection
            one.params.CopyFrom(_PARAMS)
        request = grpc.QueryBatchPoints(collection_name=collection, query_points=searches)
        answer = await self._client.grpc_points.QueryBatch(request, timeout=TIMEOUT)
        return [list(one.result) for one in answer.result]

    async def _scroll(
        self, collection: str, wanted: grpc.Filter, *fields: str, with_vectors: bool = False
    ) -> AsyncIterator[list[models.Record]]:
        """All points that match, in batches, with those fields of their payload."""
        offset: Any = None
        while True:
            points, offset = await self._client.scroll(
                collection,
                scroll_filter=wanted,
                limit=_BATCH,
                offset=offset,
                with_payload=list(fields) or False,
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
        own = [equals(key, value) for key, value in self._own.items()]
        return grpc.Filter(must=[*own, *must], must_not=must_not)

    def _named(self, ids: Iterable[UUID]) -> grpc.Condition:
        """The points of those properties."""
        points = [grpc.PointId(uuid=self._point_id(one)) for one in ids]
        return grpc.Condition(has_id=grpc.HasIdCondition(has_id=points))

    def _point_id(self, value: UUID, place: int = 0) -> str:
        """The id of the point of a property, or of an investor's interest, in the space."""
        return str(UUID(int=value.int ^ _key(self._model, place)))

    def _property_of(self, point: grpc.ScoredPoint) -> UUID:
        return self._property_id(point.id.uuid)

    def _property_id(self, point_id: str) -> UUID:
        """The property whose point it is."""
        return UUID(int=UUID(point_id).int ^ _key(self._model, 0))


@lru_cache(maxsize=4096)
def _key(model: ModelKey, place: int) -> int:
    return uuid5(_NAMESPACE, f"{model.tenant_id}:{model.version_id}:{place}").int


def check_shape(vectors: NDArray[np.float32], count: int) -> None:
    """Raises ValueError unless there are so many vectors, of ``DIMENSIONS`` numbers each."""
    if vectors.shape != (count, DIMENSIONS):
        raise ValueError(
            f"{count} points need vectors of shape ({count}, {DIMENSIONS}), not {vectors.shape}"
        )


async def aside(count: int, work: Callable[[], Value]) -> Value:
    """What the work on so many points returns; in another thread where they are many."""
    return await asyncio.to_thread(work) if count > _INLINE else work()


def _slices(count: int, size: int) -> Iterator[slice]:
    """Stretches of at most ``size`` that cover ``range(count)``."""
    for first in range(0, count, size):
        yield slice(first, first + size)


def _write(payload: Mapping[str, Any], fields: "MessageMap[str, grpc.Value]") -> None:
    """Write values of JSON into the map of a message, where they cost least."""
    for key, value in payload.items():
        _write_value(value, fields[key])


def _write_value(value: Any, message: grpc.Value) -> None:
    if isinstance(value, str):
        message.string_value = value
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int):
        message.integer_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, list):
        message.list_value.SetInParent()  # even without any
        for one in value:
            _write_value(one, message.list_value.values.add())
    elif isinstance(value, dict):
        _write(value, message.struct_value.fields)
    else:
        raise TypeError(f"a payload holds no {type(value).__name__}: {value!r}")
