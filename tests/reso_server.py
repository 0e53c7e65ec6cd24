"""A service that speaks RESO's Web API, with the habits of real ones and any fault at any request.

Records are dicts with ``ListingKey`` and ``ModificationTimestamp``.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.graph.live import serving

CLIENT_ID, CLIENT_SECRET = "agency", "s3cret-of-the-agency"
PATH = "/odata/Property"

Fault = Callable[[Request], Awaitable[Response | None]]
"""What happens instead of an answer, or before it where it returns None."""


def record(number: int, **fields: Any) -> dict[str, Any]:
    """A listing that was last modified ``number`` minutes into 2024."""
    moment = datetime(2024, 1, 1 + number // 1440, number // 60 % 24, number % 60)
    return {
        "ListingKey": f"L{number:05}",
        "ModificationTimestamp": moment.isoformat(timespec="milliseconds") + "Z",
        "ListPrice": 100_000 + number,
    } | fields


@dataclass
class ResoServer:
    """The service; its fields say how it behaves.

    Attributes:
        records: what it has.
        paging: ``token``: links hold where the last page ended; ``offset``: they count records;
            ``none``: ``$top`` limits the answer, as OData says.
        order: ``honoured``, ``ignored`` (by key instead) or ``refused``.
        most: records of a page, whatever the client asks for.
        faults: by the number of the request of records, from 1.
        expired: whether links of before are no longer known.
        uses: requests after which a token expires.
        asked: the query of each request of records, as it came.
        tokens: how many tokens were given out.
        given: the keys of each page given.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    paging: Literal["token", "offset", "none"] = "token"
    order: Literal["honoured", "ignored", "refused"] = "honoured"
    most: int = 1_000
    faults: dict[int, Fault] = field(default_factory=dict)
    expired: bool = False
    uses: int = 1_000_000
    address: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    given: list[list[str]] = field(default_factory=list)
    tokens: int = 0
    _left: int = 0

    @property
    def url(self) -> str:
        """The resource's URL."""
        return f"http://{self.address}{PATH}"

    @property
    def token(self) -> str:
        """The token that is valid now."""
        return f"token-number-{self.tokens}"

    def modify(self, key: str, moment: str, **fields: Any) -> None:
        """Change a record, or add one."""
        rest = [one for one in self.records if one["ListingKey"] != key]
        old = next((one for one in self.records if one["ListingKey"] == key), {})
        new = {**old, "ListingKey": key, "ModificationTimestamp": moment, **fields}
        self.records = [*rest, new]

    async def give_token(self, request: Request) -> Response:
        """Answer at the token URL."""
        form = dict(item.split("=", 1) for item in (await request.body()).decode().split("&"))
        if form.get("client_secret") != CLIENT_SECRET or form.get("client_id") != CLIENT_ID:
            words = f"unknown client with secret {form.get('client_secret')}"
            return JSONResponse({"error": "invalid_client", "error_description": words}, 401)
        assert form["grant_type"] == "client_credentials"
        self.tokens += 1
        self._left = self.uses
        return JSONResponse({"access_token": self.token, "token_type": "Bearer"})

    async def give_page(self, request: Request) -> Response:
        """Answer at the resource."""
        self.asked.append(dict(request.query_params))
        if fault := self.faults.get(len(self.asked)):
            happened = await fault(request)
            if happened is not None:
                return happened
        sent = request.headers.get("authorization", "")
        if sent != f"Bearer {self.token}" or (self.tokens and not self._left):
            return _error(401, f"not authorized: {sent}")
        self._left -= 1
        return self._page(request)

    def _page(self, request: Request) -> Response:
        query = request.query_params
        if self.expired and ("$skiptoken" in query or "$skip" in query):
            return _error(410, "the link has expired")
        if self.order == "refused" and "$orderby" in query:
            return _error(400, "$orderby is not supported")
        found = self.records
        if since := re.search(r"ModificationTimestamp gt (\S+)", query.get("$filter", "")):
            bound = datetime.fromisoformat(since[1])
            found = [one for one in found if _modified(one) > bound]
        sort = _place if self.order == "honoured" else _key
        found = sorted(found, key=sort)
        asked = int(query.get("$top", 10))
        size = min(self.most, asked)
        skipped = int(query.get("$skip", 0))
        if after := query.get("$skiptoken"):
            last = json.loads(base64.urlsafe_b64decode(after))
            found = [one for one in found if sort(one) > tuple(last)]
        page = found[skipped : skipped + size]
        document = {"@odata.context": f"http://{self.address}/odata/$metadata#Property"}
        if self.paging != "none" and len(found) > skipped + size:
            rest = {name: one for name, one in query.items() if not name.startswith("$skip")}
            if self.paging == "offset":
                rest["$skip"] = str(skipped + size)
            else:
                mark = json.dumps(sort(page[-1])).encode()
                rest["$skiptoken"] = base64.urlsafe_b64encode(mark).decode()
            link = "&".join(f"{name}={quote(one)}" for name, one in rest.items())
            document["@odata.nextLink"] = f"http://{self.address}{PATH}?{link}"
        self.given.append([one["ListingKey"] for one in page])
        return JSONResponse(document | {"value": page})


def _modified(one: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(one["ModificationTimestamp"])


def _key(one: dict[str, Any]) -> tuple[str, ...]:
    return (one["ListingKey"],)


def _place(one: dict[str, Any]) -> tuple[str, ...]:
    return (one["ModificationTimestamp"], one["ListingKey"])


def _error(status: int, words: str) -> Response:
    return JSONResponse({"error": {"code": str(status), "message": words}}, status)


def answer(content: Any, status: int = 200, **headers: str) -> Fault:
    """A fault: this answer; bytes as they are, all else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(_: Request) -> Response:
        return Response(body, status, named, "application/json")

    return fault


class _Cut(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"value": [', "more_body": True})


async def cut(_: Request) -> Response:
    """A fault: the connection breaks in the middle of the body."""
    return _Cut()


class _Endless(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = {"type": "http.response.body", "body": b" ", "more_body": True}
        gone = asyncio.create_task(_until_gone(receive))
        while not gone.done():
            await send(body)
            await asyncio.wait((gone,), timeout=0.01)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def endless(_: Request) -> Response:
    """A fault: a body that goes on for as long as somebody reads it."""
    return _Endless()


@dataclass
class ResoHost:
    """A port on which the ``server`` of the moment answers."""

    server: ResoServer = field(default_factory=ResoServer)
    address: str = ""

    def fresh(self) -> ResoServer:
        """Put a new server there."""
        self.server = ResoServer(address=self.address)
        return self.server

    async def give_token(self, request: Request) -> Response:
        """Answer at the token URL."""
        return await self.server.give_token(request)

    async def give_page(self, request: Request) -> Response:
        """Answer at the resource."""
        return await self.server.give_page(request)


@asynccontextmanager
async def reso_host() -> AsyncIterator[ResoHost]:
    """Serve on a port of its own."""
    host = ResoHost()
    routes = [Route("/token", host.give_token, methods=["POST"]), Route(PATH, host.give_page)]
    async with serving(Starlette(routes=routes)) as host.address:
        yield host
