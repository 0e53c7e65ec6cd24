"""HTTP for feeds: one request at a time, at a limited rate, tried again where that may help.

Transient failures are tried ``TRIES`` times in all: status 408, 425, 429, 500, 502, 503 and 504,
time-outs, broken connections, bodies that end early. Pauses double and are drawn at random, so that
clients do not come back together; a ``Retry-After`` that is longer is kept. Redirects are not
followed.
"""

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Self

import httpx

from domain.imports.reso.errors import ResoError

logger = logging.getLogger(__name__)

TRIES = 8
"""How often a request is sent in all."""

FIRST_PAUSE = 1.0
"""Seconds at most before the second try; twice as long before each further one."""

LONGEST_PAUSE = 60.0
"""Seconds at most between two tries, unless the server asks for more."""

PATIENCE = 900.0
"""Seconds at most that the server may ask to wait."""

WITHIN = 300.0
"""Seconds that one answer may take, from the connection to the last byte."""

SILENCE = 60.0
"""Seconds without a byte after which a connection counts as broken."""

ANSWER_LIMIT = 64 << 20
"""Bytes of an answer, unpacked."""

RATE = 1.0
"""Requests per second, at most."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came whole, of any status that trying again does not change."""

    status: int
    body: bytes


class _PassingError(Exception):
    """A try failed in a transient way. ``pause`` is how many seconds the server asks to wait."""

    def __init__(self, reason: str, pause: float) -> None:
        super().__init__(reason)
        self.pause = pause


class Transport:
    """Sends requests one after another. Use it as an asynchronous context.

    Args:
        rate: requests per second, at most.
        within: seconds that one answer may take.
        sleep: waits so many seconds.
        clock: tells seconds, from any start.
        draw: a random number in [0, 1).
    """

    def __init__(
        self,
        *,
        rate: float = RATE,
        within: float = WITHIN,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._interval = 1.0 / rate
        self._due = float("-inf")
        self._within = within
        self._sleep = sleep
        self._clock = clock
        self._draw = draw

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(timeout=SILENCE, verify=_trusted())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(self, method: str, url: str, shown: str, **options: Any) -> Answer:
        """Send a request until an answer comes.

        Args:
            method: GET or POST.
            url: where to.
            shown: what errors call it.
            options: of httpx: headers, data.

        Raises:
            ResoError: no answer came, or one that is too large.
        """
        for attempt in range(1, TRIES + 1):
            await self._keep_rate()
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1))
            pause = longest * (1 + self._draw()) / 2
            try:
                async with asyncio.timeout(self._within):
                    return await self._try(method, url, shown, options)
            except _PassingError as error:
                reason, pause = str(error), max(pause, error.pause)
            except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
                if _distrusted(error):
                    raise ResoError(f"{shown}: its certificate is not trusted") from None
                reason = _reason(error)
            if pause > PATIENCE:
                raise ResoError(
                    f"{shown}: {reason}; the server asks to wait {pause:,.0f} s: try then"
                )
            if attempt < TRIES:
                logger.warning("%s: %s; tried again in %.0f s", shown, reason, pause)
                await self._sleep(pause)
        raise ResoError(f"{shown}: failed {TRIES} times, the last time with {reason}")

    async def _try(self, method: str, url: str, shown: str, options: dict[str, Any]) -> Answer:
        async with self._http.stream(method, url, **options) as response:
            if response.status_code in _PASSING:
                raise _PassingError(f"status {response.status_code}", _retry_after(response))
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_LIMIT:
                    raise ResoError(
                        f"{shown}: an answer is larger than {ANSWER_LIMIT >> 20} MiB; ask for less "
                        "with --page-size, or with $select in the URL"
                    )
            return Answer(response.status_code, bytes(body))

    async def _keep_rate(self) -> None:
        wait = self._due - self._clock()
        if wait > 0:
            await self._sleep(wait)
        self._due = max(self._due, self._clock()) + self._interval


@cache
def _trusted() -> ssl.SSLContext:
    # Reading all certificates takes longer than most requests.
    return httpx.create_ssl_context()


def _retry_after(response: httpx.Response) -> float:
    """The seconds that the server asks to wait, by a number or a moment; 0 if it does not."""
    said = response.headers.get("Retry-After", "")
    if said.isdecimal():
        return float(said[:9])
    try:
        until = _moment(said)
    except ValueError:
        return 0.0
    try:
        # By the server's own clock.
        now = _moment(response.headers.get("Date", ""))
    except ValueError:
        now = datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _moment(said: str) -> datetime:
    moment = parsedate_to_datetime(said)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    return "a broken connection"


def _distrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
