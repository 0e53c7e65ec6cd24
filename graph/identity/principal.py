"""Who is asking, and what it may call."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from domain.contract.vocabulary import Role
from domain.core.errors import forbidden, invalid


@dataclass(frozen=True, slots=True)
class Principal:
    """A user of a tenant in one role, or a service that acts for the tenant.

    Attributes:
        tenant_id: the only tenant that it sees.
        user: who it is; None for a service, which is no user.
        role: what it may do: of a user the lesser of its own role and the one its token names.
        expires_at: when its token ends, and with it whatever it holds open.
        operations: the root fields that a service's token is limited to; None for a user, who
            may call all that its role may.
    """

    tenant_id: UUID
    user: UUID | None
    role: Role
    expires_at: datetime
    operations: frozenset[str] | None = None

    @property
    def user_id(self) -> UUID:
        """Who it is. Raises DomainError INVALID_INPUT naming ``userId`` for a service."""
        if self.user is None:
            raise invalid("userId: a service's token speaks for no user; name one", "userId")
        return self.user

    @property
    def privileged(self) -> bool:
        """Whether it may write, and may read and act for the other users of its tenant."""
        return self.role is not Role.VIEWER

    def may(self, field: str) -> bool:
        """Whether its token allows a root field of that name; its role is not asked."""
        # Introspection tells of the schema alone, which is no secret of a tenant's.
        return self.operations is None or field in self.operations or field.startswith("__")

    def require(self, fields: Iterable[str]) -> None:
        """Check root fields before any of them runs.

        Raises:
            DomainError: FORBIDDEN, naming the first field that the token is not for.
        """
        for field in fields:
            if not self.may(field):
                allowed = ", ".join(sorted(self.operations or ())) or "nothing"
                raise forbidden(f"This token is not for {field!r}; it is limited to: {allowed}.")


def root_fields(document: DocumentNode, operation: OperationDefinitionNode) -> tuple[str, ...]:
    """The names of the root fields that an operation could call, in order, through fragments too.

    Fields that a directive may leave out count. Aliases do not hide a field. An unknown fragment
    counts for nothing: validation refuses it.
    """
    fragments = {
        one.name.value: one
        for one in document.definitions
        if isinstance(one, FragmentDefinitionNode)
    }
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting: list[SelectionSetNode] = [operation.selection_set]
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FieldNode):
                found.setdefault(node.name.value)
            elif not isinstance(node, FragmentSpreadNode):
                waiting.append(node.selection_set)  # type: ignore[attr-defined]  # inline fragment
            elif node.name.value in fragments and node.name.value not in seen:
                seen.add(node.name.value)
                waiting.append(fragments[node.name.value].selection_set)
    return tuple(found)
