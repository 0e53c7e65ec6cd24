"""What the compiled executor assumes of graphql-core beyond its documentation.

tests/graph/core/test_strawberry_internals.py names the version. Whether the answers are the same,
test_differential.py shows.
"""

import inspect
from typing import Any

import pytest
from graphql import build_schema, parse
from graphql.execution import Executor, VariableValues

from graph.execution.executor import CompiledExecutor
from graph.execution.graphql_internals import (
    CollectedFields,
    FragmentDetails,
    GraphQLVariableSignature,
    Path,
    VariableValueSource,
    get_variable_signature,
)

SCHEMA = build_schema("type Query { a(size: Int): Query b: Int }")

OVERRIDDEN = [
    "execute_collected_root_fields",
    "execute_fields",
    "execute_field",
    "complete_value",
]


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def build(text: str) -> Executor[None]:
    executor = Executor.build(SCHEMA, parse(text))
    assert isinstance(executor, Executor)
    return executor


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_an_overridden_method_takes_the_same_arguments(name: str) -> None:
    assert name in vars(CompiledExecutor)
    assert parameters(getattr(CompiledExecutor, name)) == parameters(getattr(Executor, name))


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("build_resolve_info", ["field_def", "field_nodes", "parent_type", "path"]),
        ("collect_subfields", ["return_type", "field_details_list"]),
        (
            "complete_awaitable_list_item_value",
            ["item", "item_type", "field_details_list", "info", "item_path", "position_context"],
        ),
        ("handle_field_error", ["raw_error", "return_type", "field_details_list", "path"]),
        ("settle_in_background", ["awaitables"]),
        ("execute_operation", []),
    ],
)
def test_a_called_method_takes_the_known_arguments(name: str, taken: list[str]) -> None:
    found = parameters(getattr(Executor, name))[1:]
    assert found[: len(taken)] == taken


def test_an_executor_is_made_of_the_known_arguments() -> None:
    assert parameters(Executor)[:10] == [
        "schema",
        "fragment_definitions",
        "fragments",
        "root_value",
        "context_value",
        "operation",
        "variable_values",
        "field_resolver",
        "type_resolver",
        "subscribe_field_resolver",
    ]
    assert "hide_suggestions" in parameters(Executor)


def test_an_executor_calls_the_overridden_methods() -> None:
    called = []

    class Noting(Executor[None]):
        def __getattribute__(self, name: str) -> Any:
            if name in OVERRIDDEN:
                called.append(name)
            return super().__getattribute__(name)

    executor: Any = Noting.build(SCHEMA, parse("{ a { b } }"), {"a": {"b": 1}})
    assert executor.execute_operation().data == {"a": {"b": 1}}
    assert set(called) == set(OVERRIDDEN)


def test_an_executor_keeps_the_fields_it_collected() -> None:
    executor: Any = build("{ a { b } }")
    details = [type("Details", (), {})]
    collected = CollectedFields({}, [], [])
    query = SCHEMA.query_type
    # Variants put the fields that they know in its place.
    executor._relevant_sub_fields = {(query, id(details)): (details, collected)}
    assert executor.collect_subfields(query, details) is collected


def test_an_executor_has_the_attributes_that_are_read() -> None:
    executor = build("query ($n: Int) { b }")
    assert executor.schema is SCHEMA
    assert executor.variable_values == VariableValues(executor.variable_values.sources, {})
    assert executor.hide_suggestions is False
    assert not executor.is_awaitable(1)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Path, ("prev", "key", "typename")),
        (CollectedFields, ("grouped_field_set", "new_defer_usages")),
        (FragmentDetails, ("definition", "variable_signatures")),
        (GraphQLVariableSignature, ("name", "type", "default")),
        (VariableValueSource, ("signature", "value")),
        (VariableValues, ("sources", "coerced")),
    ],
)
def test_a_tuple_has_the_known_fields(kind: Any, fields: tuple[str, ...]) -> None:
    assert issubclass(kind, tuple)
    assert kind._fields[: len(fields)] == fields


def test_a_path_is_made_of_its_three_fields() -> None:
    assert len(Path._fields) == 3


def test_a_variable_has_a_signature() -> None:
    operation: Any = parse("query ($size: Int = 3) { b }").definitions[0]
    found = get_variable_signature(SCHEMA, operation.variable_definitions[0])
    assert isinstance(found, GraphQLVariableSignature)
    assert (found.name, str(found.type)) == ("size", "Int")
    assert found.default is not None
