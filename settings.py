"""The settings of every process, read once from the environment (and ``.env``) by ``load``."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

REQUIRED_IN_PRODUCTION = ("database_url", "redis_url", "qdrant_url")

_HEADER = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")
"""An origin as browsers write it: no path, not even a slash."""


class SettingsError(RuntimeError):
    """A setting is missing or wrong. The message names the variable and the fix."""


class Settings(BaseSettings):
    """Frozen settings. Each field is the environment variable of the same name in capitals.

    A service whose URL is unset starts embedded, except in production.
    """

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    environment: Literal["development", "production"] = "development"
    data_dir: Path = Path(".data")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)

    database_url: str | None = None
    # Past the connection pooler in transaction mode that database_url leads to, if it does.
    database_direct_url: str | None = None
    migration_database_url: str | None = None
    redis_url: str | None = None
    qdrant_url: str | None = None
    qdrant_api_key: SecretStr | None = None
    qdrant_quantization: Literal["off", "int8"] = "off"

    # Who signs the tokens: either who knows the secret, or an OpenID Connect issuer.
    jwt_secret: SecretStr | None = Field(default=None, min_length=32)
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_jwks_url: str | None = None
    oidc_algorithms: Annotated[tuple[Literal["RS256", "ES256"], ...], NoDecode] = Field(
        default=("RS256", "ES256"), min_length=1
    )
    oidc_tenant_claim: str = "tenant"
    oidc_user_claim: str = "sub"
    oidc_roles_claim: str = "roles"
    oidc_operations_claim: str = "operations"
    token_clock_skew: float = Field(default=10.0, ge=0, le=300)

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    cors_headers: Annotated[tuple[str, ...], NoDecode] = ()

    device: Literal["auto", "cpu", "cuda"] = "auto"
    twin_cache_size: int = Field(default=32, ge=1)
    # Properties that a server process holds in memory: bytes of all tenants together, and the most
    # properties of one tenant. Qdrant answers for what does not fit.
    catalogue_memory: int = Field(default=2**30, ge=0)
    catalogue_limit: int = Field(default=1_000_000, ge=0)

    # Of the workers, in seconds: without a sign of life for so long, a job or a lease is taken over
    # by another process; pause before the second attempt; between two sweeps of what was lost or is
    # due.
    job_lease: float = Field(default=15.0, ge=0.5, le=300)
    job_retry_delay: float = Field(default=5.0, gt=0, le=300)
    sweep_interval: int = Field(default=60, ge=1, le=60)

    # Credentials of `twin import reso`: a token, or OAuth 2.0 client credentials.
    reso_token: SecretStr | None = None
    reso_client_id: str | None = None
    reso_client_secret: SecretStr | None = None
    reso_token_url: str | None = None
    reso_scope: str | None = None

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # Unset: text, but JSON in production.
    log_format: Literal["text", "json"] | None = None
    # Of who may read /metrics. Unset, this machine may in development and nobody in production.
    metrics_token: SecretStr | None = Field(default=None, min_length=16)
    # The collector that traces go to; unset, there are none.
    otel_exporter_otlp_endpoint: str | None = None
    # By OpenTelemetry's names: which traces are kept, and which share of them where that asks.
    otel_traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = "parentbased_always_on"
    otel_traces_sampler_arg: float = Field(default=1.0, ge=0, le=1)

    # GraphQL: see docs/graphql.md.
    trusted_documents: Path | None = None
    only_trusted_documents: bool = False
    batch_limit: int = Field(default=0, ge=0, le=50)

    # Unset, both are on but in production.
    introspection: bool | None = None
    suggestions: bool | None = None

    # Points are what `extensions.cost` counts in. A refill of 0 lifts the limit of a tenant's rate.
    cost_limit: int = Field(default=10_000, ge=1)
    rate_limit_capacity: int = Field(default=1_000_000, ge=1)
    rate_limit_refill: int = Field(default=100_000, ge=0)
    operation_timeout: float = Field(default=10.0, gt=0, le=300)
    # WebSockets and streams of events that one server process keeps open.
    connection_limit: int = Field(default=10_000, ge=1)
    tenant_connection_limit: int = Field(default=1_000, ge=1)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: str | tuple[str, ...]) -> tuple[str, ...]:
        origins = _names(value)
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin; write https://example.com, comma between two, or *"
                )
        return origins

    @field_validator("cors_headers", mode="before")
    @classmethod
    def _headers(cls, value: str | tuple[str, ...]) -> tuple[str, ...]:
        headers = _names(value)
        for header in headers:
            if not _HEADER.fullmatch(header):
                raise ValueError(
                    f"{header!r} is not a header name; write X-My-App, comma between two"
                )
        return headers

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _collector(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r}: begin it with http:// or https://, as OTLP over HTTP")
        return value

    @field_validator("oidc_algorithms", mode="before")
    @classmethod
    def _listed(cls, value: str | tuple[str, ...]) -> tuple[str, ...]:
        names = value.split(",") if isinstance(value, str) else value
        return tuple(name.strip() for name in names)

    @property
    def production(self) -> bool:
        """Whether nothing may be started or made up by itself."""
        return self.environment == "production"

    @model_validator(mode="after")
    def _complete(self) -> "Settings":
        missing = [name.upper() for name in REQUIRED_IN_PRODUCTION if not getattr(self, name)]
        if self.jwt_secret is None and self.oidc_issuer is None:
            missing.append("JWT_SECRET or OIDC_ISSUER")
        if self.production and missing:
            names = ", ".join(missing)
            raise ValueError(f"ENVIRONMENT=production needs {names} to be set")
        if self.database_direct_url and not self.database_url:
            raise ValueError("DATABASE_DIRECT_URL needs DATABASE_URL, which leads to the pooler")
        if self.only_trusted_documents and self.trusted_documents is None:
            raise ValueError("ONLY_TRUSTED_DOCUMENTS needs TRUSTED_DOCUMENTS, the manifest file")
        if self.rate_limit_capacity < self.cost_limit:
            raise ValueError(
                f"RATE_LIMIT_CAPACITY {self.rate_limit_capacity}: use at least the COST_LIMIT, "
                f"{self.cost_limit}, or the dearest operations could never run"
            )
        return self

    @model_validator(mode="after")
    def _one_signer(self) -> "Settings":
        if self.oidc_issuer is None:
            if self.oidc_audience or self.oidc_jwks_url:
                raise ValueError("OIDC_AUDIENCE and OIDC_JWKS_URL need OIDC_ISSUER to be set")
            return self
        if self.jwt_secret is not None:
            raise ValueError("JWT_SECRET and OIDC_ISSUER: set one of them, not both")
        if self.oidc_audience is None:
            raise ValueError("OIDC_ISSUER needs OIDC_AUDIENCE: what its tokens name as aud")
        schemes = ("https://",) if self.production else ("https://", "http://")
        for name in ("oidc_issuer", "oidc_jwks_url"):
            url: str | None = getattr(self, name)
            if url is not None and not url.startswith(schemes):
                raise ValueError(f"{name.upper()} {url!r}: begin it with {' or '.join(schemes)}")
        return self

    @model_validator(mode="after")
    def _one_way_into_a_feed(self) -> "Settings":
        grant = (self.reso_client_id, self.reso_client_secret, self.reso_token_url)
        if any(grant) and not all(grant):
            raise ValueError("RESO_CLIENT_ID, RESO_CLIENT_SECRET and RESO_TOKEN_URL go together")
        if self.reso_token is not None and any(grant):
            raise ValueError("RESO_TOKEN and RESO_CLIENT_ID: set one of them, not both")
        return self


def _names(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """The names of a list with commas between them."""
    names = value.split(",") if isinstance(value, str) else value
    return tuple(name.strip() for name in names if name.strip())


def load() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a variable is missing or has a value that cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = (
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            if item["loc"]
            else item["msg"].removeprefix("Value error, ")
            for item in error.errors(include_url=False, include_input=False)
        )
        raise SettingsError("; ".join(problems)) from None
