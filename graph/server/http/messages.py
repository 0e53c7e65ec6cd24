"""Messages of graphql-transport-ws as they come in, and the codes that sockets are closed with."""

from enum import IntEnum
from typing import Any

import orjson

MAX_MESSAGE = 1024 * 1024
"""Characters of a message. The server's own limit, in bytes, must be as low, for it is what keeps
larger ones out of memory: ``uvicorn --ws-max-size``."""
MAX_ID = 128

Message = dict[str, Any]


class Code(IntEnum):
    """Why a socket is closed. Clients connect again after 1001, 1013, 4403 and 4408."""

    IDLE = 1000
    GOING_AWAY = 1001
    TOO_BIG = 1009
    TRY_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    NOT_ACCEPTABLE = 4406
    TIMEOUT = 4408
    DUPLICATE = 4409
    TOO_MANY_INITS = 4429


class ClosedError(Exception):
    """Ends the socket, with a code and a reason for the client."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(f"{code.value} {reason}")
        self.code = code
        # A frame of control holds so many bytes.
        self.reason = reason.encode()[:120].decode(errors="ignore")


def parsed(text: str | None) -> Message:
    """The message in a frame of text. Raises ClosedError."""
    if text is None:
        raise ClosedError(Code.BAD_REQUEST, "Send text messages")
    if len(text) > MAX_MESSAGE:
        raise ClosedError(Code.TOO_BIG, f"A message has at most {MAX_MESSAGE:,} characters")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ClosedError(Code.BAD_REQUEST, "A message is JSON") from None
    if not isinstance(message, dict):
        raise ClosedError(Code.BAD_REQUEST, "A message is a JSON object")
    return message


def payload_of(message: Message) -> Message:
    """The payload that a message may have. Raises ClosedError."""
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise ClosedError(Code.BAD_REQUEST, "A payload is an object")
    return payload or {}


def id_of(message: Message) -> str:
    """The operation that a message is about. Raises ClosedError."""
    found = message.get("id")
    if not isinstance(found, str) or not 1 <= len(found) <= MAX_ID:
        raise ClosedError(Code.BAD_REQUEST, f"An id is text of 1 to {MAX_ID} characters")
    return found
