"""Servers of the representative query from memory, for ``bench.graphql_query`` to ask over HTTP."""

from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry import Schema
from strawberry.asgi import GraphQL

from bench.graphql_fixture import Context, query_type
from bench.graphql_query import by_hand
from graph.core.strawberry_internals import graphql_schema
from graph.limits.meter import Meter
from graph.server.documents import DocumentStore
from graph.server.http.connections import Connections
from graph.server.http.sse import EventStreams
from graph.server.http.view import GraphQLView
from graph.server.operations import Operations
from graph.server.request_log import RequestLog


class StockGraphQL(GraphQL[Context, None]):
    """Strawberry's own view."""

    async def get_context(self, request: Any, response: Any) -> Any:  # noqa: ARG002
        """From memory."""
        return Context()


class OurContext(Context):
    """What the server's view and operations ask of a context, beside what resolvers do."""

    tenant_id = None
    request_id = "bench"

    def require(self, _root_fields: Any) -> None:
        """Allow everything."""


async def ready(_: Request) -> Response:
    """Say that requests can be answered."""
    return Response()


def stock() -> ASGIApp:
    """``strawberry.asgi.GraphQL``, as its documentation has it."""
    view = StockGraphQL(Schema(query_type(told=False)))
    return Starlette(routes=[Route("/readyz", ready), Route("/graphql", view)])


def ours(*, told: bool) -> ASGIApp:
    """The server's view, with its limits and its log."""
    documents = DocumentStore(graphql_schema(Schema(query_type(told=told))))
    operations = Operations(documents, Meter(10_000_000, 10_000_000, 0), 30)

    async def new_context(_scope: Scope, _headers: Headers) -> Any:
        return OurContext()

    streams = EventStreams(operations, new_context, Connections(1000, 1000))
    view = GraphQLView(operations, new_context, streams)
    routes = [Route("/readyz", ready), Route("/graphql", view)]
    return Starlette(routes=routes, middleware=[Middleware(RequestLog)])


def waiting() -> ASGIApp:
    """Ours, affinities by a dataloader."""
    return ours(told=False)


def told() -> ASGIApp:
    """Ours, affinities told by the list."""
    return ours(told=True)


def floor() -> ASGIApp:
    """By hand for this query alone, on ASGI alone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if body:
            orjson.loads(body)
        content = await by_hand()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app
