"""The variables of an operation: their types are found once, their values coerced per request."""

from typing import Any

from graphql import (
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    coerce_input_value,
    is_non_null_type,
)
from graphql.execution import VariableValues, get_variable_values

from graph.execution.graphql_internals import (
    GraphQLVariableSignature,
    VariableValueSource,
    get_variable_signature,
    input_is_nested_too_deeply,
)

MAX_ERRORS = 50
"""Of values that do not fit, reported at most; graphql-core's own limit."""


class Variables:
    """What an operation declares.

    Args:
        schema: that has the types.
        operation: that declares them.
        hide_suggestions: whether errors keep to themselves what could have been meant.
    """

    def __init__(
        self, schema: GraphQLSchema, operation: OperationDefinitionNode, hide_suggestions: bool
    ) -> None:
        self._schema = schema
        self._definitions = operation.variable_definitions or ()
        self._hide_suggestions = hide_suggestions
        found = [get_variable_signature(schema, one) for one in self._definitions]
        self._signatures = [one for one in found if isinstance(one, GraphQLVariableSignature)]
        self._known = len(self._signatures) == len(found)

    def coerce(self, raw: dict[str, Any]) -> VariableValues | list[GraphQLError]:
        """What graphql-core's ``get_variable_values`` returns."""
        values = self._coerce(raw) if self._known else None
        if values is not None:
            return values
        return get_variable_values(
            self._schema,
            self._definitions,
            raw,
            max_errors=MAX_ERRORS,
            hide_suggestions=self._hide_suggestions,
        )

    def _coerce(self, raw: dict[str, Any]) -> VariableValues | None:
        """Values that fit; None if any does not, or is a default, which requests may not share."""
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for signature in self._signatures:
            name, kind = signature.name, signature.type
            value = raw.get(name, Undefined)
            if value is Undefined:
                if signature.default is not None or is_non_null_type(kind):
                    return None
                sources[name] = VariableValueSource(signature)
                continue
            nested = isinstance(value, list | dict | tuple)
            if nested and input_is_nested_too_deeply(value, kind):
                return None
            try:
                coerced[name] = coerce_input_value(value, kind)
            except RecursionError:
                return None
            if coerced[name] is Undefined:
                return None
            sources[name] = VariableValueSource(signature, value)
        return VariableValues(sources, coerced)
