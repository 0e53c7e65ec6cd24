"""GraphQL over Server-Sent Events, each operation as a stream of its own.

The distinct connections mode of
https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md: ``next`` for each answer and
``complete`` at the end. A stream that ends without it, since the server stops or the token has
ended or allows something else, is to be asked for again.
"""

import asyncio
from contextlib import ExitStack, aclosing, suppress
from functools import partial

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from graph.core.context import Context, NewContext
from graph.core.errors import RequestErrorCode, RequestRefused, TransportError, formatted
from graph.server.http.connections import SEND_WITHIN, Connections, TooManyError, end_of_token
from graph.server.http.negotiation import EVENT_STREAM
from graph.server.operations import Body, Operations, Prepared

BEAT_EVERY = 15.0
"""Seconds between comments that keep proxies from closing a silent stream."""

HEADERS = [
    (b"content-type", f"{EVENT_STREAM}; charset=utf-8".encode()),
    # Else nginx would keep events back.
    (b"x-accel-buffering", b"no"),
]


class _EndedError(Exception):
    """Ends the stream."""


class EventStreams:
    """Answers operations as streams of events.

    Args:
        operations: runs what is asked for.
        new_context: makes the context of an operation.
        connections: counts the streams, and ends them.
    """

    def __init__(
        self,
        operations: Operations,
        new_context: NewContext,
        connections: Connections,
    ) -> None:
        self._operations = operations
        self._new_context = new_context
        self._connections = connections

    async def serve(
        self,
        prepared: Prepared | RequestRefused,
        context: Context,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request; what is refused is the stream's only event.

        Raises:
            TransportError: 503, there are too many connections.
        """
        with ExitStack() as counted:
            try:
                counted.enter_context(self._connections.one())
                if context.tenant_id:
                    counted.enter_context(self._connections.of_tenant(context.tenant_id))
            except TooManyError as error:
                code = RequestErrorCode.TOO_MANY_CONNECTIONS
                raise TransportError(str(error), code, 503, {"Retry-After": "5"}) from None
            scope["state"]["transport"] = "sse"
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._end_with_server())
                    tasks.create_task(_end_with_client(receive))
                    tasks.create_task(_beat(send))
                    if context.tenant_id:
                        tasks.create_task(self._end_with_token(context, scope))
                    await self._write(prepared, context, send)
                    raise _EndedError
            except* _EndedError:
                # Who does not read is left without an end.
                with suppress(_EndedError):
                    await _send(send, b"", more=False)

    async def _write(
        self, prepared: Prepared | RequestRefused, context: Context, send: Send
    ) -> None:
        try:
            if isinstance(prepared, RequestRefused):
                raise prepared
            async with aclosing(self._operations.stream(prepared, context)) as answers:
                async for answer in answers:
                    await _send_event(send, "next", answer)
        except RequestRefused as error:
            refusal: Body = {"errors": formatted(error.errors, context.request_id)}
            if error.extensions:
                refusal["extensions"] = error.extensions
            await _send_event(send, "next", refusal)
        await _send_event(send, "complete", None)

    async def _end_with_token(self, context: Context, scope: Scope) -> None:
        await end_of_token(context, partial(self._new_context, scope, Headers(scope=scope)))
        raise _EndedError

    async def _end_with_server(self) -> None:
        await self._connections.closing.wait()
        raise _EndedError


async def _end_with_client(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _EndedError


async def _beat(send: Send) -> None:
    while True:
        await asyncio.sleep(BEAT_EVERY)
        await _send(send, b":\n\n")


async def _send_event(send: Send, name: str, answer: Body | None) -> None:
    # JSON has no line breaks outside of strings, and escapes those within.
    data = b"" if answer is None else orjson.dumps(answer)
    await _send(send, b"event: %b\ndata: %b\n\n" % (name.encode(), data))


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    try:
        async with asyncio.timeout(SEND_WITHIN):
            await send({"type": "http.response.body", "body": body, "more_body": more})
    except TimeoutError:
        raise _EndedError from None
