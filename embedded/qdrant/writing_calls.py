"""The calls of the service qdrant.Points that change something."""

from __future__ import annotations  # Edge's unions of types exist in its stubs alone

from typing import Protocol

import qdrant_edge as edge
from qdrant_client import grpc as messages

from embedded.qdrant.collections import CollectionStore
from embedded.qdrant.creation import read_index
from embedded.qdrant.filters import read_filter
from embedded.qdrant.points import read_id, read_payload, read_points, read_vectors
from embedded.qdrant.refusal import only, bad_input

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


class WritingCalls:
    """Upsert, update and delete points, their payloads, and payload indexes."""

    def __init__(self, store: CollectionStore) -> None:
        self._store = store

    def upsert(self, request: messages.UpsertPoints) -> messages.PointsOperationResponse:
        """Store points, replacing those of the same id."""
        only(request, "collection_name", "points", "update_filter", "update_mode", *_HARMLESS)
        return self._apply(
            request,
            edge.UpdateOperation.upsert_points(
                read_points(request.points),
                condition=read_filter(request.update_filter)
                if request.HasField("update_filter")
                else None,
                update_mode=_MODES[request.update_mode],
            ),
        )

    def update_vectors(
        self, request: messages.UpdatePointVectors
    ) -> messages.PointsOperationResponse:
        """Replace the vectors of stored points."""
        only(request, "collection_name", "points", "update_filter", *_HARMLESS)
        return self._apply(
            request,
            edge.UpdateOperation.update_vectors(
                [
                    edge.PointVectors(read_id(point.id), read_vectors(point.vectors))
                    for point in request.points
                ],
                condition=read_filter(request.update_filter)
                if request.HasField("update_filter")
                else None,
            ),
        )

    def delete(self, request: messages.DeletePoints) -> messages.PointsOperationResponse:
        """Delete points by id or filter."""
        only(request, "collection_name", "points", *_HARMLESS)
        chosen = _read_selector(request.points)
        return self._apply(
            request,
            edge.UpdateOperation.delete_points_by_filter(chosen)
            if isinstance(chosen, edge.Filter)
            else edge.UpdateOperation.delete_points(chosen),
        )

    def set_payload(self, request: messages.SetPayloadPoints) -> messages.PointsOperationResponse:
        """Merge fields into payloads."""
        only(request, "collection_name", "points_selector", "payload", "key", *_HARMLESS)
        chosen, payload = _read_selector(request.points_selector), read_payload(request.payload)
        key = request.key if request.HasField("key") else None
        return self._apply(
            request,
            edge.UpdateOperation.set_payload_by_filter(chosen, payload, key)
            if isinstance(chosen, edge.Filter)
            else edge.UpdateOperation.set_payload(chosen, payload, key),
        )

    def overwrite_payload(
        self, request: messages.SetPayloadPoints
    ) -> messages.PointsOperationResponse:
        """Replace payloads."""
        only(request, "collection_name", "points_selector", "payload", *_HARMLESS)
        chosen, payload = _read_selector(request.points_selector), read_payload(request.payload)
        return self._apply(
            request,
            edge.UpdateOperation.overwrite_payload_by_filter(chosen, payload)
            if isinstance(chosen, edge.Filter)
            else edge.UpdateOperation.overwrite_payload(chosen, payload),
        )

    def delete_payload(
        self, request: messages.DeletePayloadPoints
    ) -> messages.PointsOperationResponse:
        """Remove fields from payloads."""
        only(request, "collection_name", "points_selector", "keys", *_HARMLESS)
        chosen, keys = _read_selector(request.points_selector), list(request.keys)
        return self._apply(
            request,
            edge.UpdateOperation.delete_payload_by_filter(chosen, keys)
            if isinstance(chosen, edge.Filter)
            else edge.UpdateOperation.delete_payload(chosen, keys),
        )

    def clear_payload(
        self, request: messages.ClearPayloadPoints
    ) -> messages.PointsOperationResponse:
        """Empty payloads."""
        only(request, "collection_name", "points", *_HARMLESS)
        chosen = _read_selector(request.points)
        return self._apply(
            request,
            edge.UpdateOperation.clear_payload_by_filter(chosen)
            if isinstance(chosen, edge.Filter)
            else edge.UpdateOperation.clear_payload(chosen),
        )

    def create_index(
        self, request: messages.CreateFieldIndexCollection
    ) -> messages.PointsOperationResponse:
        """Index a field of the payload."""
        only(
            request, "collection_name", "field_name", "field_type", "field_index_params", *_HARMLESS
        )
        return self._apply(
            request,
            edge.UpdateOperation.create_field_index(request.field_name, read_index(request)),
        )

    def delete_index(
        self, request: messages.DeleteFieldIndexCollection
    ) -> messages.PointsOperationResponse:
        """Drop the index of a field."""
        only(request, "collection_name", "field_name", *_HARMLESS)
        return self._apply(request, edge.UpdateOperation.delete_field_index(request.field_name))

    def _apply(
        self, request: _Change, operation: edge.UpdateOperation
    ) -> messages.PointsOperationResponse:
        self._store.get(request.collection_name).update(operation)
        status = (
            messages.UpdateStatus.Completed if request.wait else messages.UpdateStatus.Acknowledged
        )
        return messages.PointsOperationResponse(result=messages.UpdateResult(status=status))


def _read_selector(message: messages.PointsSelector) -> list[edge.PointId] | edge.Filter:
    kind = message.WhichOneof("points_selector_one_of")
    if kind == "points":
        return [read_id(one) for one in message.points.ids]
    if kind == "filter":
        return read_filter(message.filter)
    raise bad_input("no points are selected")
