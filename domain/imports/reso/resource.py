"""The address of a RESO resource, and the queries that read it."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from urllib.parse import parse_qsl, quote

import httpx

from domain.imports.reso.errors import ResoError

URL_LIMIT = 2_000
"""Characters of a resource's URL: PostgreSQL keeps it in an index."""

LINK_LIMIT = 8_000
"""Characters of a link to the next page."""

KEY = "ListingKey"
MODIFIED = "ModificationTimestamp"
ORDER = f"{MODIFIED},{KEY}"

OPTIONS = ("$filter", "$select", "$expand", "replication", "unselect")
"""What a resource's URL may ask for: the last two are of Trestle and Bridge."""

_LOCAL = ("localhost", "127.0.0.1", "::1")
_UNQUOTED = "$(),:/*'"


def secure(url: httpx.URL) -> bool:
    """Whether a secret may be sent there: over TLS, or within this machine."""
    return url.scheme == "https" or (url.scheme == "http" and url.host in _LOCAL)


def parse(url: str, named: str) -> httpx.URL:
    """The absolute URL that may be sent secrets.

    Args:
        url: what was given.
        named: what the error calls it; the URL itself may hold a password.

    Raises:
        ResoError: it is malformed, holds a user or password, or is neither HTTPS nor local.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise ResoError(f"{named} is not a URL; write https://HOST/PATH") from None
    if not parsed.host or not secure(parsed):
        raise ResoError(f"{named}: use https://; http:// is for localhost alone")
    if parsed.userinfo:
        raise ResoError(f"{named}: leave the user and password out of the URL")
    return parsed.copy_with(fragment=None)


class Resource:
    """A resource to read, such as ``https://api.example.com/odata/Property``.

    Args:
        url: its URL. The query may hold ``OPTIONS``: a filter of its own, fields, expansions.

    Attributes:
        url: the same in normal form, which names the feed.
        shown: the URL without its query, for messages.

    Raises:
        ResoError: the URL cannot be used.
    """

    def __init__(self, url: str) -> None:
        if len(url) > URL_LIMIT:
            raise ResoError(f"the URL is longer than {URL_LIMIT:,} characters")
        parsed = parse(url, "the URL")
        self._address = parsed.copy_with(query=None)
        self.shown = str(self._address)
        self._options = MappingProxyType(_options(parsed))
        self.url = self._with(self._options)
        if len(self.url) > URL_LIMIT:
            raise ResoError(f"the URL is longer than {URL_LIMIT:,} characters")

    def query(self, since: datetime | None, page_size: int, *, ordered: bool) -> str:
        """The URL of the first page.

        Args:
            since: leave out what was last modified then or before; None for everything.
            page_size: records of a page, at most. OData has ``$top`` limit the whole answer, but
                providers read it as the size of a page and fall back to 10 without it.
            ordered: ask for the order of modification.
        """
        options = dict(self._options)
        if since is not None:
            modified = f"{MODIFIED} gt {_moment(since)}"
            own = options.get("$filter")
            # Some servers parse the plainest filters alone.
            own = f"({own})" if own and " or " in own else own
            options["$filter"] = f"{own} and {modified}" if own else modified
        if ordered:
            options["$orderby"] = ORDER
        options["$top"] = str(page_size)
        return self._with(options)

    def follow(self, link: str, page: str, secret: str) -> str:
        """The URL of the next page.

        Args:
            link: what the server named, absolute or relative.
            page: the URL of the page that named it.
            secret: is removed if the link's query repeats it: a link is stored, a secret never.

        Raises:
            ResoError: the link leads to another server, or cannot be used.
        """
        try:
            found = httpx.URL(page).join(link)
        except (httpx.InvalidURL, ValueError):
            raise ResoError(f"{self.shown}: the link to the next page is not a URL") from None
        if _origin(found) != _origin(self._address) or found.userinfo:
            raise ResoError(
                f"{self.shown}: the link to the next page leads to {found.scheme}://{found.host}; "
                "the credentials are for this server alone"
            )
        for name, value in found.params.multi_items():
            if value == secret:
                found = found.copy_remove_param(name)
        text = str(found.copy_with(fragment=None))
        if len(text) > LINK_LIMIT or secret in text:
            raise ResoError(f"{self.shown}: the link to the next page cannot be kept")
        return text

    def _with(self, options: Mapping[str, str]) -> str:
        query = "&".join(
            f"{name}={quote(value, safe=_UNQUOTED)}" for name, value in options.items()
        )
        return f"{self.shown}?{query}" if query else self.shown


def by_offset(link: str) -> bool:
    """Whether a link counts records instead of naming the last: it skips one when one moves."""
    return any(name in httpx.URL(link).params for name in ("$skip", "skip", "offset"))


def _options(url: httpx.URL) -> dict[str, str]:
    # Not url.params, which would drop options without a value.
    given = parse_qsl(url.query.decode(), keep_blank_values=True)
    options = dict(given)
    if len(options) < len(given):
        raise ResoError("the URL repeats an option")
    for name in options:
        if name not in OPTIONS:
            raise ResoError(
                f"the URL's option {name!r:.60} cannot be used; it may have {', '.join(OPTIONS)}, "
                "and credentials come from the environment: RESO_TOKEN"
            )
    fields = [name.strip() for name in options.get("$select", f"{KEY},{MODIFIED}").split(",")]
    for name in (KEY, MODIFIED):
        if name not in fields:
            raise ResoError(f"the URL's $select lacks {name}, which every import needs")
    return options


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
