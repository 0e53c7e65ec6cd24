"""Around a search for candidates: what is read before and after it, and where it cannot be made."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, nullcontext
from uuid import UUID

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import IndexUnavailableError, ModelKey, OutdatedIndexError, Twin
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.core.reading import Reader

REWRITING = "The index of the active model is being written anew; ask again in some minutes."
UNAVAILABLE = "The search index does not answer; ask again in some seconds."


@contextmanager
def searching() -> Iterator[None]:
    """Raises DomainError NO_ACTIVE_MODEL or UNAVAILABLE for what the index cannot answer."""
    try:
        yield
    except OutdatedIndexError as error:
        raise DomainError(ErrorCode.NO_ACTIVE_MODEL, REWRITING) from error
    except IndexUnavailableError as error:
        raise DomainError(ErrorCode.UNAVAILABLE, UNAVAILABLE) from error


OpenReader = Callable[[], AbstractAsyncContextManager[Reader]]
"""Opens a transaction that reads, or gives one that is open."""


class Readers:
    """The transaction that a list is begun in, and those in which its rows are read.

    It stays open during the search where that is made in memory, which saves two round trips. A
    search of the index may wait for seconds, and no connection with it.
    """

    def __init__(self, database: Database, twin: Twin, tenant_id: UUID) -> None:
        self._database = database
        self._twin = twin
        self._tenant_id = tenant_id
        self._stack = AsyncExitStack()
        self._open: Reader | None = None

    async def __aenter__(self) -> "Readers":
        self._open = await self._stack.enter_async_context(self._database.read(self._tenant_id))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def reader(self) -> AbstractAsyncContextManager[Reader]:
        """The open transaction, or another."""
        return nullcontext(self._open) if self._open else self._database.read(self._tenant_id)

    async def before_search(self, model: ModelKey, where: PropertyFilter) -> None:
        """Close the transaction unless the search that follows waits for nobody."""
        if where.added or not self._twin.holds(model):
            self._open = None
            await self._stack.aclose()
