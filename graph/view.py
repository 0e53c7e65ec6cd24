"""GraphQL over HTTP: Strawberry's view, with the errors, status codes and page of this project."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.http.base import BaseRequestProtocol
from strawberry.types import ExecutionResult

from graph.context import Context
from graph.errors import formatted
from graph.schema import Schema

RESPONSE_TYPE = "application/graphql-response+json"
"""The media type under which a request that is refused as a whole has no status 200."""

Page = Callable[[Request], Awaitable[Response]]


class GraphQLView(GraphQL[Context, None]):
    """Answers GraphQL over HTTP, and browsers with a page if there is one.

    Args:
        schema: what is served.
        new_context: makes the context of a request.
        page: answers a browser that asks for HTML; without one it gets a 404.
    """

    def __init__(
        self, schema: Schema, new_context: Callable[[Request], Context], page: Page | None
    ) -> None:
        super().__init__(
            schema, graphql_ide="graphiql" if page else None, subscription_protocols=()
        )
        self._new_context = new_context
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; what is no GraphQL request is told so in the shape of a GraphQL response."""
        request = Request(scope, receive)
        try:
            response = await self.run(request)
        except HTTPException as error:
            body = {"errors": [{"message": error.reason, "extensions": {"code": "BAD_REQUEST"}}]}
            response = JSONResponse(body, error.status_code)
        await response(scope, receive, send)

    async def get_context(
        self,
        request: Request | WebSocket,
        response: Response | WebSocket,  # noqa: ARG002
    ) -> Context:
        """The context of this request."""
        assert isinstance(request, Request)
        return self._new_context(request)

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """Only for who asks for HTML by name; programs accept anything."""
        return super().should_render_graphql_ide(request) and "text/html" in request.headers.get(
            "accept", ""
        )

    async def render_graphql_ide(self, request: Request) -> Response:
        """The page."""
        assert self._page is not None
        return await self._page(request)

    def decode_json(self, data: str | bytes) -> object:
        """Parse a body. Raises JSONDecodeError, for bytes of no encoding and deep nesting too."""
        try:
            return json.loads(data)
        except (UnicodeDecodeError, RecursionError):
            raise json.JSONDecodeError("not JSON", "", 0) from None

    def parse_json(self, data: str | bytes) -> Any:
        """Parse a body or parameter, which must hold an object. Raises HTTPException."""
        parsed = super().parse_json(data)
        if not isinstance(parsed, dict):
            raise HTTPException(400, "The request must be a JSON object")
        return parsed

    async def process_result(
        self, request: Request, result: ExecutionResult
    ) -> GraphQLHTTPResponse:
        """The response's body, unexpected errors masked."""
        body: GraphQLHTTPResponse = {"data": result.data}
        if result.errors:
            body["errors"] = list(formatted(result.errors, request.state.request_id))
            if result.data is None and all(error.path is None for error in result.errors):
                # Nothing was executed; the specification wants no data then.
                del body["data"]
        if result.extensions:
            body["extensions"] = result.extensions
        return body

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """What the response starts from: the media type that the client asked for."""
        response: Response = await super().get_sub_response(request)
        if RESPONSE_TYPE in request.headers.get("accept", ""):
            response.media_type = RESPONSE_TYPE
        return response

    def create_response(
        self,
        response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse],
        sub_response: Response,
    ) -> Response:
        """The response: 200, or 400 for a refused request where the media type allows it."""
        media_type = sub_response.media_type or "application/json"
        refused = media_type == RESPONSE_TYPE and "data" not in response_data
        return Response(
            self.encode_json(response_data), 400 if refused else 200, media_type=media_type
        )
