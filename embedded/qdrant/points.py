"""Ids, payloads and vectors: from Qdrant's messages to Edge's objects and back."""

from __future__ import annotations  # Edge's unions of types exist in its stubs alone

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import qdrant_edge as edge
from qdrant_client import grpc as messages

from embedded.qdrant.refusal import bad_input, only, unimplemented

if TYPE_CHECKING:
    from google.protobuf.internal.containers import MessageMap

_SCALARS = {
    bool: "bool_value",
    int: "integer_value",
    float: "double_value",
    str: "string_value",
}


def read_id(message: messages.PointId) -> int | UUID:
    """An id: a number or a UUID."""
    kind = message.WhichOneof("point_id_options")
    if kind == "num":
        return message.num
    if kind == "uuid":
        try:
            return UUID(message.uuid)
        except ValueError:
            raise bad_input(f"Unable to parse UUID: {message.uuid}") from None
    raise bad_input("a point id is missing")


def write_id(point_id: edge.PointId) -> messages.PointId:
    """The message of an id."""
    message = messages.PointId()
    _write_id(point_id, message)
    return message


def _write_id(point_id: edge.PointId, message: messages.PointId) -> None:
    if isinstance(point_id, int):
        message.num = point_id
    else:
        message.uuid = str(point_id)


def read_value(message: messages.Value) -> Any:
    """A JSON value."""
    # There are dozens in a point, most of them strings: to ask for the kind takes longer than this.
    if text := message.string_value:
        return text
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return read_payload(message.struct_value.fields)
    if kind == "list_value":
        return [read_value(one) for one in message.list_value.values]
    if kind is None or kind == "null_value":
        return None
    return getattr(message, kind)


def write_value(value: Any, message: messages.Value) -> None:
    """Write a JSON value."""
    if value is None:
        message.null_value = messages.NULL_VALUE
    elif isinstance(value, list):
        message.list_value.SetInParent()  # even without any
        for one in value:
            write_value(one, message.list_value.values.add())
    elif isinstance(value, dict):
        message.struct_value.SetInParent()
        write_payload(value, message.struct_value.fields)
    else:
        setattr(message, _SCALARS[type(value)], value)


def read_payload(message: Mapping[str, messages.Value]) -> dict[str, Any]:
    """A payload."""
    return {key: read_value(value) for key, value in message.items()}


def write_payload(
    payload: Mapping[str, Any] | None, fields: MessageMap[str, messages.Value]
) -> None:
    """Write a payload into the map of a message."""
    for key, value in (payload or {}).items():
        write_value(value, fields[key])


def read_vectors(message: messages.Vectors) -> list[float]:
    """The single, unnamed, dense vector of a point."""
    only(message, "vector")
    if not message.HasField("vector"):
        raise bad_input("a point has no vector")
    only(message.vector, "data", "dense")
    dense = message.vector.dense if message.vector.HasField("dense") else message.vector
    return list(dense.data)


def read_dense(message: messages.VectorInput) -> list[float]:
    """The vector of a query."""
    only(message, "dense")
    if not message.HasField("dense"):
        raise bad_input("a query has no vector")
    return list(message.dense.data)


def read_payload_selector(
    message: messages.WithPayloadSelector, *, default: bool
) -> bool | edge.PayloadSelector:
    """Which fields of the payload to return."""
    kind = message.WhichOneof("selector_options")
    if kind == "include":
        return edge.PayloadSelector.Include(list(message.include.fields))
    if kind == "exclude":
        return edge.PayloadSelector.Exclude(list(message.exclude.fields))
    return message.enable if kind == "enable" else default


def read_vectors_selector(message: messages.WithVectorsSelector) -> bool:
    """Whether to return the vector."""
    if message.WhichOneof("selector_options") == "include":
        raise unimplemented("WithVectorsSelector.include (named vectors)")
    return message.enable


# A search answers with hundreds of points: what is written into a message that is there already
# costs a third of what is written into one of its own and copied.


def write_scored(
    point: edge.ScoredPoint, message: messages.ScoredPoint, *, with_vector: bool
) -> None:
    """Write a search hit; Edge adds the vector to hits of MMR even if nobody asked."""
    _write_id(point.id, message.id)
    write_payload(point.payload, message.payload)
    message.score = point.score
    message.version = point.version
    if with_vector and point.vector is not None:
        message.vectors.vector.dense.data.extend(point.vector)


def write_record(point: edge.Record, message: messages.RetrievedPoint) -> None:
    """Write a stored point."""
    _write_id(point.id, message.id)
    write_payload(point.payload, message.payload)
    if point.vector is not None:
        message.vectors.vector.dense.data.extend(point.vector)
    order = point.order_value
    if isinstance(order, int):
        message.order_value.int = order
    elif order is not None:
        message.order_value.float = order


def write_facet(hit: edge.FacetHit, message: messages.FacetHit) -> None:
    """Write a value of a field, and how many points have it."""
    value = hit.value
    if isinstance(value, bool):
        message.value.bool_value = value
    elif isinstance(value, int):
        message.value.integer_value = value
    else:
        message.value.string_value = str(value)
    message.count = hit.count
