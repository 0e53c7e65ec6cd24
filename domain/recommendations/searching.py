"""What a caller is told where a search for candidates cannot be made."""

from collections.abc import Iterator
from contextlib import contextmanager

from domain.contract.snapshots import IndexUnavailableError, OutdatedIndexError
from domain.core.errors import DomainError, ErrorCode

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
