"""GraphQL over WebSockets, by the protocol graphql-transport-ws.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md

The token comes in the payload of ``connection_init``, as ``Authorization: Bearer <token>``, or in
the header of that name where a client can set one. It is looked at again with every operation, when
an event tells that its user may do something else, and every ``RECHECK_EVERY`` seconds, so that a
socket ends with its token, or soon after its user was deactivated or given another role.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack, aclosing, suppress
from functools import partial
from uuid import uuid4

import orjson
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from domain.contract import log_context
from domain.core.errors import DomainError
from graph.core.context import Context, NewContext
from graph.core.errors import RequestRefused, TransportError, formatted
from graph.server.http.connections import (
    SEND_WITHIN,
    Connections,
    TooManyError,
    end_of_token,
    time_left,
)
from graph.server.http.messages import ClosedError, Code, Message, id_of, parsed, payload_of
from graph.server.http.requests import to_request
from graph.server.operations import GraphQLRequest, Operations

logger = logging.getLogger(__name__)

SUBPROTOCOL = "graphql-transport-ws"
MAX_OPERATIONS = 100
"""Operations under way on one socket."""

INIT_WITHIN = 5.0
"""Seconds that a client has to say who it is."""
PING_EVERY = 20.0
PONG_WITHIN = 10.0
CLOSE_WITHIN = 1.0
"""Seconds that the closing frame may take; then the connection is cut."""
IDLE_AFTER = 600.0
"""Seconds after which a socket without an operation is closed."""


class WebSockets:
    """The endpoint.

    Args:
        operations: prepares and runs what is asked for.
        new_context: makes the context of an operation.
        connections: counts the sockets, and ends them.
        origins: of pages that may connect besides those of this server; ``*`` for all.
    """

    def __init__(
        self,
        operations: Operations,
        new_context: NewContext,
        connections: Connections,
        origins: Sequence[str] = (),
    ) -> None:
        self._operations = operations
        self._new_context = new_context
        self._connections = connections
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket, from its handshake to its end."""
        websocket = WebSocket(scope, receive, send)
        # Browsers connect anywhere without asking, and CORS knows nothing of it.
        if not self._may_come_from(websocket.headers):
            await websocket.send_denial_response(PlainTextResponse("Forbidden origin", 403))
            return
        with ExitStack() as counted:
            try:
                counted.enter_context(self._connections.one())
                unknown = counted.enter_context(ExitStack())
                unknown.enter_context(self._connections.of_stranger())
            except TooManyError as error:
                await websocket.send_denial_response(PlainTextResponse(str(error), 503))
                return
            socket = _Socket(
                websocket, self._operations, self._new_context, self._connections, counted, unknown
            )
            await socket.serve()

    def _may_come_from(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or "*" in self._origins or origin in self._origins:
            return True
        return origin.partition("://")[2] == headers.get("host")


class _Socket:
    """One socket."""

    def __init__(
        self,
        websocket: WebSocket,
        operations: Operations,
        new_context: NewContext,
        connections: Connections,
        counted: ExitStack,
        unknown: ExitStack,
    ) -> None:
        self._websocket = websocket
        self._operations = operations
        self._new_context = new_context
        self._connections = connections
        self._counted = counted
        self._unknown = unknown
        self._id = uuid4().hex
        self._authorization = websocket.headers.get("authorization")
        self._initialised = False
        self._acknowledged = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._served = 0
        self._heard = self._busy = time.monotonic()

    async def serve(self) -> None:
        """Serve until either side closes; then nothing of it runs any more."""
        log_context.note(request_id=self._id)
        started, ended = time.monotonic(), "disconnected"
        if SUBPROTOCOL not in self._websocket.scope["subprotocols"]:
            await self._websocket.accept()
            await self._close(ClosedError(Code.NOT_ACCEPTABLE, f"Speak {SUBPROTOCOL}"))
            return
        await self._websocket.accept(SUBPROTOCOL, [(b"x-request-id", self._id.encode())])
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._watch())
                self._tasks.create_task(self._end_with_server())
                await self._read()
        except* WebSocketDisconnect:
            pass
        except* ClosedError as closed:
            error = _first(closed)
            ended = str(error)
            await self._close(error)
        except* Exception:
            logger.exception("the socket failed")
            ended = "failed"
            reason = f"Something went wrong on our side; quote {self._id} to support"
            await self._close(ClosedError(Code.TRY_LATER, reason))
        logger.info(
            "websocket operations=%d s=%.1f ended=%r",
            self._served,
            time.monotonic() - started,
            ended,
        )

    async def _close(self, error: ClosedError) -> None:
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._websocket.close(error.code, error.reason)

    async def _send(self, message: Message) -> None:
        try:
            async with asyncio.timeout(SEND_WITHIN):
                await self._websocket.send_text(orjson.dumps(message).decode())
        except TimeoutError:
            raise ClosedError(Code.TIMEOUT, "You do not read what you asked for") from None

    async def _read(self) -> None:
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received["code"])
            self._heard = time.monotonic()
            await self._handle(parsed(received.get("text")))

    async def _handle(self, message: Message) -> None:
        kind = message.get("type")
        if kind == "connection_init":
            await self._initialise(payload_of(message))
        elif kind == "ping":
            await self._send({"type": "pong", "payload": payload_of(message)})
        elif kind == "subscribe":
            self._begin(id_of(message), payload_of(message))
        elif kind == "complete":
            # It may have ended by itself in the meantime.
            if task := self._running.pop(id_of(message), None):
                self._busy = self._heard
                task.cancel()
        elif kind != "pong":
            raise ClosedError(Code.BAD_REQUEST, f"Unknown type of message: {str(kind)[:40]!r}")

    async def _initialise(self, payload: Message) -> None:
        if self._initialised:
            raise ClosedError(Code.TOO_MANY_INITS, "Too many initialisation requests")
        self._initialised = True
        for name, value in payload.items():
            if name.lower() == "authorization" and isinstance(value, str):
                self._authorization = value
        try:
            self._begun = await self._identify(self._id)
            tenant_id = self._begun.principal.tenant_id
            self._counted.enter_context(self._connections.of_tenant(tenant_id))
        except DomainError as error:
            raise _forbidden(error) from None
        except TooManyError as error:
            raise ClosedError(Code.TRY_LATER, str(error)) from None
        self._unknown.close()
        self._acknowledged.set()
        await self._send({"type": "connection_ack"})

    async def _identify(self, name: str) -> Context:
        """A context of whom the token speaks for now, if it still speaks for anybody."""
        scope = {**self._websocket.scope, "state": {"request_id": name}}
        headers = {"authorization": self._authorization} if self._authorization else {}
        context = await self._new_context(scope, Headers(headers))
        time_left(context.principal)
        return context

    def _begin(self, operation_id: str, payload: Message) -> None:
        if not self._acknowledged.is_set():
            raise ClosedError(Code.UNAUTHORIZED, "Unauthorized")
        if operation_id in self._running:
            raise ClosedError(Code.DUPLICATE, f"Subscriber for {operation_id} already exists")
        if len(self._running) >= MAX_OPERATIONS:
            raise ClosedError(Code.TRY_LATER, f"At most {MAX_OPERATIONS} operations at a time")
        try:
            request = to_request(payload)
        except TransportError as error:
            raise ClosedError(Code.BAD_REQUEST, str(error)) from None
        self._served += 1
        running = self._run(operation_id, request, f"{self._id}.{self._served}")
        self._running[operation_id] = self._tasks.create_task(running)

    async def _run(self, operation_id: str, request: GraphQLRequest, name: str) -> None:
        log_context.note(request_id=name)
        last: Message = {"id": operation_id, "type": "complete"}
        try:
            context = await self._identify(name)
            answers = self._operations.stream(self._operations.prepare(request, context), context)
            async with aclosing(answers):
                async for answer in answers:
                    await self._send({"id": operation_id, "type": "next", "payload": answer})
        except RequestRefused as error:
            last = {"id": operation_id, "type": "error", "payload": formatted(error.errors, name)}
        except DomainError as error:
            raise _forbidden(error) from None
        # From here on the client may use the id again, unless it ended this and did so already.
        if self._running.get(operation_id) is asyncio.current_task():
            del self._running[operation_id]
            self._busy = time.monotonic()
            await self._send(last)

    async def _watch(self) -> None:
        """Close what says nothing, what nobody uses, and what nobody answers on."""
        try:
            async with asyncio.timeout(INIT_WITHIN):
                await self._acknowledged.wait()
        except TimeoutError:
            raise ClosedError(Code.TIMEOUT, "Connection initialisation timeout") from None
        self._tasks.create_task(self._end_with_token())
        while True:
            await asyncio.sleep(PING_EVERY)
            pinged = time.monotonic()
            if not self._running and pinged - self._busy >= IDLE_AFTER:
                raise ClosedError(Code.IDLE, "Idle")
            await self._send({"type": "ping"})
            await asyncio.sleep(PONG_WITHIN)
            if self._heard < pinged:
                raise ClosedError(Code.TIMEOUT, "No pong")

    async def _end_with_token(self) -> None:
        identify = partial(self._identify, self._id)
        raise _forbidden(await end_of_token(self._begun, identify))

    async def _end_with_server(self) -> None:
        await self._connections.closing.wait()
        raise ClosedError(Code.GOING_AWAY, "The server is stopping; connect again")


def _forbidden(error: DomainError) -> ClosedError:
    return ClosedError(Code.FORBIDDEN, f"Forbidden: {error.message}")


def _first(group: BaseExceptionGroup[ClosedError]) -> ClosedError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
