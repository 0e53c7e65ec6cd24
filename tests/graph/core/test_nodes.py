"""Node types register themselves. Those of the server show it: a type of a test would stay."""

from uuid import UUID, uuid4

import pytest

from domain.contract.vocabulary import Role
from domain.core.errors import DomainError, ErrorCode
from domain.users.users import UserRow
from graph.core.context import Context
from graph.core.nodes import Node, global_id, node_of, node_type, node_types
from graph.users.types import User

ROW = UserRow(uuid4(), Role.ANALYST, "ann", "ann@example.com", "Ann", False, None, None)


class Known(User):
    """Of the type that it extends; one row is known without a database."""

    @classmethod
    async def read(cls, context: Context, row_id: UUID) -> UserRow | None:
        return ROW if row_id == ROW.id else None


def test_a_row_becomes_a_node_without_its_type() -> None:
    found = node_of(ROW)
    assert isinstance(found, User)
    assert found.id == global_id("User", ROW.id)
    assert (found.external_id, found.role, found.active) == ("ann", Role.ANALYST, True)
    assert User.of(ROW, Role.VIEWER).role is Role.VIEWER
    with pytest.raises(KeyError):
        node_of(object())


def test_a_type_is_found_by_its_name() -> None:
    assert node_type("User") is User
    assert User in node_types()
    assert Known not in node_types()
    for name in ("Node", "Known", "Query"):
        assert node_type(name) is None


async def test_a_node_is_read_by_its_id() -> None:
    context = Context.__new__(Context)
    assert (await Known.get(context, ROW.id)).row is ROW
    assert await Known.find(context, uuid4()) is None
    assert await Known.find(context, None) is None
    with pytest.raises(DomainError, match="known") as refused:
        await Known.get(context, uuid4(), "ids", "0")
    assert (refused.value.code, refused.value.field) == (ErrorCode.NOT_FOUND, ("ids", "0"))


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="there is a node type User already"):
        type("User", (Node,), {})
    assert node_type("User") is User
