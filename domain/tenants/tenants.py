"""Tenants: the firms, and which version of its twin each of them uses."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKeyConstraint, Text, Uuid, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.core.base import Base, parse_uuid
from domain.core.errors import DomainError, invalid, not_found
from domain.core.reading import Reader, Statement, parameter
from domain.core.work import Work

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Tenant(Base):
    """A firm. The list is readable by all; a row is written only in its own unit of work.

    ``policy`` holds what it sets of ``domain.tenants.policies.Policy``.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        ForeignKeyConstraint(
            ["id", "active_model_version_id"],
            ["model_versions.tenant_id", "model_versions.id"],
            use_alter=True,
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    slug: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    active_model_version_id: Mapped[UUID | None]
    policy: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


async def list_all(work: Work) -> list[Tenant]:
    """All tenants, by slug."""
    return list(await work.session.scalars(select(Tenant).order_by(Tenant.slug)))


async def by_slug(work: Work, slug: str) -> Tenant:
    """The tenant of that slug. Raises DomainError NOT_FOUND."""
    tenant = await work.session.scalar(select(Tenant).where(Tenant.slug == slug))
    if tenant is None:
        raise not_found(f"tenant: {slug!r}")
    return tenant


_REFERENCE = parameter("reference", Text())
_REFERRED = Statement(
    select(Tenant.id)
    .where(or_(Tenant.id == parameter("id", Uuid()), Tenant.slug == _REFERENCE))
    .order_by(Tenant.slug == _REFERENCE)
    .limit(1)
)


async def referred(reader: Reader, reference: str) -> UUID | None:
    """The tenant that a token means, by its id or slug; the id wins. The reader needs no tenant."""
    rows = await reader.fetch(_REFERRED, id=parse_uuid(reference), reference=reference)
    return rows[0][0] if rows else None


async def exists(work: Work, slug: str) -> bool:
    """Whether there is a tenant of that slug."""
    return bool(await work.session.scalar(select(Tenant.id).where(Tenant.slug == slug)))


async def get(work: Work) -> Tenant:
    """The work's own tenant. Raises DomainError NOT_FOUND."""
    tenant = await work.session.get(Tenant, work.tenant_id)
    if tenant is None:
        raise not_found("tenant")
    return tenant


async def create(work: Work, slug: str, name: str | None = None) -> Tenant:
    """Add the work's own tenant: open the unit of work with a new id, then call this.

    Raises:
        DomainError: INVALID_INPUT for a slug that is malformed or taken.
    """
    if not SLUG.fullmatch(slug):
        raise invalid(
            f"slug {slug!r}: use 1 to 63 lower-case letters, digits and inner hyphens", "slug"
        )
    taken: DomainError = invalid(f"slug {slug!r} is taken", "slug")
    if await exists(work, slug):
        raise taken
    tenant = Tenant(id=work.tenant_id, slug=slug, name=name or slug)
    work.session.add(tenant)
    await work.session.flush()
    return tenant


_ACTIVE_VERSION = Statement(
    select(Tenant.active_model_version_id).where(Tenant.id == parameter("tenant_id", Uuid()))
)


async def active_version_id(reader: Reader) -> UUID | None:
    """The version of the tenant's twin that answers now; None while none is active."""
    rows = await reader.fetch(_ACTIVE_VERSION, tenant_id=reader.tenant_id)
    return rows[0][0] if rows else None


async def active_versions(work: Work, tenant_ids: Collection[UUID]) -> dict[UUID, UUID | None]:
    """The versions that answer now, by tenant; the work needs no tenant."""
    query = select(Tenant.id, Tenant.active_model_version_id).where(Tenant.id.in_(tenant_ids))
    rows = await work.session.execute(query)
    return dict(rows.all())


async def lock(work: Work, purpose: str) -> None:
    """Wait for the tenant's lock of that purpose, and hold it until the transaction ends."""
    key = f"{purpose}:{work.tenant_id}"
    await work.session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key}
    )
