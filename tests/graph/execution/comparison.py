"""The answers of two executors: data, order, errors, and every call of a resolver."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from inspect import isawaitable
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLSchema,
    OperationDefinitionNode,
    execute,
    subscribe,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.execution import Plan

Answer = Any
Execute = Callable[[Any, dict[str, Any]], Any]


def stock(schema: GraphQLSchema, document: DocumentNode) -> Execute:
    """Strawberry's own way to execute a document."""
    operation = operation_of(document)
    run: Any = subscribe if operation.operation.value == "subscription" else execute
    return lambda context, variables: run(
        schema,
        document,
        context_value=context,
        variable_values=variables,
        operation_name=operation.name.value if operation.name else None,
        executor_class=StrawberryGraphQLCoreExecutionContext,
    )


def compiled(schema: GraphQLSchema, document: DocumentNode) -> Execute:
    """A plan, made once."""
    operation = operation_of(document)
    plan = Plan(schema, document, operation, at_once=True)
    if operation.operation.value != "subscription":
        return plan.execute

    async def follow(context: Any, variables: dict[str, Any]) -> Any:
        events = await plan.events(context, variables)
        return (
            events if isinstance(events, ExecutionResult) else answers(events, context, variables)
        )

    async def answers(
        events: AsyncIterable[Any], context: Any, variables: dict[str, Any]
    ) -> AsyncIterator[ExecutionResult]:
        async for event in events:
            result = plan.execute(context, variables, root_value=event)
            yield await result if isawaitable(result) else result

    return follow


def operation_of(document: DocumentNode) -> OperationDefinitionNode:
    """The first operation of a document."""
    return next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))


async def answer(run: Execute, context: Any, variables: dict[str, Any]) -> Answer:
    """All that can be seen of an execution, in a form that can be compared."""
    try:
        result = run(context, variables)
        if isawaitable(result):
            result = await result
        if isinstance(result, ExecutionResult):
            said: Any = _seen(result)
        else:
            said = [_seen(one) async for one in _events(result)]
    except Exception as error:
        said = repr(error)
    # Work that went on in the background is part of what happened.
    for _ in range(5):
        await asyncio.sleep(0)
    return said, context.calls, context.maker.reads


async def _events(stream: AsyncIterator[ExecutionResult]) -> AsyncIterator[ExecutionResult]:
    try:
        async for one in stream:
            yield one
    except Exception as error:
        yield ExecutionResult({"raised": repr(error)}, None)


def _seen(result: ExecutionResult) -> Any:
    errors = [
        (
            one.message,
            one.path,
            one.locations,
            one.extensions,
            [id(node) for node in one.nodes or ()],
            type(one.original_error).__name__,
            str(one.original_error),
        )
        for one in result.errors or ()
    ]
    # repr tells 1 from True and 1.0, and keeps the order of keys.
    return repr(result.data), errors, result.extensions
