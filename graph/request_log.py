"""One line in the log for each request, and one id for all that is logged on its behalf."""

import logging
import re
import time
from contextvars import ContextVar
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

HEADER = "X-Request-ID"
ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,100}")
QUIET = frozenset({"/healthz", "/readyz"})
"""Paths that are asked for all the time, and logged only when they fail."""

request_id: ContextVar[str] = ContextVar("request_id", default="-")


def configure_logging(level: str) -> None:
    """Log to standard error from ``level`` on, unless logging is set up already."""
    handler = logging.StreamHandler()
    handler.addFilter(_note_request)
    logging.basicConfig(
        level=level.upper(),
        handlers=[handler],
        format="%(asctime)s %(levelname)s %(name)s request=%(request)s %(message)s",
    )


def _note_request(record: logging.LogRecord) -> bool:
    record.request = request_id.get()
    return True


class RequestLog:
    """Gives each request an id, the client's own if it sent one, and logs how it went."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(HEADER, "")
        identity = sent if ACCEPTABLE.fullmatch(sent) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = identity
        token = request_id.set(identity)
        status, started = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = identity
            await send(message)

        try:
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
            took = (time.perf_counter() - started) * 1000
            quiet = scope["path"] in QUIET and status == 200
            logger.log(
                logging.DEBUG if quiet else logging.INFO,
                "method=%s path=%s status=%d ms=%.1f",
                scope["method"],
                # A path is the client's text; repr keeps it on one line.
                repr(scope["path"]),
                status,
                took,
            )
            request_id.reset(token)
