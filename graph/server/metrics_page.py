"""The page that Prometheus scrapes: the in-process metrics and those of the collector."""

import asyncio
import os
from collections.abc import Iterable
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
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from domain.monitoring.collector import Collector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder where the processes of one server keep their metrics, so that each can serve the
metrics of all."""


class MetricsPage:
    """Answers ``GET /metrics``.

    Args:
        collector: collects what is read for a scrape.
        token: the bearer token that a scrape must send. Without one only this machine may scrape.
    """

    def __init__(self, collector: Collector, token: str | None) -> None:
        self._collector = collector
        self._token = token
        # When each counter began: half of the page, and no query of ours asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]

    async def __call__(self, request: Request) -> Response:
        """The page in the text format of Prometheus; 401 without the token.

        Raises:
            HTTPException: 404 if there is no token and another machine asks.
        """
        if self._token is None:
            if not _from_here(request):
                raise HTTPException(404)
        elif not _bears(request, self._token):
            return PlainTextResponse(
                "Send METRICS_TOKEN as a bearer token", 401, {"WWW-Authenticate": "Bearer"}
            )
        page = _Page(await self._collector.collect())
        # It takes milliseconds, in which requests go on.
        body = await asyncio.to_thread(generate_latest, page)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    async def close(self) -> None:
        """Cancel the readings that are running."""
        await self._collector.close()


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


class _Page:
    """All metric families, for ``generate_latest``."""

    def __init__(self, read: Iterable[Metric]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """The in-process families, then those that were read."""
        return chain(_in_process(), self._read)


def _in_process() -> Iterable[Metric]:
    """What this process counts, or all processes of the server."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return REGISTRY.collect()
    # A killed process could not take back its open connections.
    for path in Path(folder).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
        except PermissionError:
            pass  # It lives, as another user.
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return registry.collect()
