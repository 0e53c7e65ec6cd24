"""One line in the log for each request, one count and span, and one id for all of them."""

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.contract import log_context, tracing
from graph.core.metrics import requests

logger = logging.getLogger(__name__)

HEADER = "X-Request-ID"
ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,100}")
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that are asked for all the time: logged only when they fail, and not counted."""


class RequestLog:
    """Gives each request an id, the client's own if it sent one, and logs how it went."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await self._app(scope, receive, _counted(send))
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        sent = headers.get(HEADER, "")
        identity = sent if ACCEPTABLE.fullmatch(sent) else uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = identity
        status, started = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = identity
            await send(message)

        with log_context.about(request_id=identity):
            try:
                if tracing.on() and scope["path"] not in QUIET:
                    parent = headers.get(tracing.HEADER)
                    with tracing.span("request", parent=parent, kind="SERVER"):
                        await self._app(scope, receive, send_with_id)
                else:
                    await self._app(scope, receive, send_with_id)
            except Exception:
                logger.exception("%s %s failed", scope["method"], scope["path"])
                if status:
                    raise
                error = {
                    "message": "Something went wrong on our side; quote the request id to support.",
                    "extensions": {"code": "INTERNAL", "requestId": identity},
                }
                await JSONResponse({"errors": [error]}, 500)(scope, receive, send_with_id)
            finally:
                if scope["path"] not in QUIET:
                    # Who left before the answer began is counted as nginx does.
                    requests(state.get("transport", "http"), status or 499).inc()
                _log(scope, status, (time.perf_counter() - started) * 1000)


def _log(scope: Scope, status: int, took: float) -> None:
    quiet = scope["path"] in QUIET and status == 200
    level = logging.DEBUG if quiet else logging.INFO
    if logger.isEnabledFor(level):
        logger.log(
            level,
            "method=%s path=%s status=%d ms=%.1f",
            scope["method"],
            # A path is the client's text; repr keeps it on one line.
            repr(scope["path"]),
            status,
            took,
            extra={
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round(took, 1),
            },
        )


def _counted(send: Send) -> Send:
    """Count a WebSocket's handshake by how it is answered."""
    answered = False

    async def send_counted(message: Message) -> None:
        nonlocal answered
        if not answered:
            answered = True
            # To close before accepting is what HTTP calls 403.
            accepted = 101 if message["type"] == "websocket.accept" else 403
            requests("websocket", message.get("status", accepted)).inc()
        await send(message)

    return send_counted
