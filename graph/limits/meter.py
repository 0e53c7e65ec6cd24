"""Holds operations to what they may cost: each by itself, and those of a tenant together."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict
from uuid import UUID

from graphql import GraphQLError

from graph.core.errors import RequestErrorCode, RequestRefused
from graph.core.metrics import RATE_LIMITED
from graph.limits.bucket import Buckets, ExhaustedError
from graph.limits.cost import Price, Variables


class CostReport(TypedDict, total=False):
    """``extensions.cost`` of a response, in points.

    Attributes:
        asked: the most that the operation could cost, as it was estimated before it ran.
        actual: what it cost by what came back; absent if it did not run.
        limit: the most that one operation may ask.
        remaining: what is left in the tenant's bucket; absent without a tenant or a bucket.
    """

    asked: int
    actual: int
    limit: int
    remaining: int


class Meter:
    """Admits operations and accounts for them.

    Args:
        limit: the most points that one operation may ask.
        capacity: points that a tenant may spend at once; at least ``limit``.
        refill: points that it gains a second; 0 for no buckets.
    """

    def __init__(self, limit: int, capacity: int, refill: int) -> None:
        self._limit = limit
        self._capacity = capacity
        self._refill = refill
        self._buckets: Buckets | None = None

    @asynccontextmanager
    async def metering(self, redis_url: str) -> AsyncIterator[None]:
        """Keep the tenants' buckets in that Redis; until then operations run unmetered."""
        if not self._refill:
            yield
            return
        self._buckets = Buckets.connect(redis_url, self._capacity, self._refill)
        try:
            yield
        finally:
            buckets, self._buckets = self._buckets, None
            await buckets.close()

    def asked(self, price: Price, variables: Variables) -> int:
        """The most that an operation may cost.

        Raises:
            RequestRefused: COST_LIMIT_EXCEEDED, it is more than one operation may ask.
        """
        asked = price.asked(variables)
        if asked > self._limit:
            message = f"cost {asked}: at most {self._limit}; ask for fewer items or fields"
            raise _refused(
                message,
                RequestErrorCode.COST_LIMIT_EXCEEDED,
                CostReport(asked=asked, limit=self._limit),
            )
        return asked

    async def admit(self, asked: int, tenant_id: UUID | None) -> None:
        """Take an operation's points from its tenant's bucket.

        Without a tenant nothing is taken: who is not known is answered by the schema alone, within
        the limits of one operation, and all other fields refuse.

        Raises:
            RequestRefused: RATE_LIMITED, the tenant has spent its points.
        """
        if self._buckets is None or tenant_id is None:
            return
        try:
            await self._buckets.take(tenant_id, asked)
        except ExhaustedError as error:
            RATE_LIMITED.inc()
            wait = math.ceil(error.retry_after)
            message = (
                f"cost {asked}: {error.remaining} points remain of {self._capacity}, which gain "
                f"{self._refill} a second; ask again in {wait} s"
            )
            raise _refused(
                message,
                RequestErrorCode.RATE_LIMITED,
                CostReport(asked=asked, limit=self._limit, remaining=error.remaining),
                status=429,
                retry_after=wait,
            ) from None

    async def wait(self, asked: int, tenant_id: UUID | None) -> None:
        """Take the points of an event, as soon as its tenant has them."""
        while self._buckets is not None and tenant_id is not None:
            try:
                await self._buckets.take(tenant_id, asked)
                break
            except ExhaustedError as error:
                await asyncio.sleep(error.retry_after)

    async def settle(self, asked: int, actual: int, tenant_id: UUID | None) -> CostReport:
        """Give back what an operation did not spend, and say what it did."""
        report = CostReport(asked=asked, actual=actual, limit=self._limit)
        if self._buckets is not None and tenant_id is not None:
            await self._buckets.give_back(tenant_id, max(0, asked - actual))
            report["remaining"] = self._buckets.remaining(tenant_id)
        return report


def _refused(
    message: str,
    code: RequestErrorCode,
    report: CostReport,
    *,
    status: int = 400,
    retry_after: int | None = None,
) -> RequestRefused:
    extensions: dict[str, Any] = {"code": code.value}
    headers = {}
    if retry_after is not None:
        extensions["retryAfter"] = retry_after
        headers["Retry-After"] = str(retry_after)
    error = GraphQLError(message, extensions=extensions)
    return RequestRefused([error], status, headers, {"cost": report})
