"""Which other sites' pages may ask this server from a browser."""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from graph.server.http.csrf import PREFLIGHTED
from graph.server.request_log import HEADER

GRAPHQL_CLIENTS = (
    # Apollo Client, Apollo Kotlin.
    "apollographql-client-name",
    "apollographql-client-version",
    "x-apollo-operation-id",
    "x-apollo-operation-type",
    # Clients that report to Hive or Cosmo.
    "graphql-client-name",
    "graphql-client-version",
    "x-graphql-client-name",
    "x-graphql-client-version",
    # Readers of event streams in place of the browser's own.
    "cache-control",
    "last-event-id",
    # jQuery, axios as often configured.
    "x-requested-with",
)
"""Headers that GraphQL clients add by themselves."""

TRACERS = (
    # W3C Trace Context and Baggage: OpenTelemetry, Sentry, Elastic, Grafana Faro.
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    # Zipkin and Jaeger, as propagators of OpenTelemetry write them.
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "x-amzn-trace-id",
    "elastic-apm-traceparent",
    "newrelic",
    # Application Insights.
    "request-id",
    "request-context",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-trace-id",
)
"""Headers that tracing and monitoring add to a page's requests by themselves."""


def cors(origins: Sequence[str], headers: Sequence[str] = ()) -> list[Middleware]:
    """What lets pages of those origins in; nothing for none, so that browsers keep all out.

    Credentials are never allowed: the token is in a header that the page sets itself, so that
    ``*`` gives nobody more than a program of one's own would have.

    Args:
        origins: of the pages; ``*`` for all.
        headers: that the pages may send, besides those of common clients.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=[
                "Authorization", HEADER, *PREFLIGHTED, *GRAPHQL_CLIENTS, *TRACERS, *headers,
            ],
            expose_headers=[HEADER, "Retry-After"],
            max_age=3600,
        )
    ]  # fmt: skip
