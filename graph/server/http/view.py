"""The endpoint: HTTP in, HTTP out, straight on ASGI."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import OperationType
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from graph.core.context import Context, NewContext
from graph.core.errors import RequestErrorCode, RequestRefused, TransportError, formatted
from graph.limits.disconnect import WhileConnected
from graph.server.http.bodies import read_body
from graph.server.http.csrf import refuse_forgery
from graph.server.http.negotiation import (
    ANSWERS,
    EVENT_STREAM,
    HTML_TYPE,
    JSON_TYPE,
    RESPONSE_TYPE,
    accepts_stream,
    response_type,
)
from graph.server.http.requests import from_body, from_url
from graph.server.http.sse import EventStreams
from graph.server.operations import Body, GraphQLRequest, Operations, Prepared

Page = Callable[[Request], Awaitable[Response]]

MAX_BODY = 1024 * 1024
"""Bytes of a request's body."""

SAFE_METHODS = ("GET", "HEAD")
ALLOWED = "GET, HEAD, OPTIONS, POST"


@dataclass(slots=True)
class Answer:
    """A response on its way out.

    Attributes:
        content: what becomes JSON.
        status: of HTTP.
        headers: of HTTP, beside those of the content.
    """

    content: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class GraphQLView:
    """Answers GraphQL over HTTP, and browsers with a page if there is one.

    Args:
        operations: prepares and runs what is asked for.
        new_context: makes the context of an operation.
        streams: answers who accepts a stream of events.
        page: answers a browser that would rather have HTML.
        batch_limit: how many requests a batch may hold; 0 for no batches.
    """

    def __init__(
        self,
        operations: Operations,
        new_context: NewContext,
        streams: EventStreams,
        page: Page | None = None,
        batch_limit: int = 0,
    ) -> None:
        self._operations = operations
        self._new_context = new_context
        self._streams = streams
        self._page = page
        self._batch_limit = batch_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; whatever is refused is told so in the shape of a GraphQL response."""
        headers = Headers(scope=scope)
        media_type = JSON_TYPE
        try:
            if scope["method"] == "OPTIONS":
                await Response(status_code=204, headers={"Allow": ALLOWED})(scope, receive, send)
                return
            wanted = response_type(headers.get("accept", ""), self._offered(scope["method"]))
            if self._page and wanted == HTML_TYPE:
                page = await self._page(Request(scope, receive))
                await page(scope, receive, send)
                return
            media_type = JSON_TYPE if wanted == EVENT_STREAM else wanted
            asked = await self._read(scope, receive, headers)
            if isinstance(asked, list):
                answer = await self._answer_all(asked, scope, receive, wanted)
            else:
                context = await self._new_context(scope, headers)
                prepared = self._prepare(asked, context, scope["method"])
                if _streamed(prepared, scope["method"], headers, wanted):
                    await self._streams.serve(prepared, context, scope, receive, send)
                    return
                async with WhileConnected(receive):
                    answer = await self._answer(prepared, context, scope, media_type)
        except TransportError as error:
            answer = _refusal(error, scope, media_type)
        except ClientDisconnect:
            return
        await _send(answer, media_type, send)

    def _offered(self, method: str) -> tuple[str, ...]:
        offered: tuple[str, ...] = ANSWERS
        if method != "HEAD":
            offered = (*offered, EVENT_STREAM)
        if self._page and method in SAFE_METHODS:
            offered = (*offered, HTML_TYPE)
        return offered

    def _prepare(
        self, asked: GraphQLRequest, context: Context, method: str
    ) -> Prepared | RequestRefused:
        """The operation, or why none may run. Raises TransportError."""
        try:
            prepared = self._operations.prepare(asked, context)
        except TransportError:
            raise
        except RequestRefused as error:
            return error
        if method in SAFE_METHODS and prepared.operation.kind is OperationType.MUTATION:
            raise TransportError(
                f"{method}: a mutation needs POST",
                RequestErrorCode.METHOD_NOT_ALLOWED,
                405,
                {"Allow": "POST"},
            )
        return prepared

    async def _read(
        self, scope: Scope, receive: Receive, headers: Headers
    ) -> GraphQLRequest | list[GraphQLRequest]:
        """What is asked for. Raises TransportError."""
        if scope["method"] in SAFE_METHODS:
            refuse_forgery(headers)
            return from_url(scope["query_string"])
        if scope["method"] == "POST":
            content_type = headers.get("content-type", "")
            body = await read_body(headers, receive, MAX_BODY)
            return from_body(content_type, body, self._batch_limit)
        raise TransportError(
            f"{scope['method'][:20]}: use POST, or GET for queries",
            RequestErrorCode.METHOD_NOT_ALLOWED,
            405,
            {"Allow": ALLOWED},
        )

    async def _answer_all(
        self, batch: list[GraphQLRequest], scope: Scope, receive: Receive, wanted: str
    ) -> Answer:
        """The answers to a batch, one after the other. Raises TransportError."""
        if wanted == EVENT_STREAM:
            raise TransportError(
                f"A batch is answered as {JSON_TYPE}", RequestErrorCode.NOT_ACCEPTABLE, 406
            )
        answers = []
        async with WhileConnected(receive):
            for asked in batch:
                context = await self._new_context(scope, Headers(scope=scope))
                prepared = self._prepare(asked, context, scope["method"])
                answers.append(await self._answer(prepared, context, scope, wanted))
        return Answer([one.content for one in answers])

    async def _answer(
        self,
        prepared: Prepared | RequestRefused,
        context: Context,
        scope: Scope,
        media_type: str,
    ) -> Answer:
        """The answer to one request. Raises TransportError."""
        try:
            if isinstance(prepared, RequestRefused):
                raise prepared
            return Answer(await self._operations.execute(prepared, context))
        except TransportError:
            raise
        except RequestRefused as error:
            return _refusal(error, scope, media_type)


def _streamed(
    prepared: Prepared | RequestRefused, method: str, headers: Headers, wanted: str
) -> bool:
    """Whether the answer is a stream: it is preferred, or the only way for a subscription."""
    if method == "HEAD" or not accepts_stream(headers.get("accept", "")):
        return False
    if wanted == EVENT_STREAM:
        # Of what is refused the stream's only event says why.
        return True
    return isinstance(prepared, Prepared) and prepared.operation.kind is OperationType.SUBSCRIPTION


def _refusal(error: RequestRefused, scope: Scope, media_type: str) -> Answer:
    content: Body = {"errors": formatted(error.errors, scope["state"]["request_id"])}
    if error.extensions:
        content["extensions"] = error.extensions
    told = media_type == RESPONSE_TYPE or isinstance(error, TransportError)
    return Answer(content, error.status if told else 200, dict(error.headers))


async def _send(answer: Answer, media_type: str, send: Send) -> None:
    body = orjson.dumps(answer.content)
    headers = [
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers.items()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
