"""Values for a schema's types: such as fit, and such as do not."""

import json
import string
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    is_list_type,
    is_non_null_type,
)

from tests.conformance.fuzz.messages import World

MAX_DEPTH = 4

STRINGS = (
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\ufeff", "\u202e", "\u2028", "🏃" * 50,
    "'", "''; DROP TABLE properties; --", "' OR '1'='1", "%", "%%s", "_", "\\", "{0}", "${x}",
    "{{7*7}}", "../../etc/passwd", "<script>alert(1)</script>", "\r\nX-Evil: 1", "null", "NaN",
    "-1", "1e309", "9" * 400, "x" * 5000, "é" * 600, "2024-13-45T99:99:99Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+23:59", "2024-01-01", "VXNlcjo=", "UHJvcGVydHk6eA==", "====",
)  # fmt: skip
"""Strings that break what does not expect them."""

NUMBERS = (
    0, -1, 1, 101, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, 2**64, 10**30, 10**400,
    0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip

DIGITS = "9" * 5000
"""More than Python makes a number of."""


def fitting(rng: Random, world: World, kind: GraphQLInputType, depth: int = 0) -> Any:
    """A value that the type allows, though no rule of the server may."""
    if is_non_null_type(kind):
        return fitting(rng, world, kind.of_type, depth)
    if depth and rng.random() < 0.3:
        return None
    if is_list_type(kind):
        # null is only allowed where the items are not required.
        items = [fitting(rng, world, kind.of_type, depth) for _ in range(rng.randrange(4))]
        return items if not is_non_null_type(kind.of_type) else [x for x in items if x is not None]
    if isinstance(kind, GraphQLEnumType):
        return rng.choice(list(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        return {
            name: fitting(rng, world, one.type, depth + 1)
            for name, one in kind.fields.items()
            if is_non_null_type(one.type) or (depth < MAX_DEPTH and rng.random() < 0.4)
        }
    return _scalar(rng, world, str(kind))


def _scalar(rng: Random, world: World, name: str) -> Any:
    if name == "Boolean":
        return rng.random() < 0.5
    if name == "Int":
        # The most that an Int can be multiplies, where lists lie in lists.
        return rng.choice((rng.randrange(1, 101), rng.randrange(-(2**31), 2**31), 0, 5, 2**31 - 1))
    if name == "Float":
        return rng.choice((rng.random(), rng.uniform(-1e6, 1e6), 1e308, -0.0, rng.randrange(10**6)))
    if name == "ID":
        return identity(rng, world)
    if name == "DateTime":
        return rng.choice(("2024-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"))
    return rng.choice((*world.cursors, *STRINGS, "Seattle", "98103"))


def identity(rng: Random, world: World) -> str:
    """An id: one that exists, another tenant's, one of the wrong type, an altered one, a number."""
    if rng.random() < 0.02:
        return DIGITS
    known = [one for ids in world.ids.values() for one in ids]
    one = rng.choice((*known, *world.foreign_ids))
    return altered(rng, one) if rng.random() < 0.3 else one


def altered(rng: Random, text: str) -> str:
    """The text with one character dropped, doubled or changed."""
    at = rng.randrange(len(text))
    changed = ("", text[at] * 2, rng.choice(string.printable), rng.choice("=-_+/é\x00"))
    return text[:at] + rng.choice(changed) + text[at + 1 :]


def wrong(rng: Random, depth: int = 0) -> Any:
    """A JSON value of any kind."""
    kind = rng.randrange(3 if depth >= MAX_DEPTH else 6)
    if kind < 3:
        return rng.choice((STRINGS, NUMBERS, (True, False, None))[kind])
    if kind == 3:
        return [wrong(rng, depth + 1) for _ in range(rng.randrange(4))]
    names = ("min", "max") if kind == 4 else STRINGS[: rng.randrange(4)]
    return {name: wrong(rng, depth + 1) for name in names}


def spoiled(rng: Random, value: Any) -> Any:
    """The value with one part of it replaced by another of any kind."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        return value | {name: spoiled(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], spoiled(rng, value[at]), *value[at + 1 :]]
    return wrong(rng)


def literal(value: Any, enums: frozenset[str] = frozenset()) -> str:
    """The value as GraphQL source; it need not be valid there."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {literal(v, enums)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(literal(one, enums) for one in value) + "]"
    if isinstance(value, str) and value in enums:
        return value
    # An ID may be written as an Int.
    return DIGITS if value == DIGITS else json.dumps(value)
