"""The body of a request, read up to a limit."""

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from graph.core.errors import RequestErrorCode, TransportError


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The whole body, whether its length was announced or it came in chunks.

    Args:
        headers: of the request.
        receive: of ASGI.
        limit: bytes that a body may have.

    Raises:
        TransportError: 413 for a larger body, without reading on; 415 for a compressed one, whose
            size is not known before it is unpacked.
        ClientDisconnect: the client went away before it had sent all of it.
    """
    encoding = headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise TransportError(
            f"Content-Encoding {encoding[:100]!r}: send the body as it is, not compressed",
            RequestErrorCode.UNSUPPORTED_MEDIA_TYPE,
            415,
        )
    # The HTTP parser has seen to it that a length is a number; one of many digits is too large.
    announced = headers.get("content-length", "0")
    if len(announced) > 18 or (announced.isdecimal() and int(announced) > limit):
        raise _too_large(limit)
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _too_large(limit: int) -> TransportError:
    return TransportError(
        f"The body is larger than {limit:,} bytes; send less at a time",
        RequestErrorCode.BODY_TOO_LARGE,
        413,
        # What is left of the body is not read, so the connection cannot be used again.
        {"Connection": "close"},
    )
