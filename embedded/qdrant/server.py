"""The calls by name, and how their errors are answered."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from qdrant_client import grpc as messages
from qdrant_client.grpc import (
    collections_service_pb2,
    points_service_pb2,
    qdrant_pb2,
    snapshots_service_pb2,
)

from embedded.qdrant.collection_calls import CollectionCalls
from embedded.qdrant.collections import CollectionStore
from embedded.qdrant.reading_calls import ReadingCalls
from embedded.qdrant.refusal import Refusal, refusal_of, unimplemented
from embedded.qdrant.writing_calls import WritingCalls

logger = logging.getLogger(__name__)

Call = Callable[[Any], Message]

_THREADS = 8  # few: Edge keeps the interpreter to itself while it searches
_LARGEST_MESSAGE = 256 * 1024 * 1024  # bytes


def create_server(store: CollectionStore, port: int) -> grpc.Server:
    """Bind Qdrant's services to a port of the loopback interface; the caller starts them.

    Every call of Qdrant's protocol is answered: those not listed here with UNIMPLEMENTED.
    """
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="call"),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ],
    )
    collections, reading, writing = CollectionCalls(store), ReadingCalls(store), WritingCalls(store)
    services: list[tuple[ServiceDescriptor, Mapping[str, Call]]] = [
        (
            collections_service_pb2.DESCRIPTOR.services_by_name["Collections"],
            {
                "Create": collections.create,
                "Update": collections.update,
                "Delete": collections.delete,
                "CollectionExists": collections.exists,
                "List": collections.list,
                "Get": collections.get,
            },
        ),
        (
            points_service_pb2.DESCRIPTOR.services_by_name["Points"],
            {
                "Get": reading.get,
                "Query": reading.query,
                "QueryBatch": reading.query_batch,
                "Count": reading.count,
                "Facet": reading.facet,
                "Scroll": reading.scroll,
                "Upsert": writing.upsert,
                "UpdateVectors": writing.update_vectors,
                "Delete": writing.delete,
                "SetPayload": writing.set_payload,
                "OverwritePayload": writing.overwrite_payload,
                "DeletePayload": writing.delete_payload,
                "ClearPayload": writing.clear_payload,
                "CreateFieldIndex": writing.create_index,
                "DeleteFieldIndex": writing.delete_index,
            },
        ),
        (snapshots_service_pb2.DESCRIPTOR.services_by_name["Snapshots"], {}),
        (qdrant_pb2.DESCRIPTOR.services_by_name["Qdrant"], {"HealthCheck": _check_health}),
    ]
    server.add_generic_rpc_handlers(
        [_handlers_of(descriptor, calls) for descriptor, calls in services]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    return server


def _check_health(_request: messages.HealthCheckRequest) -> messages.HealthCheckReply:
    return messages.HealthCheckReply(
        title="qdrant edge behind the embedded server", version=version("qdrant-edge-py")
    )


def _handlers_of(
    descriptor: ServiceDescriptor, calls: Mapping[str, Call]
) -> grpc.GenericRpcHandler:
    handlers = {}
    for method in descriptor.methods:
        name = f"{descriptor.name}.{method.name}"
        handlers[method.name] = grpc.unary_unary_rpc_method_handler(
            _answering(name, calls.get(method.name)),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _answering(name: str, call: Call | None) -> Callable[[Message, grpc.ServicerContext], Message]:
    def answer(request: Message, context: grpc.ServicerContext) -> Message:
        began = time.perf_counter()
        try:
            if call is None:
                raise unimplemented(name)
            response = call(request)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                logger.exception("%s failed", name)
                message = f"Service internal error: {error}"
                refusal = Refusal(grpc.StatusCode.INTERNAL, message)
            context.abort(refusal.code, refusal.message)
        if "time" in response.DESCRIPTOR.fields_by_name:
            response.time = time.perf_counter() - began
        return response

    return answer
