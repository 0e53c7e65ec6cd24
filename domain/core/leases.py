"""Leases: what only one may do at a time, over any number of transactions.

A lease is a row that says who holds it and until when, by PostgreSQL's clock alone. The holder
renews it while it lives, in transactions of their own, and deletes it in the end. An expired lease
is taken over by whoever asks next. Neither a transaction nor a connection is held meanwhile, so
leases work behind a pooler of transactions, too.

A holder can lose its lease, after a pause or without the database. Then its block is interrupted.
As it may have gone on for a moment before it noticed, whatever must not be committed by two is
committed with ``Held.confirm``.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Text, UniqueConstraint, func, select, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.core.base import Base, TenantScoped
from domain.core.errors import not_found
from domain.core.work import Work

logger = logging.getLogger(__name__)

LIFETIME = 15.0
"""Seconds that a lease lasts without a sign of its holder, if nothing else is set."""

_POLL = 0.1
"""Seconds between two attempts of one who waits."""

_PATIENT_AFTER = 10.0
"""Seconds of waiting after which the pause is ``_PATIENT_POLL``."""

_PATIENT_POLL = 1.0
"""Seconds between two attempts of one who has waited for long."""

_COURTESY = 2.5 * _POLL
"""Seconds that a holder lets those who wait go first."""


class LockedError(RuntimeError):
    """Somebody else is doing what only one may do at a time."""


class LostLeaseError(RuntimeError):
    """The lease expired before its end, and somebody else may have taken it over."""


class Lease(TenantScoped, Base):
    """Who does what only one may do at a time, and until when without a further sign.

    ``awaited_at`` is when somebody last waited for it in vain.
    """

    __tablename__ = "leases"
    __table_args__ = (UniqueConstraint("tenant_id", "purpose"),)

    purpose: Mapped[str] = mapped_column(Text)
    holder_id: Mapped[UUID]
    expires_at: Mapped[datetime]
    awaited_at: Mapped[datetime | None]


# Not now(), which is when the transaction began: it may have waited for the row since.
_TAKE = text(
    "INSERT INTO leases (tenant_id, purpose, holder_id, expires_at)"
    " VALUES (:tenant_id, :purpose, :holder, clock_timestamp() + make_interval(secs => :seconds))"
    " ON CONFLICT (tenant_id, purpose) DO UPDATE"
    " SET holder_id = excluded.holder_id, expires_at = excluded.expires_at, awaited_at = NULL"
    " WHERE leases.expires_at <= clock_timestamp() RETURNING true"
)
_AWAIT = text("UPDATE leases SET awaited_at = clock_timestamp() WHERE purpose = :purpose")
_RENEW = text(
    "UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => :seconds)"
    " WHERE purpose = :purpose AND holder_id = :holder RETURNING true"
)
_RELEASE = text(
    "DELETE FROM leases WHERE purpose = :purpose AND holder_id = :holder"
    " RETURNING coalesce(awaited_at > clock_timestamp() - interval '1 second', false)"
)


async def is_held(work: Work, purpose: str) -> bool:
    """Whether the tenant's lease of that purpose is held and has not expired."""
    query = select(Lease.id).where(
        Lease.purpose == purpose, Lease.expires_at > func.clock_timestamp()
    )
    return await work.session.scalar(query) is not None


class Held:
    """A lease that is held; only ``exclusive`` makes one.

    Attributes:
        lost: whether it was lost. False until that is noticed, at the latest when the block ends.
    """

    def __init__(
        self,
        open_work: Callable[[UUID], AbstractAsyncContextManager[Work]],
        tenant_id: UUID,
        purpose: str,
        seconds: float,
    ) -> None:
        self._open = open_work
        self._tenant_id = tenant_id
        self._seconds = seconds
        self._values = {"purpose": purpose, "holder": uuid4()}
        self._name = f"{purpose} of tenant {tenant_id}"
        self.lost = False

    async def confirm(self, work: Work) -> None:
        """Keep the lease from being taken over until the transaction ends.

        Raises:
            LostLeaseError: it was already.
        """
        # Whoever deletes the tenant locks its row first, and then those of its leases.
        await work.hold_tenant()
        query = select(Lease.id).where(
            Lease.purpose == self._values["purpose"], Lease.holder_id == self._values["holder"]
        )
        if await work.session.scalar(query.with_for_update()) is None:
            raise self._error()

    async def _take(self, wait: float) -> float:
        """Take the lease; a moment of ``time.monotonic`` from which on it lasts, at least."""
        values = self._values | {"tenant_id": self._tenant_id, "seconds": self._seconds}
        began = time.monotonic()
        while True:
            asked = time.monotonic()
            async with self._open(self._tenant_id) as work:
                if not await work.hold_tenant():
                    raise not_found("tenant")
                if await work.session.scalar(_TAKE, values):
                    return asked
                if wait:
                    await work.session.execute(_AWAIT, {"purpose": values["purpose"]})
            if asked >= began + wait:
                raise LockedError(f"{self._name} is already going on elsewhere")
            await asyncio.sleep(_POLL if asked < began + _PATIENT_AFTER else _PATIENT_POLL)

    async def _keep(self, renewed: float, block: "asyncio.Task[object]") -> None:
        """Renew the lease until it is lost, and interrupt the block then."""
        renewing: asyncio.Task[bool] | None = None
        try:
            while True:
                await asyncio.sleep(self._seconds / 3)
                asked = time.monotonic()
                # However late it is, after a pause: what nobody took over is still ours.
                left = max(renewed + self._seconds - asked, self._seconds / 3)
                renewing = asyncio.create_task(self._renew())
                # In a task of its own, for a connection that broke may not even let go of it.
                await asyncio.wait((renewing,), timeout=left)
                if renewing.done() and (error := renewing.exception()) is None:
                    if not renewing.result():
                        break
                    renewed = asked
                    continue
                if renewing.done():
                    logger.warning("could not renew the lease: %s", self._name, exc_info=error)
                if time.monotonic() >= renewed + self._seconds:
                    break
            self.lost = True
            block.cancel()
        finally:
            if renewing is not None:
                renewing.cancel()
                if not self.lost:
                    await asyncio.wait((renewing,))

    async def _renew(self) -> bool:
        async with self._open(self._tenant_id) as work:
            values = self._values | {"seconds": self._seconds}
            return bool(await work.session.scalar(_RENEW, values))

    async def _release(self) -> bool:
        """Give the lease back; whether somebody waits for it.

        Raises:
            LostLeaseError: it was taken over.
        """
        async with self._open(self._tenant_id) as work:
            awaited: bool | None = await work.session.scalar(_RELEASE, self._values)
        if awaited is None:
            self.lost = True
            raise self._error()
        return awaited

    async def _leave(self) -> None:
        """Give the lease back after an error, which is to be raised whatever comes of this."""
        try:
            await self._release()
        except LostLeaseError:
            pass
        except Exception:
            logger.warning("could not release a lease, which will expire: %s", self._name)

    def _error(self) -> LostLeaseError:
        return LostLeaseError(f"{self._name} was interrupted: its lease expired and is lost")


@asynccontextmanager
async def exclusive(
    open_work: Callable[[UUID], AbstractAsyncContextManager[Work]],
    tenant_id: UUID,
    purpose: str,
    seconds: float = LIFETIME,
    wait: float = 0.0,
) -> AsyncIterator[Held]:
    """Hold the tenant's lease of that purpose during the block.

    Args:
        open_work: opens a unit of work.
        tenant_id: the tenant.
        purpose: what only one may do at a time.
        seconds: after which without a sign of this process others may take over.
        wait: seconds to wait while somebody else holds it.

    Raises:
        LockedError: somebody else held it all the while.
        LostLeaseError: it could not be renewed in time, or somebody took it over.
        DomainError: NOT_FOUND if there is no such tenant.
    """
    block = asyncio.current_task()
    assert block is not None
    cancelled = block.cancelling()
    held = Held(open_work, tenant_id, purpose, seconds)
    try:
        renewed = await held._take(wait)
    except asyncio.CancelledError:
        # It may have been committed before.
        await held._leave()
        raise
    try:
        keeping = asyncio.create_task(held._keep(renewed, block))
        try:
            yield held
        finally:
            keeping.cancel()
            await asyncio.wait((keeping,))
    except BaseException as error:
        if held.lost:
            if block.uncancel() <= cancelled and isinstance(error, asyncio.CancelledError):
                raise held._error() from None
        else:
            await held._leave()
        raise
    if await held._release():
        await asyncio.sleep(_COURTESY)
