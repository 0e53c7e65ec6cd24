"""The server's composition root: ``uvicorn --factory graph.app:create_app``."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Scope

import telemetry
from domain.contract import log_context
from domain.core.errors import DomainError
from domain.model_registry import following as versions
from domain.monitoring.collector import Collector, read_database, read_queues
from domain.properties import following as properties
from domain.tenants import tenants
from graph.core.context import Context
from graph.core.strawberry_internals import graphql_schema
from graph.identity import Authenticator, ClaimNames, IdentityConfig, Issuer, Principal
from graph.limits.meter import Meter
from graph.schema import build_schema
from graph.server.documents import DocumentStore, read_manifest
from graph.server.graphiql import GraphiQL, SignedIn, sign_in
from graph.server.http.compression import Compression
from graph.server.http.connections import Connections
from graph.server.http.cors import cors
from graph.server.http.errors import answer_http_exception
from graph.server.http.sse import EventStreams
from graph.server.http.standard_headers import StandardHeaders
from graph.server.http.stopping import before_stopping
from graph.server.http.view import GraphQLView
from graph.server.http.websocket import WebSockets
from graph.server.metrics_page import MetricsPage
from graph.server.operations import Operations
from graph.server.request_log import RequestLog
from runtime import Runtime, connect, latest_revision, services
from settings import Settings, SettingsError, load

logger = logging.getLogger(__name__)

CHECK_SECONDS = 5.0

OpenRuntime = Callable[[], AbstractAsyncContextManager[Runtime]]
Check = Callable[[], Awaitable[Any]]


def create_app(settings: Settings | None = None) -> Starlette:
    """The server on the services that the settings name, embedded ones started as needed.

    Raises:
        settings.SettingsError: a setting is missing or cannot be used.
    """
    wanted = settings or load()
    telemetry.configure(wanted, "server")

    @asynccontextmanager
    async def open_runtime() -> AsyncIterator[Runtime]:
        # It may start processes and wait for them, and the event loop runs already.
        found = await asyncio.to_thread(services, wanted)
        # Where an operation is ended but its statement is not, PostgreSQL ends that.
        seconds = wanted.operation_timeout + 1
        async with (
            connect(wanted, found, statement_timeout=seconds, catalogues=True) as runtime,
            versions.following(runtime.database, runtime.twin),
            properties.following(runtime.database, runtime.twin),
        ):
            with before_stopping(server.state.connections.close):
                yield runtime

    server = build(open_runtime, wanted)
    return server


def build(open_runtime: OpenRuntime, settings: Settings) -> Starlette:
    """The server on a runtime that it opens when it starts and closes when it ends.

    Args:
        open_runtime: opens the runtime; for one that is open already, ``nullcontext(runtime)``.
        settings: how to serve; the services are the runtime's own.

    Raises:
        settings.SettingsError: the manifest of trusted documents cannot be used.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_runtime() as runtime, meter.metering(runtime.services.redis_url):
            app.state.runtime = runtime
            app.state.authenticator = Authenticator(
                _identity(settings, runtime.services.jwt_secret), runtime.database
            )
            app.state.metrics = _metrics_page(runtime, token)
            app.state.revision = await asyncio.to_thread(latest_revision)
            _spare_collector()
            yield
            await connections.close()
            await app.state.metrics.close()
            await app.state.authenticator.close()

    # Tokens of an issuer cannot be made here.
    identify = _sample_investor if settings.oidc_issuer is None else _nobody
    graphiql = None if settings.production else GraphiQL(identify)
    meter = Meter(settings.cost_limit, settings.rate_limit_capacity, settings.rate_limit_refill)
    operations = Operations(_documents(settings), meter, settings.operation_timeout)
    connections = Connections(settings.connection_limit, settings.tenant_connection_limit)
    view = GraphQLView(
        operations,
        _context,
        EventStreams(operations, _context, connections),
        graphiql.page if graphiql else None,
        settings.batch_limit,
    )
    sockets = WebSockets(operations, _context, connections, settings.cors_origins)
    compressed = [Middleware(Compression)]
    routes: list[BaseRoute] = [
        Route("/graphql", view, middleware=compressed),
        WebSocketRoute("/graphql", sockets),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]
    token = settings.metrics_token
    if token or not settings.production:
        routes.append(Route("/metrics", metrics, middleware=compressed))
    if graphiql:
        routes.append(Route("/graphql/assets/{name}", graphiql.asset))
    server = Starlette(
        routes=routes,
        middleware=[
            Middleware(StandardHeaders),
            Middleware(RequestLog),
            *cors(settings.cors_origins, settings.cors_headers),
        ],
        exception_handlers={HTTPException: answer_http_exception},
        lifespan=lifespan,
    )
    server.state.connections = connections
    # A redirection would repeat whatever host the client named.
    server.router.redirect_slashes = False
    return server


def _spare_collector() -> None:
    """Keep what start-up made, hundreds of thousands of objects, out of the collector's rounds.

    A request makes thousands of objects and few cycles, so that rounds are fewer as well; errors
    make some, with their tracebacks, so that they are not rare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _documents(settings: Settings) -> DocumentStore:
    documents = DocumentStore(
        graphql_schema(build_schema()),
        only_trusted=settings.only_trusted_documents,
        introspection=_unless_production(settings.introspection, settings),
        suggestions=_unless_production(settings.suggestions, settings),
    )
    if settings.trusted_documents:
        try:
            documents.trust(read_manifest(settings.trusted_documents))
        except (OSError, ValueError) as error:
            raise SettingsError(f"TRUSTED_DOCUMENTS: {error}") from None
    return documents


def _unless_production(setting: bool | None, settings: Settings) -> bool:
    return not settings.production if setting is None else setting


def _identity(settings: Settings, secret: str) -> IdentityConfig:
    skew = timedelta(seconds=settings.token_clock_skew)
    if settings.oidc_issuer is None:
        return IdentityConfig(secret, clock_skew=skew)
    claims = ClaimNames(
        settings.oidc_tenant_claim,
        settings.oidc_user_claim,
        settings.oidc_roles_claim,
        settings.oidc_operations_claim,
    )
    issuer = Issuer(
        settings.oidc_issuer,
        settings.oidc_audience or "",
        settings.oidc_jwks_url,
        settings.oidc_algorithms,
        https_only=settings.production,
        claims=claims,
    )
    return IdentityConfig(issuer=issuer, clock_skew=skew)


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


async def _context(scope: Scope, headers: Headers) -> Context:
    runtime: Runtime = scope["app"].state.runtime
    identity: Principal | DomainError
    try:
        known = await scope["app"].state.authenticator.authenticate(headers.get("authorization"))
        log_context.note(tenant_id=str(known.tenant_id))
        identity = known
    except DomainError as error:
        # Some fields need no token, and those that do say why there is none.
        identity = error
    return Context(
        runtime.database,
        runtime.recommender,
        runtime.broker,
        identity,
        scope["state"]["request_id"],
    )


async def _nobody(_: Request) -> SignedIn | None:
    return None


async def _sample_investor(request: Request) -> SignedIn | None:
    runtime = _runtime(request)
    if not runtime.services.embedded:
        return None
    return await sign_in(runtime.database, runtime.recommender, runtime.services.jwt_secret)


async def healthz(_: Request) -> JSONResponse:
    """Say that the process is alive, and nothing of what it depends on."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> JSONResponse:
    """Say whether requests can be answered, part by part; 503 while they cannot."""
    runtime = _runtime(request)
    checks: dict[str, Check] = {
        "database": runtime.database.revision,
        "redis": runtime.queue.ping,
        "qdrant": runtime.index.ping,
        "model": partial(_models, runtime),
    }
    results = await asyncio.gather(*(_checked(name, check) for name, check in checks.items()))
    parts = dict(zip(checks, results, strict=True))
    if parts["database"]["status"] == "ok":
        found, expected = parts["database"].pop("found", None), request.app.state.revision
        status = "ok" if found == expected else "failed"
        parts["migrations"] = {"status": status, "revision": found, "expected": expected}
    # A tenant without a model is served all the same, by what its investors engage with.
    ready = all(part["status"] == "ok" for name, part in parts.items() if name != "model")
    return JSONResponse(
        {"status": "ok" if ready else "failed", "parts": parts}, 200 if ready else 503
    )


async def metrics(request: Request) -> Response:
    """What Prometheus asks for."""
    page: MetricsPage = request.app.state.metrics
    return await page(request)


def _metrics_page(runtime: Runtime, token: SecretStr | None) -> MetricsPage:
    sources = {
        "database": partial(read_database, runtime.database),
        "redis": partial(read_queues, runtime.queue.state),
    }
    return MetricsPage(Collector(sources), token.get_secret_value() if token else None)


async def _models(runtime: Runtime) -> dict[str, int]:
    async with runtime.database.work(None) as work:
        firms = await tenants.list_all(work)
    active = sum(firm.active_model_version_id is not None for firm in firms)
    return {"tenants": len(firms), "active": active}


async def _checked(name: str, check: Check) -> dict[str, Any]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            found = await check()
    except Exception:
        # Why is for the log alone: anybody may ask.
        logger.warning("not ready: %s", name, exc_info=True)
        return {"status": "failed"}
    return {"status": "ok"} | ({} if found is None else {"found": found})
