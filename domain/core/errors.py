"""Business errors: what a caller did that cannot be done, with a code a program can act on."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a request was refused."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    INVALID_INPUT = "INVALID_INPUT"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    NO_ACTIVE_MODEL = "NO_ACTIVE_MODEL"
    UNAVAILABLE = "UNAVAILABLE"


class DomainError(Exception):
    """A refused request. The message is for the caller and holds nothing internal.

    Attributes:
        code: the reason, for programs.
        field: the path of the offending input field, outermost first; empty if none is to blame.
    """

    def __init__(self, code: ErrorCode, message: str, field: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


def unauthenticated(message: str) -> DomainError:
    """No token, or one that is not trusted (any more); the message says why."""
    return DomainError(ErrorCode.UNAUTHENTICATED, message)


def not_found(noun: str, field: tuple[str, ...] = ()) -> DomainError:
    """The one answer for an id that never existed and for an id of another tenant."""
    return DomainError(ErrorCode.NOT_FOUND, f"No such {noun}.", field)


def invalid(message: str, *field: str) -> DomainError:
    """An input that breaks a rule; the message says which, and what is allowed."""
    return DomainError(ErrorCode.INVALID_INPUT, message, field)


def forbidden(message: str, *field: str) -> DomainError:
    """A role that may not do this."""
    return DomainError(ErrorCode.FORBIDDEN, message, field)
