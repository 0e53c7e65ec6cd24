"""Errors as clients see them: expected ones with a code, unexpected ones masked and logged."""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ParamSpec, TypeVar

import strawberry
from graphql import GraphQLError, GraphQLFormattedError, GraphQLSyntaxError

from domain.core.errors import DomainError, ErrorCode
from graph.core import metrics
from graph.core.directives import WRITE, weight
from graph.core.enums import publish

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
        ErrorCode.UNAVAILABLE: "The search index does not answer, and the tenant's properties are "
        "not in memory or the question is about investors. Ask again in some seconds.",
        ErrorCode.NO_ACTIVE_MODEL: "The field needs a model, and the tenant has no active one yet, "
        "or the index has to answer and is being rewritten after an update.",
    },
)


class RequestErrorCode(StrEnum):
    """Why a request was refused as a whole, or a field failed through no fault of its input."""

    BAD_REQUEST = "BAD_REQUEST"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    PREFLIGHT_REQUIRED = "PREFLIGHT_REQUIRED"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    DOCUMENT_NOT_TRUSTED = "DOCUMENT_NOT_TRUSTED"
    DOCUMENT_TOO_LARGE = "DOCUMENT_TOO_LARGE"
    COST_LIMIT_EXCEEDED = "COST_LIMIT_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    TIMEOUT = "TIMEOUT"
    INTERNAL = "INTERNAL"


publish(
    RequestErrorCode,
    "`extensions.code` of an error that no input is to blame for. `ErrorCode` has the others.",
    {
        RequestErrorCode.BAD_REQUEST: "The request is no GraphQL request.",
        RequestErrorCode.METHOD_NOT_ALLOWED: "The HTTP method cannot be used for this.",
        RequestErrorCode.NOT_ACCEPTABLE: "The client accepts no media type of this server.",
        RequestErrorCode.UNSUPPORTED_MEDIA_TYPE: "The body is of another media type than JSON, or "
        "compressed.",
        RequestErrorCode.BODY_TOO_LARGE: "The body is larger than this server reads.",
        RequestErrorCode.PREFLIGHT_REQUIRED: "Another site could have made a browser send this.",
        RequestErrorCode.GRAPHQL_PARSE_FAILED: "The document is not GraphQL, or too large.",
        RequestErrorCode.GRAPHQL_VALIDATION_FAILED: "The document or its variables do not fit the "
        "schema.",
        RequestErrorCode.PERSISTED_QUERY_NOT_FOUND: "No document of this id is known; send its "
        "text.",
        RequestErrorCode.DOCUMENT_NOT_TRUSTED: "Only documents that the server knows from the "
        "start are run.",
        RequestErrorCode.DOCUMENT_TOO_LARGE: "The document is too deep, or asks for too many "
        "fields.",
        RequestErrorCode.COST_LIMIT_EXCEEDED: "The operation asks for more points than one may.",
        RequestErrorCode.RATE_LIMITED: "The tenant has spent its points; `retryAfter` says in how "
        "many seconds there are enough.",
        RequestErrorCode.TOO_MANY_CONNECTIONS: "No further stream is opened: the server or the "
        "tenant has as many as it may, or the server is stopping.",
        RequestErrorCode.TIMEOUT: "The operation took too long and was ended.",
        RequestErrorCode.INTERNAL: "Something failed on the server; the request id finds it in "
        "the log.",
    },
)


class RequestRefused(Exception):  # noqa: N818
    """A GraphQL request of which nothing is executed.

    Attributes:
        errors: why.
        status: the HTTP status where the client accepts ``application/graphql-response+json``;
            with ``application/json`` it is 200, as the specification wants.
        headers: further HTTP headers of the answer.
        extensions: of the answer.
    """

    def __init__(
        self,
        errors: Sequence[GraphQLError],
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(errors[0].message)
        self.errors = errors
        self.status = status
        self.headers = headers or {}
        self.extensions = extensions or {}


class TransportError(RequestRefused):
    """An HTTP request that is no GraphQL request; it has its status whatever is accepted."""

    def __init__(
        self,
        message: str,
        code: RequestErrorCode = RequestErrorCode.BAD_REQUEST,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__([coded(message, code)], status, headers)


def coded(message: str, code: RequestErrorCode) -> GraphQLError:
    """An error with that code."""
    return GraphQLError(message, extensions={"code": code.value})


@strawberry.type(directives=[weight(0)])
class UserError:
    """What was wrong with an input."""

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


@strawberry.type
class Payload:
    """What a mutation answers; it can be made of errors alone."""

    errors: list[UserError] = strawberry.field(
        default_factory=list,
        description="Why the input was refused, at most 100 of the reasons. Empty if it was not.",
    )


P = TypeVar("P", bound=Payload)
Resolver = Callable[Parameters, Awaitable[P]]


def mutation(*directives: object) -> Callable[[Resolver[Parameters, P]], Any]:
    """Make a mutation of a resolver; it costs ``WRITE`` points.

    Business errors are answered in its payload. Only a missing or bad token stays an error of the
    request, since it is no fault of the input.
    """

    def decorate(resolver: Resolver[Parameters, P]) -> Any:
        payload: type[P] = inspect.get_annotations(resolver)["return"]

        @functools.wraps(resolver)
        async def resolve(*args: Parameters.args, **kwargs: Parameters.kwargs) -> P:
            try:
                return await resolver(*args, **kwargs)
            except InvalidItemsError as error:
                return _payload(payload, error.errors)
            except DomainError as error:
                if error.code is ErrorCode.UNAUTHENTICATED:
                    raise
                return _payload(payload, [error])

        return strawberry.mutation(resolver=resolve, directives=[weight(WRITE), *directives])

    return decorate


def _payload(payload: type[P], errors: Sequence[DomainError]) -> P:
    for error in errors:
        metrics.refused(error.code, "payload")
    return payload(errors=[UserError.of(error) for error in errors])


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
        extensions = {"code": RequestErrorCode.INTERNAL.value, "requestId": request_id}
    elif error.extensions:
        extensions = error.extensions
    elif isinstance(error, GraphQLSyntaxError):
        extensions = {"code": RequestErrorCode.GRAPHQL_PARSE_FAILED.value}
    else:
        extensions = {"code": RequestErrorCode.GRAPHQL_VALIDATION_FAILED.value}
    result["extensions"] = extensions
    metrics.refused(extensions.get("code", ""), "errors")
    return result
