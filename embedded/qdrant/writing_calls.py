"""The calls of the service qdrant.Points that change something."""

from __future__ import annotations  # Edge's unions of types exist in its stubs alone

from collections.abc import Callable
from typing import Any, Protocol

import qdrant_edge as edge
from qdrant_client import grpc as messages

from embedded.qdrant.collections import Collection, CollectionStore
from embedded.qdrant.creation import read_index
from embedded.qdrant.filters import read_filter
from embedded.qdrant.points import read_id, read_payload, read_vectors
from embedded.qdrant.refusal import bad_input, only

# Accepted and without effect: changes apply in order and at once.
_HARMLESS = ("wait", "ordering", "timeout")
_MODES = {
    messages.UpdateMode.Upsert: edge.UpdateMode.Upsert,
    messages.UpdateMode.InsertOnly: edge.UpdateMode.InsertOnly,
    messages.UpdateMode.UpdateOnly: edge.UpdateMode.UpdateOnly,
}


class _Change(Protocol):
    """What the requests that change something have in common."""

    collection_name: str
    wait: bool


# Edge has each change of chosen points twice: by their ids, and by a filter.
_Operation = Callable[..., edge.UpdateOperation]


class WritingCalls:
    """Upsert, update and delete points, their payloads, and payload indexes."""

    def __init__(self, store: CollectionStore) -> None:
        self._store = store

    def upsert(self, request: messages.UpsertPoints) -> messages.PointsOperationResponse:
        """Store points, replacing those of the same id."""
        only(request, "collection_name", "points", "update_filter", "update_mode", *_HARMLESS)
        collection = self._store.get(request.collection_name)
        points = []
        for point in request.points:
            only(point, "id", "vectors", "payload")
            vector = _read_fitting_vector(point, collection)
            points.append(edge.Point(read_id(point.id), vector, read_payload(point.payload)))
        condition = (
            read_filter(request.update_filter) if request.HasField("update_filter") else None
        )
        operation = edge.UpdateOperation.upsert_points(
            points, condition, _MODES[request.update_mode]
        )
        collection.update(operation, len(points))
        return _answer(request)

    def update_vectors(
        self, request: messages.UpdatePointVectors
    ) -> messages.PointsOperationResponse:
        """Replace the vectors of stored points."""
        only(request, "collection_name", "points", "update_filter", *_HARMLESS)
        collection = self._store.get(request.collection_name)
        points = [
            edge.PointVectors(read_id(point.id), _read_fitting_vector(point, collection))
            for point in request.points
        ]
        condition = (
            read_filter(request.update_filter) if request.HasField("update_filter") else None
        )
        collection.update(edge.UpdateOperation.update_vectors(points, condition), len(points))
        return _answer(request)

    def delete(self, request: messages.DeletePoints) -> messages.PointsOperationResponse:
        """Delete points by id or filter."""
        only(request, "collection_name", "points", *_HARMLESS)
        return self._change(
            request,
            request.points,
            edge.UpdateOperation.delete_points,
            edge.UpdateOperation.delete_points_by_filter,
        )

    def set_payload(self, request: messages.SetPayloadPoints) -> messages.PointsOperationResponse:
        """Merge fields into payloads."""
        only(request, "collection_name", "points_selector", "payload", "key", *_HARMLESS)
        return self._change(
            request,
            request.points_selector,
            edge.UpdateOperation.set_payload,
            edge.UpdateOperation.set_payload_by_filter,
            read_payload(request.payload),
            request.key if request.HasField("key") else None,
        )

    def overwrite_payload(
        self, request: messages.SetPayloadPoints
    ) -> messages.PointsOperationResponse:
        """Replace payloads."""
        only(request, "collection_name", "points_selector", "payload", *_HARMLESS)
        return self._change(
            request,
            request.points_selector,
            edge.UpdateOperation.overwrite_payload,
            edge.UpdateOperation.overwrite_payload_by_filter,
            read_payload(request.payload),
        )

    def delete_payload(
        self, request: messages.DeletePayloadPoints
    ) -> messages.PointsOperationResponse:
        """Remove fields from payloads."""
        only(request, "collection_name", "points_selector", "keys", *_HARMLESS)
        return self._change(
            request,
            request.points_selector,
            edge.UpdateOperation.delete_payload,
            edge.UpdateOperation.delete_payload_by_filter,
            list(request.keys),
        )

    def clear_payload(
        self, request: messages.ClearPayloadPoints
    ) -> messages.PointsOperationResponse:
        """Empty payloads."""
        only(request, "collection_name", "points", *_HARMLESS)
        return self._change(
            request,
            request.points,
            edge.UpdateOperation.clear_payload,
            edge.UpdateOperation.clear_payload_by_filter,
        )

    def create_index(
        self, request: messages.CreateFieldIndexCollection
    ) -> messages.PointsOperationResponse:
        """Index a field of the payload."""
        only(
            request, "collection_name", "field_name", "field_type", "field_index_params", *_HARMLESS
        )
        operation = edge.UpdateOperation.create_field_index(request.field_name, read_index(request))
        self._store.get(request.collection_name).update(operation, 0)
        return _answer(request)

    def delete_index(
        self, request: messages.DeleteFieldIndexCollection
    ) -> messages.PointsOperationResponse:
        """Drop the index of a field."""
        only(request, "collection_name", "field_name", *_HARMLESS)
        operation = edge.UpdateOperation.delete_field_index(request.field_name)
        self._store.get(request.collection_name).update(operation, 0)
        return _answer(request)

    def _change(
        self,
        request: _Change,
        selector: messages.PointsSelector,
        by_ids: _Operation,
        by_filter: _Operation,
        *arguments: Any,
    ) -> messages.PointsOperationResponse:
        collection = self._store.get(request.collection_name)
        kind = selector.WhichOneof("points_selector_one_of")
        if kind == "points":
            ids = [read_id(one) for one in selector.points.ids]
            collection.update(by_ids(ids, *arguments), len(ids))
        elif kind == "filter":
            chosen = read_filter(selector.filter)
            with collection.shard() as shard:
                count = shard.count(edge.CountRequest(exact=False, filter=chosen))
            collection.update(by_filter(chosen, *arguments), count)
        else:
            raise bad_input("no points are selected")
        return _answer(request)


def _read_fitting_vector(
    point: messages.PointStruct | messages.PointVectors, collection: Collection
) -> list[float]:
    """Read a vector, and refuse it if its length is wrong before any other point is stored."""
    vector = read_vectors(point.vectors)
    if len(vector) != collection.dimension:
        raise bad_input(
            f"Vector dimension error: expected dim: {collection.dimension}, got {len(vector)}"
        )
    return vector


def _answer(request: _Change) -> messages.PointsOperationResponse:
    status = messages.UpdateStatus.Completed if request.wait else messages.UpdateStatus.Acknowledged
    return messages.PointsOperationResponse(result=messages.UpdateResult(status=status))
