"""Which other sites' pages may ask this server from a browser."""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from graph.server.http.csrf import PREFLIGHTED
from graph.server.request_log import HEADER


def cors(origins: Sequence[str]) -> list[Middleware]:
    """What lets pages of those origins in; nothing for none, so that browsers keep all out.

    Credentials are never allowed: the token is in a header that the page sets itself, so that
    ``*`` gives nobody more than a program of one's own would have.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", HEADER, *PREFLIGHTED],
            expose_headers=[HEADER, "Retry-After"],
            max_age=3600,
        )
    ]
