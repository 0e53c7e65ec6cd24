"""Global ids, and the interface of what has one."""

import base64
from typing import Annotated
from uuid import UUID

import strawberry

from domain.core.errors import invalid

MAX_SHOWN = 60

NodeId = Annotated[strawberry.ID, strawberry.argument(name="id", description="Its global id.")]


@strawberry.interface(description="An object that can be asked for again by its id.")
class Node:
    """An object with a global id."""

    id: strawberry.ID = strawberry.field(
        description="Opaque and unique across all types; accepted wherever an id is asked for."
    )


def global_id(type_name: str, value: UUID) -> strawberry.ID:
    """The id of an object: base64 of ``Type:uuid``."""
    return strawberry.ID(base64.b64encode(f"{type_name}:{value}".encode()).decode())


def split_id(value: str, *field: str) -> tuple[str, UUID]:
    """The type and the UUID in a global id.

    Raises:
        DomainError: INVALID_INPUT, blaming ``field``, for anything that ``global_id`` cannot make.
    """
    try:
        type_name, _, text = base64.b64decode(value, validate=True).decode().partition(":")
        found = type_name, UUID(text)
    except ValueError:
        raise _malformed(value, "a global id", field) from None
    if global_id(*found) != value:
        raise _malformed(value, "a global id", field)
    return found


def parse_id(value: str, type_name: str, *field: str) -> UUID:
    """The UUID in the global id of a ``type_name``.

    Raises:
        DomainError: INVALID_INPUT, blaming ``field``, for anything else.
    """
    found, uuid = split_id(value, *field)
    if found != type_name:
        raise _malformed(value, f"the id of a {type_name}", field)
    return uuid


def _malformed(value: str, expected: str, field: tuple[str, ...]) -> Exception:
    shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"
    return invalid(
        f"{'.'.join(field)} {shown!r}: expected {expected}, the base64 text that an `id` field "
        "returns",
        *field,
    )
