"""Global ids, the interface of what has one, and the registry of its types.

A subclass of ``Node`` registers itself, so that nobody else has to import it: ``node_type`` finds
it by the name in an id, and ``node_of`` by the class of a row of the domain.
"""

import base64
import dataclasses
import functools
from typing import TYPE_CHECKING, Annotated, Any, Self, cast
from uuid import UUID

import strawberry

from domain.core.errors import invalid, not_found

if TYPE_CHECKING:
    from graph.core.context import Context

MAX_SHOWN = 60

NodeId = Annotated[strawberry.ID, strawberry.argument(name="id", description="Its global id.")]

_by_name: dict[str, type["Node"]] = {}
_by_row: dict[type, type["Node"]] = {}


@strawberry.interface
class Node:
    """An object that can be asked for again by its id."""

    row: strawberry.Private[Any]
    id: strawberry.ID = strawberry.field(
        description="Opaque and unique across all types; accepted wherever an id is asked for."
    )

    def __init_subclass__(cls, rows: tuple[type, ...] = ()) -> None:
        """Register the type, which is made of ``rows`` of those classes.

        Raises:
            ValueError: another type has the name.
        """
        super().__init_subclass__()
        if Node not in cls.__bases__:
            # It is of the type that it extends.
            return
        if cls.__name__ in _by_name:
            raise ValueError(f"there is a node type {cls.__name__} already")
        _by_name[cls.__name__] = cls
        _by_row.update(dict.fromkeys(rows, cls))

    @classmethod
    def of(cls, row: Any) -> Self:
        """The row as a client sees it."""
        return cls.made_of(row)

    @classmethod
    def made_of(cls, row: Any, **others: Any) -> Self:
        """An object with the row's values of the same names, and ``others``."""
        same = {name: getattr(row, name) for name in _plain(cast(Any, cls)) if name not in others}
        return cls(id=global_id(cls.__name__, row.id), row=row, **same, **others)

    @classmethod
    async def read(cls, context: "Context", row_id: UUID) -> object | None:
        """The row of that id, read with those of the other nodes in the answer; None if none."""
        raise NotImplementedError

    @classmethod
    def permit(cls, context: "Context", row_id: UUID, *field: str) -> None:
        """Check that the caller may see the object. Raises DomainError FORBIDDEN."""

    @classmethod
    async def find(cls, context: "Context", row_id: UUID | None) -> Self | None:
        """The object of that id; None if there is none, or no id."""
        row = None if row_id is None else await cls.read(context, row_id)
        return None if row is None else cast(Self, node_of(row))

    @classmethod
    async def get(cls, context: "Context", row_id: UUID, *field: str) -> Self:
        """The object of that id. Raises DomainError NOT_FOUND, blaming ``field``."""
        found = await cls.find(context, row_id)
        if found is None:
            raise not_found(_words(cls.__name__), field)
        return found


def node_of(row: object) -> Node:
    """A row of the domain as a client sees it. Raises KeyError for a row of no node's."""
    return _by_row[type(row)].of(row)


def node_types() -> list[type[Node]]:
    """All types that were registered, by name."""
    return [_by_name[name] for name in sorted(_by_name)]


def node_type(name: str) -> type[Node] | None:
    """The type of that name in the schema; None if it is no node's."""
    return _by_name.get(name)


@functools.cache
def _plain(kind: type[Any]) -> tuple[str, ...]:
    """Names of the fields that hold a value, without ``id`` and ``row``."""
    fields = dataclasses.fields(kind)
    return tuple(one.name for one in fields if one.init and one.name not in ("id", "row"))


def _words(name: str) -> str:
    return "".join(f" {one.lower()}" if one.isupper() else one for one in name).strip()


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
