"""Node types register themselves."""

from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
import strawberry

from domain.core.errors import DomainError, ErrorCode
from graph.core.context import Context
from graph.core.nodes import Node, global_id, node_of, node_type, node_types


@dataclass(frozen=True)
class ShedRow:
    """A row of the domain."""

    id: UUID
    doors: int


SHED = ShedRow(uuid4(), 2)


@strawberry.type
class GardenShed(Node, rows=(ShedRow,)):
    """What a client sees of it."""

    doors: int

    @classmethod
    async def read(cls, context: Context, row_id: UUID) -> ShedRow | None:
        return SHED if row_id == SHED.id else None


@pytest.fixture
def context() -> Context:
    """Not used by the type."""
    return Context.__new__(Context)


def test_a_row_becomes_a_node_without_its_type() -> None:
    found = node_of(SHED)
    assert isinstance(found, GardenShed)
    assert (found.id, found.doors) == (global_id("GardenShed", SHED.id), 2)
    assert GardenShed.made_of(SHED, doors=3).doors == 3
    with pytest.raises(KeyError):
        node_of(object())


def test_a_type_is_found_by_its_name() -> None:
    assert node_type("GardenShed") is GardenShed
    assert GardenShed in node_types()
    assert node_type("Node") is None
    assert node_type("Query") is None


async def test_a_node_is_read_by_its_id(context: Context) -> None:
    assert (await GardenShed.get(context, SHED.id)).id == global_id("GardenShed", SHED.id)
    assert await GardenShed.find(context, uuid4()) is None
    assert await GardenShed.find(context, None) is None
    with pytest.raises(DomainError, match="garden shed") as refused:
        await GardenShed.get(context, uuid4(), "ids", "0")
    assert (refused.value.code, refused.value.field) == (ErrorCode.NOT_FOUND, ("ids", "0"))


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="there is a node type GardenShed already"):
        type("GardenShed", (Node,), {})
    assert node_type("GardenShed") is GardenShed
