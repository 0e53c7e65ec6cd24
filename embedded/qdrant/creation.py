"""The parameters of collections and payload indexes: to Edge's objects, and back for `info`."""

from __future__ import annotations  # Edge's unions of types exist in its stubs alone

from typing import Any

import qdrant_edge as edge
from google.protobuf.message import Message
from qdrant_client import grpc as messages

from embedded.qdrant.refusal import bad_input, only, unimplemented

_DISTANCES = {
    messages.Distance.Cosine: edge.Distance.Cosine,
    messages.Distance.Euclid: edge.Distance.Euclid,
    messages.Distance.Dot: edge.Distance.Dot,
    messages.Distance.Manhattan: edge.Distance.Manhattan,
}
_DATATYPES = {
    messages.Datatype.Default: None,
    messages.Datatype.Float32: edge.VectorStorageDatatype.Float32,
    messages.Datatype.Float16: edge.VectorStorageDatatype.Float16,
    messages.Datatype.Uint8: edge.VectorStorageDatatype.Uint8,
}
_COMPRESSIONS = {
    messages.CompressionRatio.x4: edge.CompressionRatio.X4,
    messages.CompressionRatio.x8: edge.CompressionRatio.X8,
    messages.CompressionRatio.x16: edge.CompressionRatio.X16,
    messages.CompressionRatio.x32: edge.CompressionRatio.X32,
    messages.CompressionRatio.x64: edge.CompressionRatio.X64,
}
_HNSW_DEFAULTS = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}  # the server's
_OPTIMIZER_DEFAULTS = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "flush_interval_sec": 5,
}
_HNSW_FIELDS = (*_HNSW_DEFAULTS, "max_indexing_threads", "on_disk", "payload_m")
_OPTIMIZER_FIELDS = (
    "deleted_threshold",
    "vacuum_min_vector_number",
    "default_segment_number",
    "max_segment_size",
    "indexing_threshold",
)

# Kinds of payload index: FieldType -> the type of info's answer, Edge's type and its parameters.
_INDEXES = {
    messages.FieldTypeKeyword: (messages.Keyword, edge.PayloadSchemaType.Keyword),
    messages.FieldTypeInteger: (messages.Integer, edge.PayloadSchemaType.Integer),
    messages.FieldTypeFloat: (messages.Float, edge.PayloadSchemaType.Float),
    messages.FieldTypeGeo: (messages.Geo, edge.PayloadSchemaType.Geo),
    messages.FieldTypeBool: (messages.Bool, edge.PayloadSchemaType.Bool),
    messages.FieldTypeDatetime: (messages.Datetime, edge.PayloadSchemaType.Datetime),
    messages.FieldTypeUuid: (messages.Uuid, edge.PayloadSchemaType.Uuid),
}
_INDEX_PARAMETERS: dict[str, Any] = {
    "keyword_index_params": edge.KeywordIndexParams,
    "integer_index_params": edge.IntegerIndexParams,
    "float_index_params": edge.FloatIndexParams,
    "geo_index_params": edge.GeoIndexParams,
    "bool_index_params": edge.BoolIndexParams,
    "datetime_index_params": edge.DatetimeIndexParams,
    "uuid_index_params": edge.UuidIndexParams,
}
_INDEX_FIELDS = (
    "is_tenant",
    "is_principal",
    "lookup",
    "range",
    "on_disk",
    "enable_hnsw",
    "prefix",
)


def read_creation(message: messages.CreateCollection) -> edge.EdgeConfig:
    """The engine's configuration of a collection with a single, unnamed, dense vector."""
    only(
        message,
        "collection_name",
        "hnsw_config",
        "metadata",
        "on_disk_payload",
        "optimizers_config",
        "quantization_config",
        "replication_factor",
        "shard_number",
        "timeout",
        "vectors_config",
        "write_consistency_factor",
    )
    for name in ("shard_number", "replication_factor", "write_consistency_factor"):
        if message.HasField(name) and getattr(message, name) != 1:
            raise unimplemented(f"CreateCollection.{name} other than 1")
    only(message.vectors_config, "params")
    if not message.vectors_config.HasField("params"):
        raise bad_input("a collection needs vectors_config")
    return edge.EdgeConfig(
        vectors=_read_vector_params(message.vectors_config.params),
        hnsw_config=_read_hnsw(message.hnsw_config) if message.HasField("hnsw_config") else None,
        quantization_config=_read_quantization(message.quantization_config),
        optimizers=_read_optimizers(message.optimizers_config),
        on_disk_payload=message.on_disk_payload if message.HasField("on_disk_payload") else None,
    )


def _read_vector_params(message: messages.VectorParams) -> edge.EdgeVectorParams:
    only(message, "size", "distance", "hnsw_config", "quantization_config", "on_disk", "datatype")
    if not 1 <= message.size <= 65_536:
        raise bad_input(f"size: value {message.size} invalid, must be from 1 to 65536")
    if message.distance not in _DISTANCES:
        raise bad_input("a collection needs a distance")
    if message.datatype not in _DATATYPES:
        raise unimplemented(f"Datatype.{messages.Datatype.Name(message.datatype)}")
    return edge.EdgeVectorParams(
        size=message.size,
        distance=_DISTANCES[message.distance],
        on_disk=message.on_disk if message.HasField("on_disk") else None,
        datatype=_DATATYPES[message.datatype],
        quantization_config=_read_quantization(message.quantization_config),
        hnsw_config=_read_hnsw(message.hnsw_config) if message.HasField("hnsw_config") else None,
    )


def _read_hnsw(message: messages.HnswConfigDiff) -> edge.HnswIndexConfig:
    only(message, *_HNSW_FIELDS)
    return edge.HnswIndexConfig(**_HNSW_DEFAULTS | _present(message, _HNSW_FIELDS))


def _read_optimizers(message: messages.OptimizersConfigDiff) -> edge.EdgeOptimizersConfig:
    only(message, *_OPTIMIZER_FIELDS)
    return edge.EdgeOptimizersConfig(**_present(message, _OPTIMIZER_FIELDS))


def _read_quantization(
    message: messages.QuantizationConfig,
) -> edge.QuantizationConfigType | None:
    kind = message.WhichOneof("quantization")
    if kind is None:
        return None
    if kind == "scalar":
        only(message.scalar, "type", "quantile", "always_ram")
        present = _present(message.scalar, ("quantile", "always_ram"))
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, **present)
    if kind == "product":
        only(message.product, "compression", "always_ram")
        return edge.ProductQuantizationConfig(
            _COMPRESSIONS[message.product.compression],
            **_present(message.product, ("always_ram",)),
        )
    if kind == "binary":
        only(message.binary, "always_ram")
        return edge.BinaryQuantizationConfig(**_present(message.binary, ("always_ram",)))
    raise unimplemented(f"QuantizationConfig.{kind}")


def read_update(message: messages.UpdateCollection) -> messages.QuantizationConfig:
    """The quantization that a collection is to have from now on: all that can be changed of it."""
    only(message, "collection_name", "quantization_config", "timeout")
    kind = message.quantization_config.WhichOneof("quantization")
    if kind is None:
        raise bad_input("an update of a collection changes nothing")
    if kind == "disabled":
        # Edge keeps what a shard was told once.
        raise unimplemented("QuantizationConfigDiff.disabled (taking quantization back)")
    wanted = messages.QuantizationConfig()
    getattr(wanted, kind).CopyFrom(getattr(message.quantization_config, kind))
    _read_quantization(wanted)  # refuses what it does not know
    return wanted


def read_index(
    message: messages.CreateFieldIndexCollection,
) -> edge.PayloadSchemaType | edge.PayloadSchemaParams:
    """The kind of a payload index, with its parameters where there are any."""
    if message.field_type not in _INDEXES:
        raise unimplemented(f"FieldType.{messages.FieldType.Name(message.field_type)}")
    if not message.HasField("field_index_params"):
        return _INDEXES[message.field_type][1]
    kind = message.field_index_params.WhichOneof("index_params")
    if kind not in _INDEX_PARAMETERS:
        raise unimplemented(f"PayloadIndexParams.{kind}")
    parameters = getattr(message.field_index_params, kind)
    only(parameters, *_INDEX_FIELDS)
    present = _present(parameters, _INDEX_FIELDS)
    if "prefix" in present:
        present["prefix"] = True  # the message is empty: that it is there says all
    index: edge.PayloadSchemaParams = _INDEX_PARAMETERS[kind](**present)
    return index


def write_index(info: edge.PayloadIndexInfo) -> messages.PayloadSchemaInfo:
    """What `info` says about a payload index."""
    answer = messages.PayloadSchemaInfo(points=info.points)
    for answered, kind in _INDEXES.values():
        if kind == info.data_type:
            answer.data_type = answered
    for name, kind in _INDEX_PARAMETERS.items():
        if isinstance(info.params, kind):
            parameters = getattr(answer.params, name)
            parameters.SetInParent()
            for field in _INDEX_FIELDS:
                value = getattr(info.params, field, None)
                if field == "prefix":
                    if value:
                        parameters.prefix.SetInParent()
                elif value is not None:
                    setattr(parameters, field, value)
    return answer


def write_config(message: messages.CreateCollection) -> messages.CollectionConfig:
    """What `info` says about a collection's configuration: what was asked, with the defaults."""
    hnsw = messages.HnswConfigDiff()
    for name, value in _HNSW_DEFAULTS.items():
        setattr(hnsw, name, value)
    hnsw.MergeFrom(message.hnsw_config)
    optimizers = messages.OptimizersConfigDiff()
    for name, default in _OPTIMIZER_DEFAULTS.items():
        setattr(optimizers, name, default)
    optimizers.MergeFrom(message.optimizers_config)
    return messages.CollectionConfig(
        params=messages.CollectionParams(
            shard_number=1,
            replication_factor=1,
            write_consistency_factor=1,
            on_disk_payload=message.on_disk_payload
            if message.HasField("on_disk_payload")
            else True,
            vectors_config=message.vectors_config,
        ),
        hnsw_config=hnsw,
        optimizer_config=optimizers,
        wal_config=messages.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0),
        quantization_config=message.quantization_config
        if message.HasField("quantization_config")
        else None,
        metadata=message.metadata,
    )


def _present(message: Message, fields: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a message that are set, by name."""
    return {field.name: value for field, value in message.ListFields() if field.name in fields}
