"""What the server counts of its requests, for Prometheus.

Labels have few values, whatever strangers send: codes, statuses and transports are this server's
own words, and an operation goes by its root field unless the operator trusts its document. Tenants
are not told apart here.
"""

import functools
from typing import Literal, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from domain.core.errors import ErrorCode

Owner = TypeVar("Owner")
Key = TypeVar("Key")
Found = TypeVar("Found")
Transport = Literal["http", "sse", "websocket"]

SEVERAL = "several"
"""The label of an operation that calls more than one root field."""

REQUESTS = Counter(
    "twin_requests",
    "Requests by transport and HTTP status; a WebSocket is one, with 101.",
    ("transport", "status"),
)
OPERATION_SECONDS = Histogram(
    "twin_operation_seconds",
    "Time from an operation's admission to its answer; each event of a subscription is one.",
    ("operation", "kind"),
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
ERRORS = Counter(
    "twin_graphql_errors",
    "Errors in answers by code; place says whether in errors or in a mutation's payload.",
    ("code", "place"),
)
BATCH_SIZE = Histogram(
    "twin_loader_batch_size",
    "Keys that a loader read at once.",
    ("loader",),
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
RATE_LIMITED = Counter(
    "twin_rate_limit_refusals", "Operations refused since their tenant had spent its points."
)
CONNECTIONS = Gauge(
    "twin_open_connections",
    "WebSockets and streams of events that are open.",
    multiprocess_mode="livesum",
)


def operation_label(root_fields: tuple[str, ...]) -> str:
    """What an operation is counted as: the one root field that it calls, by the schema's name.

    Its own name is anybody's to choose.
    """
    fields = [name for name in root_fields if name != "__typename"] or ["__typename"]
    return fields[0] if len(fields) == 1 else SEVERAL


# To find a series by its labels costs more than to count in it; there are few.
@functools.cache
def requests(transport: Transport, status: int) -> Counter:
    """The requests of a transport that were answered so."""
    return REQUESTS.labels(transport, status)


@functools.cache
def operation_seconds(label: str, kind: str) -> Histogram:
    """The time of the operations of a label and kind."""
    return OPERATION_SECONDS.labels(label, kind)


def refused(code: str | ErrorCode, place: Literal["errors", "payload"]) -> None:
    """Count an error of an answer."""
    ERRORS.labels(str(code), place).inc()
