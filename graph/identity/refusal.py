"""The one code under which a token is refused."""

from domain.errors import DomainError, ErrorCode


def refused(message: str) -> DomainError:
    """UNAUTHENTICATED; the message says what is wrong with the token."""
    return DomainError(ErrorCode.UNAUTHENTICATED, message)
