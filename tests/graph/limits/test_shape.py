"""How large documents may be."""

from itertools import permutations

import pytest
from graphql import get_introspection_query, parse
from hypothesis import example, given
from hypothesis import strategies as st

from graph.core.errors import RequestRefused
from graph.limits.meter import Meter
from graph.limits.shape import (
    MAX_ALIASES,
    MAX_DEPTH,
    MAX_FIELDS,
    MAX_FRAGMENTS,
    MAX_REPEATS,
    MAX_ROOT_FIELDS,
    too_large,
)
from graph.schema import build_schema
from graph.server.documents import DocumentStore
from settings import Settings

SCHEMA = build_schema()._schema


def complaints(text: str) -> list[str]:
    return [error.message for error in too_large(parse(text))]


def nested(levels: int) -> str:
    return "{ me " * levels + "{ id }" + " }" * levels


def fields(count: int, name: str = "f") -> str:
    return " ".join(f"{name}{number}" for number in range(count))


@pytest.mark.parametrize(
    ("within", "beyond", "says"),
    [
        (nested(MAX_DEPTH - 1), nested(MAX_DEPTH), "depth 13: at most 12"),
        (
            "{" + fields(MAX_ROOT_FIELDS) + "}",
            "{" + fields(MAX_ROOT_FIELDS + 1) + "}",
            "root fields 21: at most 20",
        ),
        (
            "{ me {" + fields(MAX_FIELDS - 1) + "} }",
            "{ me {" + fields(MAX_FIELDS) + "} }",
            "fields 1001: at most 1000",
        ),
        (
            "{ me {" + fields(MAX_ALIASES, "a: f") + "} }",
            "{ me {" + " ".join(f"a{n}: id" for n in range(MAX_ALIASES + 1)) + "} }",
            "aliases 31: at most 30",
        ),
        (
            "{ me {" + "id " * MAX_REPEATS + "} }",
            "{ me {" + "id " * (MAX_REPEATS + 1) + "} }",
            "fields named 'id' 51: at most 50 in one document",
        ),
    ],
)
def test_each_limit_is_named_with_its_figure(within: str, beyond: str, says: str) -> None:
    assert complaints(within) == []
    assert complaints(beyond) == [says]


def test_fragments_count_wherever_they_are_spread() -> None:
    deep = "fragment F on User " + nested(MAX_DEPTH - 2)
    assert complaints("{ me { ...F } } " + deep) == []
    assert complaints("{ a { me { ...F } } } " + deep) == ["depth 13: at most 12"]
    assert complaints("{ a { me { ... on User { ... { ...F } } } } } " + deep) != []
    # Ten times ten times ten fields, written in thirty.
    doubled = "fragment A on U { f0 }"
    for inner, outer in [("A", "B"), ("B", "C"), ("C", "D")]:
        spread = " ".join(f"f{number} {{ ...{inner} }}" for number in range(10))
        doubled += f" fragment {outer} on U {{ {spread} }}"
    assert "fields 2111: at most 1000" in complaints("{ me { ...D } } " + doubled)


def test_fragments_that_nobody_spreads_count_as_well() -> None:
    # Validation looks at them, too.
    repeated = "{ id " + "name " * (MAX_REPEATS + 1) + "}"
    assert complaints("{ me { id } } fragment F on User " + repeated) != []


def test_circles_of_fragments_end() -> None:
    for order in permutations("ABC"):
        text = "{ ...%s } fragment A on Query { ...B } fragment B on Query { ...C } "
        assert complaints(text % order[0] + "fragment C on Query { me { id } ...A }") == []


@given(
    count=st.integers(min_value=1, max_value=120),
    levels=st.integers(min_value=0, max_value=190),
    opening=st.sampled_from(["f {", "... {", "... on Query {"]),
)
@example(count=99, levels=12, opening="... {")
@example(count=7, levels=190, opening="... {")
def test_no_document_is_too_deep_to_be_refused(count: int, levels: int, opening: str) -> None:
    # Each fragment spreads the next one, far inside.
    chain = [
        f"fragment F{number} on Query {{ {opening * levels} ...F{number + 1} {'}' * levels} }}"
        for number in range(count)
    ]
    text = f"{{ ...F0 }} {' '.join(chain)} fragment F{count} on Query {{ __typename }}"
    document = DocumentStore(SCHEMA).by_text(text)
    if (opening == "f {" and levels) or count + 1 > MAX_FRAGMENTS:
        assert document.errors


def test_the_depth_of_introspection_is_left_to_its_own_rule() -> None:
    text = "{ __schema " + "{ types { fields { type " * 5 + "{ name }" + " } } }" * 5 + " }"
    assert complaints(text) == []
    with pytest.raises(RequestRefused, match="Maximum introspection depth"):
        DocumentStore(SCHEMA).by_text(text).operation(None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{ __schema { types {" + "fields { name } " * 51 + "} } }", "fields named 'fields' 51"),
        ("{ __schema { types {" + fields(MAX_FIELDS) + "} } }", "fields 1002"),
        ("{ __schema { ... { ...F } } } fragment F on X {" + fields(MAX_FIELDS) + "}", "fields 10"),
        # Each list of introspection is as long as the schema is large, so aliases weigh more.
        ("{ __schema {" + fields(4, "a: f") + "} }", "aliases 40: at most 30"),
        ('{ a: __schema { types { name } } b: __type(name: "User") { c: name d: name } }', "40"),
    ],
)
def test_introspection_counts_within_all_other_limits(text: str, says: str) -> None:
    assert any(says in complaint for complaint in complaints(text))


def test_the_usual_introspection_is_within_all_limits() -> None:
    text = get_introspection_query(
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
    )
    price = DocumentStore(SCHEMA).by_text(text).operation(None).price
    default = Settings.model_fields["cost_limit"].default
    assert Meter(default, default, 0).asked(price, {}) > 1000


def test_where_introspection_is_off_nothing_else_of_it_is_looked_at() -> None:
    errors = DocumentStore(SCHEMA, introspection=False).by_text("{ __schema { wrong } }").errors
    assert ["introspection" in error.message for error in errors] == [True]


def test_what_is_too_large_is_not_validated() -> None:
    text = "{" + "me { nothing } " * (MAX_REPEATS + 1) + "}"
    with pytest.raises(RequestRefused) as refused:
        DocumentStore(SCHEMA).by_text(text).operation(None)
    codes = {(error.extensions or {})["code"] for error in refused.value.errors}
    assert codes == {"DOCUMENT_TOO_LARGE"}


@pytest.mark.parametrize("introspection", [True, False])
def test_introspection_can_be_off(introspection: bool) -> None:
    store = DocumentStore(SCHEMA, introspection=introspection)
    for text in ("{ __schema { queryType { name } } }", '{ __type(name: "User") { name } }'):
        assert bool(store.by_text(text).errors) is not introspection
    assert not store.by_text("{ __typename }").errors


@pytest.mark.parametrize("suggestions", [True, False])
def test_suggestions_can_be_off(suggestions: bool) -> None:
    store = DocumentStore(SCHEMA, suggestions=suggestions)
    for text in (
        "{ mee { id } }",
        "{ me { nam } }",
        "{ properties(frist: 1) { totalCount } }",
        "{ properties(orderBy: {field: YEAR_BILT}) { totalCount } }",
        "{ ... on Qeury { me { id } } }",
        "query ($x: Proprty) { me { id } }",
    ):
        errors = store.by_text(text).errors
        assert any("Did you mean" in error.message for error in errors) is suggestions, text
