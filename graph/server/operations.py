"""Operations: from a request to the body of its response, whatever brought it here."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError, OperationType

from domain.contract import tracing
from domain.core.errors import DomainError
from graph.core.context import Context
from graph.core.errors import RequestErrorCode, RequestRefused, coded, formatted
from graph.core.metrics import operation_seconds
from graph.limits.meter import CostReport, Meter
from graph.server.documents import DocumentStore, Operation

Body = dict[str, Any]
"""A GraphQL response: ``data`` unless nothing was executed, ``errors`` and ``extensions``."""


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What a client asks for.

    Attributes:
        query: the document's text; None if it is named by its id alone.
        document_id: the SHA-256 of the document in hexadecimal, or the id of a trusted one; None
            if it is given by its text alone.
        operation_name: which of the document's operations; None for its only one.
        variables: raw values by name.
    """

    query: str | None
    document_id: str | None
    operation_name: str | None
    variables: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation that may run.

    Attributes:
        operation: the operation.
        variables: its variables, as the client sent them.
        asked: the most points that it may cost.
    """

    operation: Operation
    variables: dict[str, Any]
    asked: int


class Operations:
    """Prepares and runs the operations of a store's documents.

    Args:
        documents: where they are found.
        meter: admits them and accounts for them.
        timeout: seconds that one may take.
    """

    def __init__(self, documents: DocumentStore, meter: Meter, timeout: float) -> None:
        self._documents = documents
        self._meter = meter
        self._timeout = timeout

    def prepare(self, request: GraphQLRequest, context: Context) -> Prepared:
        """Find the operation that is asked for.

        Raises:
            RequestRefused: there is none that may run.
        """
        stranger = context.tenant_id is None
        known_as = request.document_id
        if request.query is not None:
            document = self._documents.by_text(request.query, known_as, stranger=stranger)
        else:
            document = self._documents.by_id(known_as or "", stranger=stranger)
        operation = document.operation(request.operation_name)
        asked = self._meter.asked(operation.price, request.variables)
        return Prepared(operation, request.variables, asked)

    async def execute(self, prepared: Prepared, context: Context) -> Body:
        """Run a query or mutation. Never raises for what a resolver did.

        Raises:
            RequestRefused: it is a subscription, the caller's token is not for it, its variables
                do not fit, or its tenant has spent its points.
        """
        operation = prepared.operation
        if operation.kind is OperationType.SUBSCRIPTION:
            message = "Subscriptions go over graphql-transport-ws or text/event-stream"
            raise RequestRefused([coded(message, RequestErrorCode.BAD_REQUEST)])
        require(operation, context)
        await self._meter.admit(prepared.asked, context.tenant_id)
        return await self._answer(prepared, context)

    async def subscribe(self, prepared: Prepared, context: Context) -> AsyncGenerator[Body, None]:
        """Begin a subscription; what comes back yields the answer to each event.

        Each event is paid for and timed like an operation of its own; while its tenant has no
        points for it, it waits. To open a subscription takes the points of its first event, which
        stay taken if none comes. Close what comes back to end the subscription.

        Raises:
            RequestRefused: the caller's token is not for it, its tenant has spent its points, its
                variables do not fit, or its resolver refused it; while it runs, its resolver
                failed.
        """
        plan = prepared.operation.plan
        require(prepared.operation, context)
        await self._meter.admit(prepared.asked, context.tenant_id)
        try:
            async with asyncio.timeout(self._timeout):
                events = await plan.events(context, prepared.variables)
        except TimeoutError:
            raise RequestRefused([self._timed_out()]) from None
        if isinstance(events, ExecutionResult):
            await self._meter.settle(prepared.asked, 0, context.tenant_id)
            raise RequestRefused(events.errors or [])
        return self._follow(prepared, context, cast("AsyncGenerator[Any, None]", events))

    async def stream(self, prepared: Prepared, context: Context) -> AsyncGenerator[Body, None]:
        """The answers to any operation: those of a subscription, or the one of another.

        Raises:
            RequestRefused: as ``execute`` and ``subscribe`` do.
        """
        if prepared.operation.kind is not OperationType.SUBSCRIPTION:
            yield await self.execute(prepared, context)
            return
        async with aclosing(await self.subscribe(prepared, context)) as answers:
            async for answer in answers:
                yield answer

    async def _follow(
        self, prepared: Prepared, context: Context, events: AsyncGenerator[Any, None]
    ) -> AsyncGenerator[Body, None]:
        paid = True
        async with aclosing(events):
            while True:
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    failed = GraphQLError(str(error), original_error=error)
                    raise RequestRefused([failed]) from error
                if not paid:
                    await self._meter.wait(prepared.asked, context.tenant_id)
                paid = False
                # What was read for the event before is out of date.
                context.forget()
                yield await self._answer(prepared, context, event)

    async def _answer(self, prepared: Prepared, context: Context, root: Any = None) -> Body:
        """The answer of an operation that was admitted, or to an event of one.

        If it is cancelled, all that was asked stays spent: nobody knows what it did until then.
        """
        operation = prepared.operation
        started = time.perf_counter()
        try:
            with tracing.span(f"{operation.kind.value} {operation.label}"):
                return await self._timed(prepared, context, root)
        finally:
            seconds = operation_seconds(operation.label, operation.kind.value)
            seconds.observe(time.perf_counter() - started)

    async def _timed(self, prepared: Prepared, context: Context, root: Any) -> Body:
        operation = prepared.operation
        try:
            async with asyncio.timeout(self._timeout) as scope:
                result = operation.plan.execute(context, prepared.variables, root_value=root)
                if not isinstance(result, ExecutionResult):
                    result = await result
        except TimeoutError:
            if not scope.expired():
                raise
            return await self._too_slow(prepared, context)
        if result.errors and result.data is None and not any(e.path for e in result.errors):
            # The variables did not fit, and nothing was executed.
            await self._meter.settle(prepared.asked, 0, context.tenant_id)
            raise RequestRefused(result.errors)
        actual = operation.price.actual(result.data, prepared.variables)
        cost = await self._meter.settle(prepared.asked, actual, context.tenant_id)
        return _body(result, cost, context.request_id)

    async def _too_slow(self, prepared: Prepared, context: Context) -> Body:
        """What is said of an operation that was ended; nobody knows what it did until then."""
        cost = await self._meter.settle(prepared.asked, prepared.asked, context.tenant_id)
        return _body(ExecutionResult(None, [self._timed_out()]), cost, context.request_id)

    def _timed_out(self) -> GraphQLError:
        seconds = f"{self._timeout:g} s"
        message = f"ended after {seconds}: at most {seconds}; ask for fewer items or fields"
        return coded(message, RequestErrorCode.TIMEOUT)


def require(operation: Operation, context: Context) -> None:
    """Check that the caller's token is for all that an operation calls.

    Raises:
        RequestRefused: a service's token is not for one of its root fields.
    """
    try:
        context.require(operation.root_fields)
    except DomainError as error:
        refusal = GraphQLError(error.message, original_error=error)
        raise RequestRefused([refusal], status=403) from None


def _body(result: ExecutionResult, cost: CostReport, request_id: str) -> Body:
    body: Body = {"data": result.data}
    if result.errors:
        body["errors"] = formatted(result.errors, request_id)
    body["extensions"] = {"cost": cost}
    return body
