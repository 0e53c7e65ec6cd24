"""Filters: from Qdrant's messages to Edge's objects."""

from __future__ import annotations  # Edge's unions of types exist in its stubs alone

from collections.abc import Iterable
from typing import cast

import numpy
import qdrant_edge as edge
from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import grpc as messages

from embedded.qdrant.points import read_id
from embedded.qdrant.refusal import bad_input, only, unimplemented

_BOUNDS = ("lt", "gt", "gte", "lte")


def read_filter(message: messages.Filter) -> edge.Filter:
    """A filter with all its nested ones."""
    only(message, "must", "should", "must_not", "min_should")
    at_least = message.min_should
    return edge.Filter(
        must=_read_conditions(message.must),
        should=_read_conditions(message.should),
        must_not=_read_conditions(message.must_not),
        min_should=edge.MinShould(_read_conditions(at_least.conditions) or [], at_least.min_count)
        if message.HasField("min_should")
        else None,
    )


def _read_conditions(conditions: Iterable[messages.Condition]) -> list[edge.ConditionType] | None:
    # An empty clause is no clause: as a list it would match nothing.
    return [_read_condition(one) for one in conditions] or None


def _read_condition(message: messages.Condition) -> edge.ConditionType:
    kind = message.WhichOneof("condition_one_of")
    match kind:
        case "field":
            return _read_field(message.field)
        case "is_empty":
            return edge.IsEmptyCondition(message.is_empty.key)
        case "is_null":
            return edge.IsNullCondition(message.is_null.key)
        case "has_id":
            return edge.HasIdCondition({read_id(one) for one in message.has_id.has_id})
        case "filter":
            return read_filter(message.filter)
        case "nested":
            return edge.NestedCondition(message.nested.key, read_filter(message.nested.filter))
        case None:
            raise bad_input("a condition of the filter is empty")
    raise unimplemented(f"Condition.{kind}")


def _read_field(message: messages.FieldCondition) -> edge.FieldCondition:
    if message.HasField("range") and message.HasField("datetime_range"):
        raise bad_input(f"`{message.key}` has both a range and a datetime_range")
    has = message.HasField
    return edge.FieldCondition(
        message.key,
        match=_read_match(message.match) if has("match") else None,
        range=_read_range(message) if has("range") or has("datetime_range") else None,
        geo_bounding_box=edge.GeoBoundingBox(
            _read_geo(message.geo_bounding_box.top_left),
            _read_geo(message.geo_bounding_box.bottom_right),
        )
        if has("geo_bounding_box")
        else None,
        geo_radius=edge.GeoRadius(_read_geo(message.geo_radius.center), message.geo_radius.radius)
        if has("geo_radius")
        else None,
        geo_polygon=edge.GeoPolygon(
            [_read_geo(point) for point in message.geo_polygon.exterior.points],
            [[_read_geo(point) for point in line.points] for line in message.geo_polygon.interiors],
        )
        if has("geo_polygon")
        else None,
        values_count=edge.ValuesCount(
            **{bound: getattr(message.values_count, bound) for bound in _set(message.values_count)}
        )
        if has("values_count")
        else None,
        is_empty=message.is_empty if has("is_empty") else None,
        is_null=message.is_null if has("is_null") else None,
    )


def _read_match(message: messages.Match) -> edge.MatchType:  # noqa: PLR0911
    kind = message.WhichOneof("match_value")
    match kind:
        case "keyword" | "integer":
            return edge.MatchValue(getattr(message, kind))
        case "boolean":
            # Edge 0.9 takes a Python bool for an integer, which no boolean field matches; it
            # knows numpy's.
            return edge.MatchValue(cast(bool, numpy.bool_(message.boolean)))
        case "prefix":
            return edge.MatchPrefix(message.prefix)
        case "keywords":
            return edge.MatchAny(list(message.keywords.strings))
        case "integers":
            return edge.MatchAny(list(message.integers.integers))
        case "except_keywords":
            return edge.MatchExcept(list(message.except_keywords.strings))
        case "except_integers":
            return edge.MatchExcept(list(message.except_integers.integers))
        case None:
            raise bad_input("a match condition has no value")
    raise unimplemented(f"Match.{kind}")


def _read_range(message: messages.FieldCondition) -> edge.RangeType:
    if message.HasField("range"):
        numbers = message.range
        return edge.RangeFloat(**{bound: getattr(numbers, bound) for bound in _set(numbers)})
    times = message.datetime_range
    return edge.RangeDateTime(
        **{bound: read_timestamp(getattr(times, bound)) for bound in _set(times)}
    )


def _set(
    message: messages.Range | messages.DatetimeRange | messages.ValuesCount,
) -> list[str]:
    return [bound for bound in _BOUNDS if message.HasField(bound)]  # type: ignore[arg-type]


def read_timestamp(message: Timestamp) -> str:
    """A moment in the form Edge reads."""
    return str(message.ToJsonString())


def _read_geo(message: messages.GeoPoint) -> edge.GeoPoint:
    return edge.GeoPoint(message.lon, message.lat)
