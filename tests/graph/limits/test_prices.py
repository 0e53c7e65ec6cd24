"""Prices of operations of the real schema."""

from typing import Any

import pytest
from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode, parse, validate
from graphql import build_schema as sdl
from hypothesis import given
from hypothesis import strategies as st

from graph.core.directives import declared_sizes
from graph.limits.cost import Price
from graph.limits.pricing import Pricer, unsized_lists
from graph.schema import build_schema

SCHEMA = build_schema()._schema
PRICER = Pricer(SCHEMA)


def price(text: str) -> Price:
    """The price of a document's only operation, which is valid."""
    document = parse(text)
    assert validate(SCHEMA, document) == []
    return priced(document)


def priced(document: DocumentNode) -> Price:
    operation = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    return PRICER.price(document, operation)


PAGE = "edges { node { property { id city } score } }"


@pytest.mark.parametrize(
    ("text", "points"),
    [
        # An object is 1, a scalar nothing.
        ("{ me { id name email } }", 1),
        ("{ __typename }", 0),
        # 50 for a ranking, 1 for the connection, 20 edges, recommendations and properties.
        (f"{{ recommendations {{ {PAGE} }} }}", 50 + 1 + 3 * 20),
        (f"{{ recommendations(first: 3) {{ {PAGE} }} }}", 50 + 1 + 3 * 3),
        (f"{{ recommendations(first: null) {{ {PAGE} }} }}", 50 + 1 + 3 * 20),
        ("{ recommendations(first: 3) { pageInfo { endCursor } } }", 50 + 1 + 1),
        ("{ properties(last: 5) { totalCount edges { cursor } } }", 10 + 1 + 10 + 5),
        # Each property's affinity is 1 more.
        ("{ properties(first: 7) { edges { node { affinity } } } }", 10 + 1 + 7 + 2 * 7),
        # As many as are sent.
        ('{ affinity(propertyIds: ["a", "b", "c"]) { property { id } score } }', 10 + 2 * 3),
        ('{ nodes(ids: ["a", "b"]) { id } }', 10 + 2),
        ("{ users(first: 5) { totalCount edges { cursor } } }", 10 + 1 + 10 + 5),
        # One id, though it looks like a number; some are longer than Python makes numbers of.
        ("{ nodes(ids: 5) { id } }", 10 + 1),
        (f"{{ nodes(ids: {'9' * 5000}) {{ id }} }}", 10 + 1),
        # Under two keys, a field is called twice; under one, once.
        ("{ a: me { id } b: me { id } }", 2),
        ("{ me { id } me { name } }", 1),
        # Lists within lists multiply.
        (
            "{ properties(first: 10) { edges { node { similarProperties(first: 5) "
            "{ edges { node { id } } } } } } }",
            10 + 1 + 10 + 10 + 10 * (20 + 1 + 5 + 5),
        ),
        # What is skipped for certain costs nothing.
        ("{ me { id } recommendations @skip(if: true) { pageInfo { endCursor } } }", 1),
        ("{ ... @include(if: false) { me { id } } }", 0),
        # Introspection has a price for each field, wherever it is written.
        ("{ __schema { types { fields { name } } } }", 10 * 4),
        ("{ __schema { types { ...F ...F } } } fragment F on __Type { name ... { kind } }", 60),
        ('{ __type(name: "User") { name } __type(name: "User") { kind } }', 40),
        # The dearest of the types that it may be.
        ('{ node(id: "a") { id } }', 10 + 1),
        ('{ node(id: "a") { ... on User { id } ... on Property { affinity } } }', 10 + 1 + 1),
    ],
)
def test_what_operations_cost(text: str, points: int) -> None:
    asked = price(text)
    assert asked.fixed == points
    assert asked.asked({}) == points


UPSERT = """
mutation ($input: UpsertPropertiesInput!) {
  upsertProperties(input: $input) { created results { property { id } } errors { message } }
}
"""
UPSERT_USERS = """
mutation ($input: UpsertUsersInput!) { upsertUsers(input: $input) { results { user { id } } } }
"""


@pytest.mark.parametrize(
    ("text", "variables", "points"),
    [
        (f"query ($n: Int) {{ recommendations(first: $n) {{ {PAGE} }} }}", {}, 111),
        (f"query ($n: Int) {{ recommendations(first: $n) {{ {PAGE} }} }}", {"n": None}, 111),
        (f"query ($n: Int) {{ recommendations(first: $n) {{ {PAGE} }} }}", {"n": 2}, 57),
        (f"query ($n: Int = 4) {{ recommendations(first: $n) {{ {PAGE} }} }}", {}, 63),
        (f"query ($n: Int = 4) {{ recommendations(first: $n) {{ {PAGE} }} }}", {"n": 2.0}, 57),
        (f"query ($n: Int) {{ recommendations(first: $n) {{ {PAGE} }} }}", {"n": -2}, 51),
        ("query ($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["a", "b", "c"]}, 10 + 3),
        # A single value stands for a list of one.
        ("query ($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": "a"}, 10 + 1),
        ("query ($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": 5}, 10 + 1),
        (f"query ($i: [ID!]! = {'9' * 5000}) {{ nodes(ids: $i) {{ id }} }}", {}, 10 + 1),
        ("query ($w: Boolean!) { me @include(if: $w) { id } }", {"w": True}, 1),
        ("query ($w: Boolean!) { me @include(if: $w) { id } }", {"w": False}, 0),
        ("query ($w: Boolean = true) { me @skip(if: $w) { id } }", {}, 0),
        ("query ($w: Boolean!) { me @skip(if: $w) { id } me { name } }", {"w": True}, 1),
        (
            "query ($a: Boolean!, $b: Boolean!) "
            "{ ... @include(if: $a) { me @skip(if: $b) { id } } }",
            {"a": True, "b": True},
            0,
        ),
        # A write, 2 for each property sent, and what comes back of it.
        (UPSERT, {"input": {"properties": [{}, {}, {}]}}, 10 + 2 * 3 + 1 + 3 * 2),
        (UPSERT_USERS, {"input": {"users": [{}, {}, {}]}}, 10 + 2 * 3 + 1 + 3 * 2),
        (UPSERT, {"input": {}}, 10 + 1),
        (UPSERT, {}, 10 + 1),
    ],
)
def test_what_operations_cost_with_variables(
    text: str, variables: dict[str, Any], points: int
) -> None:
    assert price(text).fixed is None
    assert price(text).asked(variables) == points


def test_a_list_of_variables_has_its_length() -> None:
    assert price("query ($i: ID!) { nodes(ids: [$i, $i]) { id } }").fixed == 10 + 2


def test_literal_input_objects_are_counted() -> None:
    text = """mutation { upsertProperties(input: {properties: [{externalId: "a"}]}) { created } }"""
    assert price(text).fixed == 10 + 2 + 1


NESTED = """
query ($n: Int, $m: Int) {
  properties(first: $n) { edges { node { similarProperties(first: $m) {
    edges { node { affinity provenance { field } } }
  } } } }
}
"""
SIZES = st.integers(min_value=-5, max_value=10_000)


@given(SIZES, SIZES, st.integers(min_value=0, max_value=1000), st.booleans())
def test_longer_lists_cost_no_less(n: int, m: int, more: int, first: bool) -> None:
    shorter = price(NESTED).asked({"n": n, "m": m})
    longer = price(NESTED).asked({"n": n + more * first, "m": m + more * (not first)})
    assert longer >= shorter


def test_no_price_is_more_than_clients_can_read() -> None:
    most = 2**31 - 1
    assert price(NESTED).asked({"n": most, "m": most}) == most
    fixed = NESTED.replace("query ($n: Int, $m: Int)", "")
    assert price(fixed.replace("$n", str(most)).replace("$m", str(most))).fixed == most


def test_what_came_back_is_counted() -> None:
    asked = price("{ recommendations { edges { node { property { affinity } } } } }")
    node = {"node": {"property": {"affinity": 0.5}}}
    assert asked.actual({"recommendations": {"edges": [node] * 20}}, {}) == asked.fixed
    assert asked.actual({"recommendations": {"edges": [node] * 2}}, {}) == 50 + 1 + 2 * 4
    assert asked.actual({"recommendations": {"edges": []}}, {}) == 50 + 1
    assert asked.actual({"recommendations": None}, {}) == 50
    assert asked.actual(None, {}) == 50


def test_an_object_that_does_not_tell_its_type_counts_as_the_dearest() -> None:
    fields = "id ... on Property { similarProperties { edges { cursor } } } ... on User { name }"
    data = {"node": {"id": "a", "name": "b"}}
    assert price(f'{{ node(id: "a") {{ {fields} }} }}').actual(data, {}) == 10 + 1
    named = price(f'{{ node(id: "a") {{ __typename {fields} }} }}')
    assert named.actual({"node": data["node"] | {"__typename": "User"}}, {}) == 10 + 1
    similar = {"edges": [{"cursor": "c"}] * 3}
    property_ = {"__typename": "Property", "id": "a", "similarProperties": similar}
    assert named.actual({"node": property_}, {}) == 10 + 1 + 20 + 1 + 3


def test_every_list_of_objects_has_a_size() -> None:
    assert list(unsized_lists(SCHEMA)) == []


def test_every_connection_is_sized_by_the_arguments_that_it_has() -> None:
    for kind in SCHEMA.type_map.values():
        for name, field in getattr(kind, "fields", {}).items():
            if not str(getattr(field, "type", "")).rstrip("!").endswith("Connection"):
                continue
            sizes = declared_sizes(field)
            assert sizes is not None, f"{kind}.{name}"
            assert sizes.fields == ("edges",), f"{kind}.{name}"
            given = tuple(one for one in ("first", "last") if one in field.args)
            assert sizes.arguments == given, f"{kind}.{name}"


def test_a_schema_with_a_list_of_unknown_length_is_refused() -> None:
    unsized: GraphQLSchema = sdl("type Query { all: [Thing!]! } type Thing { id: ID }")
    with pytest.raises(ValueError, match=r"Query\.all"):
        Pricer(unsized)
