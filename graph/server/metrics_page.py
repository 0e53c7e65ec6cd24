"""The page that Prometheus reads: what this server counts, and what it reads when it is asked."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from hmac import compare_digest
from ipaddress import ip_address
from itertools import chain
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from graph.server.figures import Source

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where the processes of one server write what they count, so that any of them tells all of it."""


class MetricsPage:
    """Answers ``GET /metrics``.

    Args:
        sources: what is read when it is asked for.
        token: who may ask sends it as a bearer token; without one only this machine may ask.
    """

    def __init__(self, sources: Sequence[Source], token: str | None) -> None:
        self._sources = sources
        self._token = token
        # When each counter began: half of the page, and no query of ours asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]

    async def __call__(self, request: Request) -> Response:
        """The page in Prometheus's text format; 401 without the token.

        Raises:
            HTTPException: 404, where there is no token and another machine asks.
        """
        if self._token is None:
            if not _from_here(request):
                raise HTTPException(404)
        elif not _bears(request, self._token):
            return PlainTextResponse(
                "Send METRICS_TOKEN as a bearer token", 401, {"WWW-Authenticate": "Bearer"}
            )
        found = await asyncio.gather(*(source.collect() for source in self._sources))
        # It takes milliseconds, in which requests go on.
        page = _Page([*_scrape(self._sources, found), *chain.from_iterable(filter(None, found))])
        body = await asyncio.to_thread(generate_latest, page)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    async def close(self) -> None:
        """Give up what is under way."""
        await asyncio.gather(*(source.close() for source in self._sources))


def _bears(request: Request, token: str) -> bool:
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and compare_digest(sent.encode(), token.encode())


def _from_here(request: Request) -> bool:
    """Whether it comes over the loopback interface, or over a Unix socket, which has no address."""
    if request.client is None:
        return True
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _scrape(sources: Sequence[Source], found: Sequence[list[Metric] | None]) -> list[Metric]:
    """How the sources did, so that what is missing is noticed."""
    success = GaugeMetricFamily(
        "twin_scrape_success", "Whether a source of figures could be read.", labels=["source"]
    )
    seconds = GaugeMetricFamily(
        "twin_scrape_seconds", "Time that reading it took.", labels=["source"]
    )
    for source, families in zip(sources, found, strict=True):
        success.add_metric([source.name], families is not None)
        seconds.add_metric([source.name], source.seconds)
    return [success, seconds]


class _Page(Collector):
    """Everything."""

    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """What is counted, and what was read."""
        return chain(_counted(), self._found)


def _counted() -> Iterable[Metric]:
    """What this process counts, or all processes of the server."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return REGISTRY.collect()
    # Who was killed could not say that its connections are gone.
    for path in Path(folder).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not _lives(pid):
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return registry.collect()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
