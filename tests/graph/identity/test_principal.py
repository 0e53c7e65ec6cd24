"""What a principal may call."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from graphql import OperationDefinitionNode, parse

from domain.contract.vocabulary import Role
from domain.core.errors import DomainError
from graph.identity import Principal, root_fields

NEVER = datetime.max.replace(tzinfo=UTC)
USER = Principal(UUID(int=1), UUID(int=2), Role.VIEWER, NEVER)
SERVICE = Principal(UUID(int=1), None, Role.ANALYST, NEVER, frozenset({"property", "properties"}))


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("{ a: me { id } me { name } node(id: 1) { id } }", ("me", "node")),
        ("{ ...A } fragment A on Query { ...B me { id } } fragment B on Query { user { id } }",
         ("me", "user")),
        ("{ ... { ... on Query { me { id } } } }", ("me",)),
        ("{ ...A } fragment A on Query { ...A __typename }", ("__typename",)),
        ("{ me @skip(if: true) { id } }", ("me",)),
        ("{ ...Nowhere me { id } }", ("me",)),
        ("mutation { deleteUser(input: 1) { errors { code } } }", ("deleteUser",)),
        ("subscription { jobProgress { id } }", ("jobProgress",)),
    ],
)  # fmt: skip
def test_root_fields_are_found_wherever_they_hide(text: str, fields: tuple[str, ...]) -> None:
    document = parse(text)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    assert root_fields(document, operation) == fields


def test_a_service_is_limited_and_a_user_is_not() -> None:
    everything = ["me", "deleteProperty", "__schema"]
    USER.require(everything)
    SERVICE.require(["property", "properties", "__typename"])
    with pytest.raises(
        DomainError, match="'me'; it is limited to: properties, property"
    ) as refused:
        SERVICE.require(everything)
    assert refused.value.code == "FORBIDDEN"
    nothing = Principal(UUID(int=1), None, Role.ADMIN, NEVER, frozenset())
    with pytest.raises(DomainError, match="limited to: nothing"):
        nothing.require(["me"])


def test_a_service_is_no_user() -> None:
    assert USER.user_id == UUID(int=2)
    with pytest.raises(DomainError, match="speaks for no user") as refused:
        _ = SERVICE.user_id
    assert (refused.value.code, refused.value.field) == ("INVALID_INPUT", ("userId",))
