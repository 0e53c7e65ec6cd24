"""Compressed answers, for clients that accept gzip.

The size of a compressed answer can tell an eavesdropper whether a secret in it equals what an
attacker had put beside it (BREACH). The attacker needs a browser that sends the victim's
credentials by itself; here they are in a header that only the client's own code sets.

zstd is not offered: Starlette compresses with gzip alone, Python has zstd from 3.14 on, and clients
that accept zstd accept gzip.
"""

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from graph.server.http.negotiation import accepts_gzip

SMALLEST = 2048
"""Bytes of an answer from which it is compressed."""

LEVEL = 4
"""Of zlib. On 168 KB of an answer, level 9 takes more than four times as long for 4% less."""

IN_THREAD = 32 * 1024
"""Bytes of an answer from which a thread compresses it, so that other requests do not wait."""


class Compression:
    """Compresses the answers of an endpoint, except event streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Starlette looks for the word gzip alone and ignores its quality.
        self._compressed = GZipMiddleware(
            app, minimum_size=SMALLEST, compresslevel=LEVEL, thread_minimum_size=IN_THREAD
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        accepted = accepts_gzip(Headers(scope=scope).get("accept-encoding", ""))
        await (self._compressed if accepted else self._app)(scope, receive, send)
