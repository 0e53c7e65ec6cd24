"""Requests that are proper HTTP and JSON, and hostile or wrong as GraphQL."""

import hashlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.conformance.fuzz.documents import Documents, enum_values
from tests.conformance.fuzz.messages import Message, World, asking
from tests.conformance.fuzz.values import (
    NUMBERS,
    STRINGS,
    altered,
    fitting,
    identity,
    literal,
    spoiled,
    wrong,
)

LISTS = ("properties", "recommendations")


def random_query(rng: Random, world: World) -> Message:
    """A query that fits the schema, rules of values aside."""
    documents = Documents(rng, world)
    return asking(rng, world, {"query": documents.operation(), "variables": documents.variables})


def random_mutation(rng: Random, world: World) -> Message:
    """A mutation with random inputs of the right types."""
    documents = Documents(rng, world)
    query = documents.operation("mutation")
    return asking(rng, world, {"query": query, "variables": documents.variables})


def spoiled_mutation(rng: Random, world: World) -> Message:
    """A mutation's input with some part of it of another type."""
    root = world.schema.mutation_type
    assert root is not None
    name, definition = rng.choice(list(root.fields.items()))
    kind = definition.args["input"].type
    value = spoiled(rng, fitting(rng, world, kind))
    if rng.random() < 0.5:
        query = f"mutation {{ {name}(input: {literal(value)}) {{ __typename }} }}"
        return asking(rng, world, {"query": query})
    selection = "{ errors { code message path } }"
    query = f"mutation ($input: {kind}) {{ {name}(input: $input) {selection} }}"
    return asking(rng, world, {"query": query, "variables": {"input": value}})


def wrong_variables(rng: Random, world: World) -> Message:
    """A query whose variables are partly of other types, missing or too many."""
    documents = Documents(rng, world)
    query = documents.operation()
    variables = spoiled(rng, documents.variables)
    if isinstance(variables, dict) and rng.random() < 0.2:
        variables |= {rng.choice(STRINGS): wrong(rng)}
    return asking(rng, world, {"query": query, "variables": variables})


def wrong_literals(rng: Random, world: World) -> Message:
    """A field whose argument is a literal of any kind."""
    root = world.schema.query_type
    assert root is not None
    taking = [(name, one) for name, one in root.fields.items() if one.args]
    name, definition = rng.choice(taking)
    argument, one = rng.choice(list(definition.args.items()))
    value = spoiled(rng, fitting(rng, world, one.type))
    text = literal(value, enum_values(world.schema) if rng.random() < 0.5 else frozenset())
    return asking(rng, world, {"query": f"{{ {name}({argument}: {text}) {{ __typename }} }}"})


def unknown_names(rng: Random, world: World) -> Message:
    """A valid document in which one name or sign is another."""
    query = Documents(rng, world).operation()
    words = query.split(" ")
    at = rng.randrange(len(words))
    words[at] = rng.choice(
        (altered(rng, words[at] or "x"), "nothing", "__proto__", "@unknown", "...", "on", "$x", "{",
         "}", "fragment", "... on Nothing { id }", "...missing", '"""', "&", "!", "subscription")
    )  # fmt: skip
    return asking(rng, world, {"query": " ".join(words)})


def deep(rng: Random, world: World) -> Message:
    """Fields, lists or objects within one another, far too deep."""
    levels = rng.choice((20, 100, 700, 5000))
    loop = "recommendations { edges { node { user { "
    query = rng.choice(
        (
            "{ me { " + loop * levels + "id" + " } } } }" * levels + " } }",
            "{" + "me {" * levels,
            "{ properties(filter: " + "[" * levels + "]" * levels + ") { totalCount } }",
            "{ properties(filter: " + "{a: " * levels + "1" + "}" * levels + ") { totalCount } }",
        )
    )
    return asking(rng, world, {"query": query}, refused=True)


def nested(rng: Random, world: World) -> Message:
    """Fragments and types within one another, which are not levels of fields."""
    levels = rng.choice((20, 100, 300, 700, 5000))
    chain = " ".join(f"fragment f{n} on Query {{ ...f{n + 1} }}" for n in range(levels))
    query = rng.choice(
        (
            "{ " + "... { " * levels + "me { id } " + "} " * levels + "}",
            f"{{ ...f0 }} {chain} fragment f{levels} on Query {{ me {{ id }} }}",
            "query ($a: " + "[" * levels + "Int" + "]" * levels + ") { __typename }",
            "query ($a: [Int] = " + "[" * levels + "]" * levels + ") { __typename }",
        )
    )
    return asking(rng, world, {"query": query})


def bomb(rng: Random, world: World) -> Message:
    """Many aliases, fields, directives, variables, operations or comments."""
    many = rng.choice((31, 500, 20_000))
    doubling = " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(30))
    wide = " ".join(f"p{n}: properties(first: 100) {{ totalCount }}" for n in range(many))
    query = rng.choice(
        (
            "{" + " ".join(f"a{n}: __typename" for n in range(many)) + "}",
            "{ " + "__typename " * many + "}",
            "{ " + "me { id } " * many + "}",
            f"{{ {wide} }}",
            "{ __typename " + "@include(if: true) " * many + "}",
            "query (" + " ".join(f"$v{n}: Int" for n in range(many)) + ") { __typename }",
            " ".join(f"query q{n} {{ __typename }}" for n in range(many)),
            "{ __typename }" + "#\n" * many,
            "{ __typename }" + "," * many * 3,
            "{ ...f0 } " + doubling + " fragment f30 on Query { me { id } }",
        )
    )
    return asking(rng, world, {"query": query})


def cycle(rng: Random, world: World) -> Message:
    """Fragments or variables that lead back to themselves."""
    length = rng.randint(1, 40)
    ring = " ".join(f"fragment f{n} on User {{ id ...f{(n + 1) % length} }}" for n in range(length))
    lists = "recommendations { edges { node { user { ...a } } } }"
    nested = f"{{ me {{ ...a }} }} fragment a on User {{ {lists} }}"
    query = rng.choice((f"{{ me {{ ...f0 }} }} {ring}", nested))
    return asking(rng, world, {"query": query}, refused=True)


def long_lists(rng: Random, world: World) -> Message:
    """Lists of thousands of ids, vectors or filters, and pages of any size."""
    count = rng.choice((501, 3000, 20_000))
    root = rng.choice(LISTS)
    choices: list[tuple[str, dict[str, Any]]] = [
        (
            "query ($ids: [ID!]!) { affinity(propertyIds: $ids) { score } }",
            {"ids": [identity(rng, world) for _ in range(count)]},
        ),
        (
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
            {"ids": [identity(rng, world) for _ in range(count)]},
        ),
        (
            f"query ($f: PropertyFilter) {{ {root}(filter: $f) {{ edges {{ cursor }} }} }}",
            {"f": {"zipcodes": [str(n) for n in range(count)], "cities": ["x" * 1000] * 50}},
        ),
        (
            f"query ($n: Int) {{ {root}(first: $n) {{ edges {{ cursor }} }} }}",
            {"n": rng.choice(NUMBERS)},
        ),
    ]
    query, variables = rng.choice(choices)
    return asking(rng, world, {"query": query, "variables": variables})


def ids_and_cursors(rng: Random, world: World) -> Message:
    """Ids and cursors of other types, other tenants, and altered by a character."""
    query, value = rng.choice(
        (
            ("query ($x: ID!) { node(id: $x) { __typename id } }", identity(rng, world)),
            ("query ($x: ID!) { property(id: $x) { id address } }", identity(rng, world)),
            ("query ($x: ID!) { user(id: $x) { id email } }", identity(rng, world)),
            (
                "query ($x: ID!) { similarProperties(propertyId: $x) { edges { cursor } } }",
                identity(rng, world),
            ),
            (
                f"query ($x: String) {{ {rng.choice(LISTS)}(after: $x) {{ edges {{ cursor }} }} }}",
                altered(rng, rng.choice(world.cursors)),
            ),
            (
                "query ($x: String) { properties(before: $x, last: 3) { edges { cursor } } }",
                rng.choice((*world.cursors, *STRINGS)),
            ),
        )
    )
    return asking(rng, world, {"query": query, "variables": {"x": value}})


def operation_names(rng: Random, world: World) -> Message:
    """Several operations, and a name that is one of them, none, or no name."""
    documents = " ".join(
        rng.choice(("query a { __typename }", "query b { me { id } }", "{ __typename }",
                    "mutation c { __typename }", "fragment d on Query { __typename }"))
        for _ in range(rng.randint(0, 4))
    )  # fmt: skip
    name = rng.choice(("a", "b", "c", "d", "", wrong(rng)))
    return asking(rng, world, {"query": documents, "operationName": name})


def persisted(rng: Random, world: World) -> Message:
    """Documents named by hashes that are wrong, unknown, or no hashes."""
    query = "{ __typename }"
    known = hashlib.sha256(query.encode()).hexdigest()
    value = rng.choice((known, known.upper(), known[:-1], "", "0" * 64, wrong(rng)))
    content: dict[str, Any] = {
        "extensions": {"persistedQuery": {"version": rng.choice((1, 2, "1", None)),
                                          "sha256Hash": value}}
    }  # fmt: skip
    if rng.random() < 0.3:
        content = {"documentId": value}
    if rng.random() < 0.5:
        content["query"] = rng.choice((query, "{ me { id } }", wrong(rng)))
    return asking(rng, world, spoiled(rng, content) if rng.random() < 0.3 else content)


def batch(rng: Random, world: World) -> Message:
    """Lists of requests, which are off."""
    one = {"query": "{ __typename }"}
    content = [one] * rng.choice((1, 2, 100, 5000)) + [wrong(rng)] * rng.randrange(2)
    return asking(rng, world, content, refused=True, statuses=(400,))


def introspection(rng: Random, world: World) -> Message:
    """Introspection of itself, wide and deep."""
    levels = rng.choice((2, 5, 30, 200))
    loop = "fields { type { " * levels + "name" + " } }" * levels
    query = rng.choice(
        (
            f"{{ __schema {{ types {{ {loop} }} }} }}",
            f'{{ __type(name: "Query") {{ {loop} }} }}',
            "{ __schema { types { possibleTypes { interfaces { possibleTypes { name } } } } } }",
            f"{{ __type(name: {literal(rng.choice(STRINGS))}) {{ name }} }}",
            "{ me { __schema { types { name } } } }",
            "{ __schema { types {" + "fields { name } " * 400 + "} } }",
            "{ __schema {" + " ".join(f"a{n}: types {{ ...F }}" for n in range(30)) + "} } "
            "fragment F on __Type { fields { type { fields { name } } args { type { name } } } }",
            "{" + " ".join(f"s{n}: __schema {{ types {{ name }} }}" for n in range(25)) + "}",
        )
    )
    return asking(rng, world, {"query": query})


def shapes(rng: Random, world: World) -> Message:
    """JSON that is no GraphQL request, or has a parameter of another type."""
    request: dict[str, Any] = {
        "query": "{ __typename }", "variables": {}, "operationName": None, "extensions": {}
    }  # fmt: skip
    deep = rng.choice((100, 900, 1100, 50_000))
    text = rng.choice(
        (
            json.dumps(spoiled(rng, request)),
            json.dumps(wrong(rng)),
            '{"query": "{ me { id } }", "query": "{ __typename }"}',
            '{"query": "{ __typename }", "variables": {"a": 1, "a": 2}, "variables": []}',
            '{"query": "{ __typename }", "variables": {"x": ' + "[" * deep + "]" * deep + "}}",
            '{"query": "query ($x: PropertyFilter) { properties(filter: $x) { totalCount } }", '
            '"variables": {"x": ' + '{"price": ' * deep + "1" + "}" * deep + "}}",
            '{"query": "\\ud800{ __typename }"}',
            '{"query": "{ __typename }\x00"}',
            '{"query": "{ \\u005f_typename }", "variables": {"__proto__": {"x": 1}}}',
            "{'query': '{ __typename }'}",
            '{"query": "{ __typename }",}',
            '{"query": "{ __typename }", "variables": {"n": 1e999, "m": NaN}}',
            '{"query": "{ __typename }", "variables": {"n": ' + "9" * 5000 + "}}",
            "",
        )
    )
    return asking(rng, world, text)


def subscription(rng: Random, world: World) -> Message:
    """A subscription where a query or mutation is expected."""
    root = world.schema.subscription_type
    name = rng.choice(list(root.fields)) if root else "jobProgress"
    query = f"subscription {{ {name} {{ __typename }} }}"
    return asking(rng, world, {"query": query}, refused=True)


HOSTILE: dict[Callable[[Random, World], Message], int] = {
    random_query: 16, random_mutation: 8, spoiled_mutation: 8, wrong_variables: 8,
    wrong_literals: 8, unknown_names: 6, deep: 4, nested: 3, bomb: 4, cycle: 2, long_lists: 3,
    ids_and_cursors: 8, operation_names: 3, persisted: 4, batch: 2, introspection: 3, shapes: 6,
    subscription: 1,
}  # fmt: skip
"""Each kind, and how often it is sent beside the others."""
