"""A client of RESO Web APIs that fetches one page at a time.

Credentials are sent only to the server of the resource and to the token URL. No message contains
them.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr

from domain.imports.reso.errors import ResoError
from domain.imports.reso.resource import Resource, parse
from domain.imports.reso.transport import Answer, Transport

PAGE_SIZE = 1_000
"""Records of a page, at most, if nothing else is asked for."""

WORDS_LIMIT = 200
"""Characters of what a server says that an error repeats."""

_NEXT_LINKS = ("@odata.nextLink", "@nextLink")


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token that the provider gave."""

    token: SecretStr


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What tokens are requested with, by OAuth 2.0's grant ``client_credentials``."""

    client_id: str
    client_secret: SecretStr
    token_url: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a resource.

    Attributes:
        records: its records, in order.
        next_link: the URL of the next page; None if this is the last.
    """

    records: list[dict[str, Any]]
    next_link: str | None


class Client:
    """Reads the pages of one resource.

    Args:
        resource: what to read.
        credentials: the credentials that the server accepts.
        transport: sends the requests; it is open.
        page_size: records of a page, at most; the server may send fewer.

    Raises:
        ResoError: the token URL cannot be used.
    """

    def __init__(
        self,
        resource: Resource,
        credentials: BearerToken | ClientCredentials,
        transport: Transport,
        *,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self.resource = resource
        self.page_size = page_size
        self._credentials = credentials
        self._transport = transport
        self._token: SecretStr | None = None
        if isinstance(credentials, ClientCredentials):
            parse(credentials.token_url, "RESO_TOKEN_URL")

    async def page(self, url: str) -> Page:
        """Fetch a page; ``url`` is a query of the resource or a link to a next page.

        Raises:
            ResoError: the server refuses, its answer cannot be used, or it kept failing.
        """
        answer, token = await self._fetch(url)
        shown = self.resource.shown
        try:
            document = _parsed(answer)
        except ValueError:
            raise ResoError(f"{shown}: the answer is not JSON; check the URL") from None
        records = document.get("value") if isinstance(document, dict) else None
        if not isinstance(records, list):
            words = self._words(answer)
            raise ResoError(f"{shown}: the answer is not OData: no list 'value'{words}")
        if str(document.get("@odata.context", "")).endswith("$metadata"):
            raise ResoError(f"{shown} lists resources; add the name of one, such as /Property")
        for number, record in enumerate(records, 1):
            if not isinstance(record, dict):
                raise ResoError(f"{shown}: record {number:,} of a page is not a JSON object")
        link = next((document[name] for name in _NEXT_LINKS if document.get(name)), None)
        if link is None:
            return Page(records, None)
        if not isinstance(link, str):
            raise ResoError(f"{shown}: the link to the next page is not text")
        return Page(records, self.resource.follow(link, url, token))

    async def _fetch(self, url: str) -> tuple[Answer, str]:
        """The answer of status 200, and the token that got it."""
        answer, token = await self._ask(url)
        if answer.status == httpx.codes.UNAUTHORIZED and self._renewable:
            self._token = None
            answer, token = await self._ask(url)
        if answer.status != httpx.codes.OK:
            raise self._refusal(answer)
        return answer, token

    async def _ask(self, url: str) -> tuple[Answer, str]:
        if self._token is None:
            self._token = await self._current_token()
        token = self._token.get_secret_value()
        headers = {
            "Accept": "application/json",
            # MLS Grid answers nothing else.
            "Accept-Encoding": "gzip",
            "Authorization": f"Bearer {token}",
            "Prefer": f"odata.maxpagesize={self.page_size}",
        }
        return await self._transport.send("GET", url, self.resource.shown, headers=headers), token

    @property
    def _renewable(self) -> bool:
        return isinstance(self._credentials, ClientCredentials)

    async def _current_token(self) -> SecretStr:
        if isinstance(self._credentials, BearerToken):
            token: Any = self._credentials.token.get_secret_value()
            problem = "RESO_TOKEN holds characters that a token cannot have"
        else:
            token = await self._requested_token(self._credentials)
            problem = "the answer at RESO_TOKEN_URL holds no access_token; check the URL"
        if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
            raise ResoError(problem)
        return SecretStr(token)

    async def _requested_token(self, credentials: ClientCredentials) -> Any:
        form = {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret.get_secret_value(),
        }
        if credentials.scope:
            form["scope"] = credentials.scope
        answer = await self._transport.send(
            "POST",
            credentials.token_url,
            "RESO_TOKEN_URL",
            headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
            data=form,
        )
        if answer.status != httpx.codes.OK:
            raise ResoError(
                f"no token at RESO_TOKEN_URL (status {answer.status}); check RESO_CLIENT_ID, "
                f"RESO_CLIENT_SECRET and RESO_SCOPE{self._words(answer)}"
            )
        document = None
        with suppress(ValueError):
            document = _parsed(answer)
        return document.get("access_token") if isinstance(document, dict) else None

    def _refusal(self, answer: Answer) -> ResoError:
        status, words = answer.status, self._words(answer)
        names = "RESO_CLIENT_ID and RESO_CLIENT_SECRET" if self._renewable else "RESO_TOKEN"
        if status == httpx.codes.UNAUTHORIZED:
            reason = f"the credentials are refused (status 401); check {names}"
        elif status == httpx.codes.FORBIDDEN:
            reason = "the credentials may not read this (status 403); ask the provider for access"
        elif status == httpx.codes.NOT_FOUND:
            reason = "there is nothing here (status 404); check the URL"
        elif httpx.codes.is_redirect(status):
            reason = f"the server redirects (status {status}); use the URL that it leads to"
        else:
            reason = f"the request is refused (status {status})"
        return ResoError(f"{self.resource.shown}: {reason}{words}", status)

    def _words(self, answer: Answer) -> str:
        """What a server says of its error, in OData's form or in OAuth's."""
        document = None
        with suppress(ValueError):
            document = _parsed(answer)
        if not isinstance(document, dict):
            return ""
        error = document.get("error")
        if isinstance(error, dict):
            said = error.get("message")
        else:
            said = document.get("error_description") or error
        return f": {self._clean(said)}" if isinstance(said, str) and said else ""

    def _clean(self, said: str) -> str:
        """One short line, without the secrets that a server may repeat."""
        secrets = [self._token]
        if isinstance(self._credentials, ClientCredentials):
            secrets.append(self._credentials.client_secret)
        for secret in secrets:
            if secret is not None:
                said = said.replace(secret.get_secret_value(), "***")
        line = " ".join(said.split())
        return line if len(line) <= WORDS_LIMIT else line[: WORDS_LIMIT - 1] + "…"


def _parsed(answer: Answer) -> Any:
    """The JSON value. Raises ValueError if it is none."""
    try:
        # Takes NaN and half a surrogate pair: one bad value is no reason to refuse a page.
        return json.loads(answer.body)
    except RecursionError:
        raise ValueError from None
