"""What a request carries: who asks, its units of work and its loaders."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias, TypeVar
from uuid import UUID

import strawberry
from starlette.datastructures import Headers
from starlette.types import Scope

from domain.contract.vocabulary import Role
from domain.core.broker import Broker, Listener, Wanted
from domain.core.database import Database
from domain.core.errors import DomainError, forbidden
from domain.core.reading import Reading
from domain.core.work import Work
from domain.recommendations.recommender import Recommender
from graph.core.loaders import Loaders
from graph.core.nodes import parse_id
from graph.identity import Principal

L = TypeVar("L", bound=Loaders)


class Context:
    """One operation. Data is reached only through its principal, and so through a valid token.

    Args:
        database: the gate to the data.
        recommender: answers from the twin.
        broker: tells of changes.
        identity: who asks, or why that is not known.
        request_id: what the log knows the request by.
    """

    def __init__(
        self,
        database: Database,
        recommender: Recommender,
        broker: Broker,
        identity: Principal | DomainError,
        request_id: str,
    ) -> None:
        self._database = database
        self._broker = broker
        self._identity = identity
        self.recommender = recommender
        self.request_id = request_id
        self._loaders: dict[type[Loaders], Loaders] = {}

    @property
    def principal(self) -> Principal:
        """Who asks. Raises DomainError UNAUTHENTICATED."""
        if isinstance(self._identity, DomainError):
            raise self._identity
        return self._identity

    @property
    def tenant_id(self) -> UUID | None:
        """The caller's tenant; None for who is not known."""
        return None if isinstance(self._identity, DomainError) else self._identity.tenant_id

    def require(self, root_fields: Iterable[str]) -> None:
        """Check that the caller's token is for these. Raises DomainError FORBIDDEN."""
        if isinstance(self._identity, Principal):
            self._identity.require(root_fields)

    def work(self) -> AbstractAsyncContextManager[Work]:
        """A unit of work of the caller's tenant; resolvers run concurrently and open one each."""
        return self._database.work(self.principal.tenant_id)

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A transaction that reads the caller's tenant; as ``work``, for what is asked often."""
        return self._database.read(self.principal.tenant_id)

    def loaders(self, kind: type[L]) -> L:
        """The data loaders of that kind, with what they have read so far in this request."""
        found = self._loaders.get(kind)
        if not isinstance(found, kind):
            found = self._loaders[kind] = kind(self)
        return found

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[Work]:
        """A unit of work that writes; after its commit everything is read anew."""
        async with self.work() as work:
            yield work
        self.forget()

    def forget(self) -> None:
        """Have everything read anew from now on."""
        self._loaders.clear()

    def listen(self, wanted: Wanted) -> AbstractAsyncContextManager[Listener]:
        """Listen to those events of the caller's tenant that are wanted."""
        return self._broker.listen(self.principal.tenant_id, wanted)

    def investor(self, user_id: str | None, *field: str) -> UUID:
        """The user named, the caller if none.

        Raises:
            DomainError: FORBIDDEN if a viewer names another; INVALID_INPUT for a malformed id, and
                if a service names none.
        """
        if user_id is None:
            return self.principal.user_id
        principal = self.principal
        wanted = parse_id(user_id, "User", *field)
        if wanted != principal.user and not principal.privileged:
            raise forbidden("A viewer reads and acts as itself only.", *field)
        return wanted

    def require_writer(self) -> None:
        """Check that the caller may write properties. Raises DomainError FORBIDDEN."""
        self.require_privileged("Only analysts and admins may write properties.")

    def require_privileged(self, refusal: str) -> None:
        """Check that the caller is an analyst or admin. Raises DomainError FORBIDDEN."""
        if not self.principal.privileged:
            raise forbidden(refusal)

    def require_admin(self, refusal: str) -> None:
        """Check that the caller is an admin. Raises DomainError FORBIDDEN."""
        if self.principal.role is not Role.ADMIN:
            raise forbidden(refusal)


NewContext: TypeAlias = Callable[[Scope, Headers], Awaitable[Context]]
"""Makes the context of an operation that came with these headers."""

Info: TypeAlias = strawberry.Info[Context, None]

INPUT = strawberry.argument(name="input", description="What is to be done.")
"""The one argument of a mutation."""
