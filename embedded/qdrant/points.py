"""Ids, payloads and vectors: from Qdrant's messages to Edge's objects and back."""

from __future__ import annotations  # Edge's unions of types exist in its stubs alone

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import qdrant_edge as edge
from qdrant_client import grpc as messages

from embedded.qdrant.refusal import bad_input, only, unimplemented

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
    if isinstance(point_id, int):
        return messages.PointId(num=point_id)
    return messages.PointId(uuid=str(point_id))


def read_value(message: messages.Value) -> Any:
    """A JSON value."""
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return read_payload(message.struct_value.fields)
    if kind == "list_value":
        return [read_value(one) for one in message.list_value.values]
    if kind is None or kind == "null_value":
        return None
    return getattr(message, kind)


def write_value(value: Any) -> messages.Value:
    """The message of a JSON value."""
    if value is None:
        return messages.Value(null_value=messages.NULL_VALUE)
    if isinstance(value, list):
        values = [write_value(one) for one in value]
        return messages.Value(list_value=messages.ListValue(values=values))
    if isinstance(value, dict):
        return messages.Value(struct_value=messages.Struct(fields=write_payload(value)))
    return messages.Value(**{_SCALARS[type(value)]: value})


def read_payload(message: Mapping[str, messages.Value]) -> dict[str, Any]:
    """A payload."""
    return {key: read_value(value) for key, value in message.items()}


def write_payload(payload: Mapping[str, Any] | None) -> dict[str, messages.Value]:
    """The message of a payload."""
    return {key: write_value(value) for key, value in (payload or {}).items()}


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


def write_vectors(vector: Any) -> messages.VectorsOutput | None:
    """The message of a point's vector, None where it was not asked for."""
    if vector is None:
        return None
    dense = messages.DenseVector(data=vector)
    return messages.VectorsOutput(vector=messages.VectorOutput(dense=dense))


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


def write_scored(point: edge.ScoredPoint, *, with_vector: bool) -> messages.ScoredPoint:
    """The message of a search hit; Edge adds the vector to hits of MMR even if nobody asked."""
    return messages.ScoredPoint(
        id=write_id(point.id),
        payload=write_payload(point.payload),
        score=point.score,
        version=point.version,
        vectors=write_vectors(point.vector) if with_vector else None,
    )


def write_record(point: edge.Record) -> messages.RetrievedPoint:
    """The message of a stored point."""
    order = point.order_value
    return messages.RetrievedPoint(
        id=write_id(point.id),
        payload=write_payload(point.payload),
        vectors=write_vectors(point.vector),
        order_value=None
        if order is None
        else messages.OrderValue(int=order)
        if isinstance(order, int)
        else messages.OrderValue(float=order),
    )
