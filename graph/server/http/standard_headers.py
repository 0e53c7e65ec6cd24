"""Headers of every answer, for caches and browsers."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

VARY = {
    "/graphql": ("Accept", "Accept-Encoding", "Authorization"),
    "/metrics": ("Accept-Encoding", "Authorization"),
}
"""By path, the request headers that the answer depends on, besides those that CORS names."""

_STARTS = ("http.response.start", "websocket.http.response.start")


class StandardHeaders:
    """Adds headers to every answer, refusals and failures included.

    By default an answer is private and not stored; ``Cache-Control`` of its own stays. Browsers do
    not guess another media type.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "private, no-store")
                headers["X-Content-Type-Options"] = "nosniff"
                if vary := VARY.get(scope["path"]):
                    said = [
                        name.strip() for line in headers.getlist("Vary") for name in line.split(",")
                    ]
                    headers["Vary"] = ", ".join(dict.fromkeys((*vary, *said)))
            await send(message)

        await self._app(scope, receive, send_with_headers)
