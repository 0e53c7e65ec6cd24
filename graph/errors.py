"""Errors as clients see them: expected ones with a code, unexpected ones masked and logged."""

import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar

import strawberry
from graphql import GraphQLError, GraphQLFormattedError, GraphQLSyntaxError

from domain.errors import DomainError, ErrorCode
from graph.enums import publish

logger = logging.getLogger(__name__)

publish(
    ErrorCode,
    "Why a request was refused.",
    {
        ErrorCode.UNAUTHENTICATED: "No valid token came with the request.",
        ErrorCode.FORBIDDEN: "The caller's role does not allow this.",
        ErrorCode.NOT_FOUND: "There is no such object in the caller's tenant.",
        ErrorCode.INVALID_INPUT: "An argument or input field breaks a rule; its path is given.",
        ErrorCode.CURSOR_EXPIRED: "The list cannot go on, since what ranked it was changed or "
        "taken back: the model, the buy box or all feedback. Ask for the first page again.",
        ErrorCode.NO_ACTIVE_MODEL: "The tenant has no trained model yet.",
    },
)


@strawberry.type(description="What was wrong with an input.")
class UserError:
    """One refused part of an input."""

    code: ErrorCode = strawberry.field(description="The reason, for programs.")
    message: str = strawberry.field(description="The reason and the fix, for people.")
    path: list[str] = strawberry.field(
        description="The path of the offending input field, list positions included; may be empty."
    )

    @staticmethod
    def of(error: DomainError) -> "UserError":
        """A business error as a client sees it."""
        return UserError(code=error.code, message=error.message, path=list(error.field))


class InvalidItemsError(DomainError):
    """Several rules broken at once by one input, in ``errors``."""

    def __init__(self, errors: Iterable[DomainError]) -> None:
        self.errors = list(errors)
        super().__init__(ErrorCode.INVALID_INPUT, "The input breaks several rules.")


Parameters = ParamSpec("Parameters")


class Payload(Protocol):
    """A mutation's payload, which can be made of errors alone."""

    def __init__(self, *, errors: list[UserError]) -> None: ...


P = TypeVar("P", bound=Payload)
Resolver = Callable[Parameters, Awaitable[P]]


def refusals_into(payload: type[P]) -> Callable[[Resolver[Parameters, P]], Resolver[Parameters, P]]:
    """Have a mutation answer business errors in its payload.

    Only a missing or bad token stays an error of the request, since it is no fault of the input.
    """

    def decorate(resolver: Resolver[Parameters, P]) -> Resolver[Parameters, P]:
        @functools.wraps(resolver)
        async def resolve(*args: Parameters.args, **kwargs: Parameters.kwargs) -> P:
            try:
                return await resolver(*args, **kwargs)
            except InvalidItemsError as error:
                return payload(errors=[UserError.of(item) for item in error.errors])
            except DomainError as error:
                if error.code is ErrorCode.UNAUTHENTICATED:
                    raise
                return payload(errors=[UserError.of(error)])

        return resolve

    return decorate


def formatted(errors: Iterable[GraphQLError], request_id: str) -> list[GraphQLFormattedError]:
    """The ``errors`` of a response. What is unexpected is logged once and masked."""
    logged: set[int] = set()
    shown = []
    for error in errors:
        cause = _cause(error)
        if cause is not None and not isinstance(cause, DomainError) and id(cause) not in logged:
            logged.add(id(cause))
            logger.error("request %s failed at %s", request_id, error.path, exc_info=cause)
        shown.append(_formatted(error, cause, request_id))
    return shown


def _cause(error: GraphQLError) -> Exception | None:
    """What a resolver raised; None for an error of the document or its variables."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    if cause is None and error.path is not None:
        # The library's own complaint about what a resolver returned.
        return error
    return cause


def _formatted(
    error: GraphQLError, cause: Exception | None, request_id: str
) -> GraphQLFormattedError:
    result = error.formatted
    extensions: dict[str, Any]
    if isinstance(cause, DomainError):
        extensions = {"code": cause.code.value}
        if cause.field:
            extensions["field"] = list(cause.field)
    elif cause is not None:
        result["message"] = "Something went wrong on our side; quote the request id to support."
        extensions = {"code": "INTERNAL", "requestId": request_id}
    elif isinstance(error, GraphQLSyntaxError):
        extensions = {"code": "GRAPHQL_PARSE_FAILED"}
    else:
        extensions = {"code": "GRAPHQL_VALIDATION_FAILED"}
    result["extensions"] = extensions
    return result
