"""Operations: from a request to the body of its response, whatever brought it here."""

from dataclasses import dataclass
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, OperationType, execute
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.context import Context
from graph.documents import DocumentStore, Operation
from graph.errors import RequestErrorCode, RequestRefused, coded, formatted

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
    """An operation that may run, and its variables."""

    operation: Operation
    variables: dict[str, Any]


class Operations:
    """Prepares and runs the operations of a schema."""

    def __init__(self, schema: GraphQLSchema, documents: DocumentStore) -> None:
        self._schema = schema
        self._documents = documents

    def prepare(self, request: GraphQLRequest) -> Prepared:
        """Find the operation that is asked for.

        Raises:
            RequestRefused: there is none that may run.
        """
        if request.query is not None:
            document = self._documents.by_text(request.query, request.document_id)
        else:
            document = self._documents.by_id(request.document_id or "")
        return Prepared(document.operation(request.operation_name), request.variables)

    async def execute(self, prepared: Prepared, context: Context) -> Body:
        """Run a query or mutation. Never raises for what a client sent or a resolver did.

        Raises:
            RequestRefused: it is a subscription.
        """
        operation = prepared.operation
        if operation.kind is OperationType.SUBSCRIPTION:
            message = "Subscriptions go over graphql-transport-ws or text/event-stream"
            raise RequestRefused([coded(message, RequestErrorCode.BAD_REQUEST)])
        result = execute(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=prepared.variables,
            operation_name=operation.name,
            executor_class=StrawberryGraphQLCoreExecutionContext,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        if result.errors and result.data is None and not any(e.path for e in result.errors):
            # The variables did not fit, and nothing was executed.
            raise RequestRefused(result.errors)
        return _body(result, context.request_id)


def _body(result: ExecutionResult, request_id: str) -> Body:
    body: Body = {"data": result.data}
    if result.errors:
        body["errors"] = formatted(result.errors, request_id)
    return body
