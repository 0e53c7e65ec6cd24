"""Plans: what is done once for an operation, so that each request of it does little."""

from collections.abc import AsyncIterable
from inspect import isawaitable
from typing import Any, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLSchema,
    GraphQLSkipDirective,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution import (
    create_source_event_stream,
    default_field_resolver,
    default_type_resolver,
)

from graph.execution.executor import CompiledExecutor, PlainExecutor
from graph.execution.fields import Budget, Variant
from graph.execution.graphql_internals import AwaitableOrValue, FragmentDetails
from graph.execution.variables import Variables

MAX_CONDITIONS = 4
"""Variables of @skip and @include; with more, what they leave is found anew for each request."""


MAX_COMPILED = 2000
COMPILED_PER_FIELD = 8
"""How many fields are compiled for an operation at most, in all and for each in its document.

Fragments in fragments can unfold to any number. Objects whose fields are not all plain are tried
once at each level, which is why a field counts more than once.
"""


class Plan:
    """An operation of a valid document, ready to be executed any number of times.

    Args:
        schema: Strawberry's, which must offer neither @defer nor @stream.
        document: valid against the schema.
        operation: one of the document's.
        hide_suggestions: whether errors keep to themselves what could have been meant.
        at_once: compile it when it is executed first. Otherwise when it is executed again, since
            compiling takes longer than executing, and many documents come but once.

    Raises:
        ValueError: the schema offers @defer or @stream, or a fragment has variables of its own.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        *,
        hide_suggestions: bool = False,
        at_once: bool = False,
    ) -> None:
        if schema.get_directive("defer") or schema.get_directive("stream"):
            raise ValueError("schema: plans answer at once; take @defer and @stream from it")
        self._schema = schema
        self._operation = operation
        self._hide_suggestions = hide_suggestions
        # A subscription is executed for each event.
        self._at_once = at_once or operation.operation is OperationType.SUBSCRIPTION
        self._variables = Variables(schema, operation, hide_suggestions)
        self._fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        if any(one.variable_definitions for one in self._fragments.values()):
            raise ValueError("document: fragments with variables are not supported")
        self._details = {name: FragmentDetails(one) for name, one in self._fragments.items()}
        conditions = _Conditions()
        visit(document, conditions)
        self._conditions = sorted(conditions.variables)
        self._budget = Budget(min(MAX_COMPILED, COMPILED_PER_FIELD * conditions.fields))
        self._asked: set[tuple[Any, ...]] = set()
        self._variants: dict[tuple[Any, ...], Variant] = {}

    def execute(
        self,
        context_value: Any = None,
        variable_values: dict[str, Any] | None = None,
        *,
        root_value: Any = None,
    ) -> AwaitableOrValue[ExecutionResult]:
        """Execute a query or a mutation; the result is what ``graphql.execute`` returns.

        Args:
            context_value: of the request, for the resolvers.
            variable_values: as the client sent them.
            root_value: the source of the root fields; for a subscription, the event.
        """
        executor = self._executor(context_value, variable_values, root_value)
        if isinstance(executor, list):
            return ExecutionResult(None, executor)
        # Only executors of @defer and @stream return anything else.
        return cast("AwaitableOrValue[ExecutionResult]", executor.execute_operation())

    async def events(
        self, context_value: Any = None, variable_values: dict[str, Any] | None = None
    ) -> AsyncIterable[Any] | ExecutionResult:
        """Subscribe to what a subscription follows; ``execute`` answers each event as its root.

        Returns:
            The events, or a result with errors if the subscription was refused.
        """
        executor = self._executor(context_value, variable_values, None)
        if isinstance(executor, list):
            return ExecutionResult(None, executor)
        stream = create_source_event_stream(executor)
        return await stream if isawaitable(stream) else stream

    def _executor(
        self,
        context_value: Any,
        variable_values: dict[str, Any] | None,
        root_value: Any,
    ) -> PlainExecutor | list[GraphQLError]:
        values = self._variables.coerce(variable_values or {})
        if isinstance(values, list):
            return values
        variant = self._variant(values.coerced)
        executor = (CompiledExecutor if variant else PlainExecutor)(
            self._schema,
            self._fragments,
            self._details,
            root_value,
            context_value,
            self._operation,
            values,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            hide_suggestions=self._hide_suggestions,
        )
        if variant is not None and isinstance(executor, CompiledExecutor):
            executor.use(variant)
        return executor

    def _variant(self, coerced: dict[str, Any]) -> Variant | None:
        """What is known of the operation with these variables; None if it is not worth knowing."""
        values = tuple(coerced.get(name) for name in self._conditions)
        variant = self._variants.get(values)
        if variant is not None:
            return variant
        # Anything but a Boolean is refused when fields are collected.
        if len(values) > MAX_CONDITIONS or any(type(value) is not bool for value in values):
            return None
        if self._at_once or values in self._asked:
            self._variants[values] = Variant(self._budget)
        self._asked.add(values)
        return self._variants.get(values)


class _Conditions(Visitor):
    """The variables that decide which fields are selected, and how many fields there are."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: set[str] = set()
        self.fields = 0

    def enter_field(self, *_args: Any) -> None:
        self.fields += 1

    def enter_directive(self, node: Any, *_args: Any) -> None:
        if node.name.value in (GraphQLSkipDirective.name, GraphQLIncludeDirective.name):
            values = [argument.value for argument in node.arguments]
            self.variables |= {one.name.value for one in values if isinstance(one, VariableNode)}
