"""What a request asks for, read from its body or its URL."""

from typing import Any
from urllib.parse import parse_qsl

import orjson

from graph.core.errors import RequestErrorCode, TransportError
from graph.server.http.negotiation import JSON_TYPE
from graph.server.operations import GraphQLRequest

MAX_PARAMETERS = 20

_JSON_NAMES = {
    bool: "a boolean", dict: "an object", float: "a number", int: "a number", list: "an array",
    str: "a string",
}  # fmt: skip


def from_body(
    content_type: str, body: bytes, batch_limit: int
) -> list[GraphQLRequest] | GraphQLRequest:
    """The request of a POST, or the requests of a batch.

    Args:
        content_type: the header.
        body: the content.
        batch_limit: how many requests a batch may hold; 0 for no batches.

    Raises:
        TransportError: 415 for another content than JSON, 400 for what is no GraphQL request.
    """
    kind, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    charsets = [
        one.partition("=")[2].strip('"') for one in parameters if one.startswith("charset=")
    ]
    if kind != JSON_TYPE or any(one not in ("utf-8", "utf8") for one in charsets):
        raise TransportError(
            f"Content-Type {content_type[:100]!r}: send {JSON_TYPE}, in UTF-8",
            RequestErrorCode.UNSUPPORTED_MEDIA_TYPE,
            status=415,
        )
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise TransportError(f"The body is not JSON: {error}") from None
    if not isinstance(content, list):
        return to_request(content)
    if not 1 <= len(content) <= batch_limit:
        allowed = f"use 1 to {batch_limit}" if batch_limit else "batches are off; send one request"
        raise TransportError(f"A batch of {len(content)} requests: {allowed}")
    return [to_request(one) for one in content]


def from_url(query_string: bytes) -> GraphQLRequest:
    """The request of a GET. Raises TransportError, 400, for what is no GraphQL request."""
    try:
        content: dict[str, Any] = dict(
            parse_qsl(query_string.decode("ascii"), errors="strict", max_num_fields=MAX_PARAMETERS)
        )
    except ValueError:
        raise TransportError(
            f"The URL's parameters are not UTF-8 in URL encoding, or more than {MAX_PARAMETERS}"
        ) from None
    for name in ("variables", "extensions"):
        if name in content:
            try:
                content[name] = orjson.loads(content[name])
            except orjson.JSONDecodeError as error:
                raise TransportError(f"{name}: not JSON: {error}") from None
    return to_request(content)


def to_request(content: object) -> GraphQLRequest:
    """The request in a JSON value. Raises TransportError, 400, for what is no GraphQL request."""
    if not isinstance(content, dict):
        raise TransportError("The request must be a JSON object")
    variables = _of_type(content, "variables", dict, "an object")
    extensions = _of_type(content, "extensions", dict, "an object")
    document_id = _of_type(content, "documentId", str, "a string")
    persisted = _of_type(extensions or {}, "persistedQuery", dict, "an object")
    if persisted is not None:
        document_id = _of_type(persisted, "sha256Hash", str, "a string")
        if persisted.get("version") != 1 or document_id is None:
            raise TransportError("extensions.persistedQuery: send version 1 and a sha256Hash")
    query = _of_type(content, "query", str, "a string")
    if query is None and document_id is None:
        raise TransportError(
            "query: send the text of a document, or the id of a known one as documentId"
        )
    return GraphQLRequest(
        query=query,
        document_id=document_id and document_id.removeprefix("sha256:"),
        operation_name=_of_type(content, "operationName", str, "a string"),
        variables=variables or {},
    )


def _of_type(content: dict[str, Any], name: str, kind: type, expected: str) -> Any:
    value = content.get(name)
    if value is not None and not isinstance(value, kind):
        raise TransportError(f"{name}: expected {expected}, not {_JSON_NAMES[type(value)]}")
    return value
