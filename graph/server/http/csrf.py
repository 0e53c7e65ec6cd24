"""Cross-site request forgery: what another site's page could make a visitor's browser send.

A browser lets any page send *simple* requests to any server: GET, and POST of a form, of text or of
nothing in particular. It asks the server first, by a preflight that CORS answers, before it sends
any other. This server therefore runs nothing that comes as a simple request from a browser:

- POST needs ``Content-Type: application/json``, which no simple request can have; ``requests`` sees
  to that.
- GET and HEAD, which have no content type, need a header that no simple request can have: a bearer
  token, or one of ``PREFLIGHTED`` with any value. Without one they are answered only if nothing
  tells of a browser.

A token is never in a cookie here, so that a forged request would be nobody's. But it would spend
this server's time from within a network that its sender cannot reach, and answers can be told
apart by their time.

Browsers of today send ``Sec-Fetch-Site`` to a server behind TLS or on localhost. A request without
it is taken for a browser's by ``Origin``, ``Referer``, ``Cookie`` or a ``User-Agent`` that starts
as every browser's does, which a page cannot change without a preflight. A plain GET of a program
passes, as the specification wants and its audits check; Apollo Server's rule refuses those too.
"""

from starlette.datastructures import Headers

from graph.core.errors import RequestErrorCode, TransportError

PREFLIGHTED = (
    "x-graphql-require-preflight",
    "graphql-require-preflight",
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "graphql-preflight",
)
"""Headers by which a client says that it was subject to a preflight; the first is this server's."""

_FROM_BROWSERS = ("origin", "referer", "cookie")


def refuse_forgery(headers: Headers) -> None:
    """Let a GET or HEAD pass unless another site could have had a browser send it.

    Raises:
        TransportError: 403, PREFLIGHT_REQUIRED.
    """
    # Not any Authorization: browsers send Basic and Negotiate by themselves.
    if headers.get("authorization", "")[:7].lower() == "bearer ":
        return
    if any(headers.get(name) for name in PREFLIGHTED) or not _from_other_site(headers):
        return
    raise TransportError(
        f"This could be a request that another site forged. Send the header {PREFLIGHTED[0]} "
        "with any value, or use POST with Content-Type: application/json",
        RequestErrorCode.PREFLIGHT_REQUIRED,
        403,
    )


def _from_other_site(headers: Headers) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        # "none" is what a person typed or bookmarked.
        return site not in ("same-origin", "none")
    return any(name in headers for name in _FROM_BROWSERS) or headers.get(
        "user-agent", ""
    ).startswith("Mozilla/")
