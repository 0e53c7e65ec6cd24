"""Errors that reach the client with a gRPC status."""

import grpc
from google.protobuf.message import Message

# How Edge's messages begin when the fault is its own; other messages are about the request.
_FAULTS = (
    "Service runtime error",
    "Inconsistent storage",
    "Out of memory",
    "Process cancelled",
    "Timeout",
)


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """A request is answered with this status and message."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def unimplemented(what: str) -> Refusal:
    """UNIMPLEMENTED, naming what is missing."""
    message = f"{what} is not implemented by the embedded Qdrant"
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, message)


def bad_input(message: str) -> Refusal:
    """INVALID_ARGUMENT, in the words of Qdrant's server."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"Wrong input: {message}")


def only(message: Message, *fields: str) -> None:
    """Refuse a message in which any other field than these is set: nothing is ignored unseen."""
    for field, _ in message.ListFields():
        if field.name not in fields:
            raise unimplemented(f"{message.DESCRIPTOR.name}.{field.name}")


def refusal_of(error: Exception) -> Refusal | None:
    """The refusal that an error of Edge amounts to; None where the engine itself is at fault.

    Edge raises bare `Exception`s, told apart by their text alone.
    """
    if isinstance(error, Refusal):
        return error
    text = str(error)
    if isinstance(error, (TypeError, ValueError, OverflowError)):
        return bad_input(text)
    if type(error) is not Exception or text.startswith(_FAULTS):
        return None
    if text.startswith("No point with id"):
        return Refusal(grpc.StatusCode.NOT_FOUND, f"Not found: {text}")
    return bad_input(text)
