"""Random values for fields, usual ones and others."""

import dataclasses
import enum
from collections.abc import AsyncIterator, Callable, Generator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any
from uuid import UUID

import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    Undefined,
    get_named_type,
    is_abstract_type,
)

from graph.core.strawberry_internals import schema_definition

Filler = Callable[["Maker"], Any]


NEAR: dict[str, list[Any]] = {
    "Int": [2**31, -(2**31) - 1, True, 1.0, 0.5, "12", float("nan")],
    "Float": [float("nan"), float("inf"), -float("inf"), 2**53 + 1, 10**400, True, "0.5"],
    "Boolean": [0, 1, 0.0, "true", float("nan")],
    "DateTime": [date(2026, 1, 1), "2026-01-01", datetime(2026, 1, 1)],
}
"""What is nearly right."""

SCALARS: dict[str, Callable[[Random], Any]] = {
    "String": lambda random: random.choice(["", "a", "ß☃", "null"]),
    "ID": lambda random: random.choice(["1", "Tree:1"]),
    "Int": lambda random: random.choice([0, 7, -(2**31), 2**31 - 1]),
    "Float": lambda random: random.choice([0.0, -1.5, 1e308, 3, random.random()]),
    "Boolean": lambda random: random.random() < 0.5,
    "DateTime": lambda random: datetime(2026, 1, 2, 3, 4, 5, random.randrange(9), UTC),
    "Date": lambda _: date(2026, 2, 1),
    "Time": lambda _: time(1, 2, 3),
    "Decimal": lambda _: Decimal("1.50"),
    "UUID": lambda random: UUID(int=random.randrange(99)),
    "Loud": lambda random: random.choice(["hush", ""]),
}
"""What is expected."""


class Text(str):
    """A string, but not exactly."""

    __slots__ = ()


class Later:
    """Awaitable, and no coroutine that would complain if nobody asked for it."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        # Two worlds hold two of them; where one is taken for text, the texts are compared.
        return "later"

    def __await__(self) -> Generator[None, None, Any]:
        yield
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


class Lazy:
    """Looks like an object of the schema, computes its attributes, and counts how often."""

    def __init__(self, inner: Any, reads: list[str]) -> None:
        self.__dict__["_inner"] = inner
        self.__dict__["_reads"] = reads

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            self._reads.append(name)
        return getattr(self._inner, name)


@cache
def _attributes(kind: GraphQLObjectType) -> tuple[type, list[tuple[str, Any]]]:
    """The class of a type's values and its attributes, without a type if they are no fields."""
    definition = schema_definition(kind)
    basic = {one.python_name for one in definition.fields if one.is_basic_field}
    types = {schema_definition(one).python_name: one.type for one in kind.fields.values()}
    # Resolvers return Edge(...) for Edge[Tree].
    origin = (definition.concrete_of or definition).origin
    names = [one.name for one in dataclasses.fields(origin)]
    return origin, [(name, types[name] if name in basic else None) for name in names]


class Maker:
    """Makes values of a schema's types, the same for the same seed.

    Args:
        schema: Strawberry's.
        seed: of the random choices.
        odd: how often a value is none that is expected, 0 to 1.
        fillers: for classes whose private attributes must be made too.
        length: of lists, at most.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        seed: int,
        odd: float,
        fillers: dict[str, Filler] | None = None,
        length: int = 3,
    ) -> None:
        self.random = Random(seed)
        self._schema = schema
        self._odd = odd
        self._fillers = fillers or {}
        self._length = length
        self.reads: list[str] = []

    def make(self, kind: GraphQLOutputType, name: str = "", depth: int = 0) -> Any:
        """A value for a field of that type."""
        random = self.random
        if random.random() < self._odd:
            return self._odd_value(kind, depth)
        if isinstance(kind, GraphQLNonNull):
            return self._present(kind.of_type, depth)
        return None if random.random() < 0.15 or depth > 5 else self._present(kind, depth)

    def _present(self, kind: Any, depth: int) -> Any:
        if isinstance(kind, GraphQLList):
            count = 0 if depth > 4 else self.random.randrange(self._length + 1)
            made = [self.make(kind.of_type, depth=depth + 1) for _ in range(count)]
            return tuple(made) if self.random.random() < 0.1 else made
        if is_abstract_type(kind):
            kind = self.random.choice(self._schema.get_possible_types(kind))
        if isinstance(kind, GraphQLObjectType):
            return self._object(kind, depth)
        if isinstance(kind, GraphQLEnumType):
            return self.random.choice(list(kind.wrapped_cls))  # type: ignore[attr-defined]
        return self._scalar(kind.name)

    def _object(self, kind: GraphQLObjectType, depth: int) -> Any:
        origin, names = _attributes(kind)
        values = {}
        for name, type_ in names:
            if type_ is not None:
                values[name] = self.make(type_, depth=depth + 1)
            elif name in self._fillers:
                values[name] = self._fillers[name](self)
        return self._disguised(origin(**values), kind, values)

    def _disguised(self, made: Any, kind: GraphQLObjectType, values: dict[str, Any]) -> Any:
        """Now and then another object that stands for it."""
        random = self.random
        if random.random() >= self._odd:
            return made
        choice = random.randrange(5)
        if choice == 0 and values:
            vars(made).pop(random.choice(list(values)), None)
        elif choice == 1:
            return strawberry.cast(type(made), Lazy(made, self.reads))
        elif choice == 2:
            return type(f"Sub{kind.name}", (type(made),), {})(**values)
        elif choice == 3:
            others = [one for one in self._schema.type_map.values() if one.ast_node is None]
            objects = [one for one in others if isinstance(one, GraphQLObjectType)]
            named = [one for one in objects if schema_definition(one)]
            return strawberry.cast(_attributes(random.choice(named))[0], made)
        else:
            return Lazy(made, self.reads)
        return made

    def _scalar(self, name: str) -> Any:
        return SCALARS[name](self.random)

    def _odd_value(self, kind: GraphQLOutputType, depth: int) -> Any:
        random = self.random
        usual = self._present(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, depth)
        if "[" in str(kind):
            return self._odd_list(usual)
        near = NEAR.get(get_named_type(kind).name)
        if near is not None and random.random() < 0.5:
            return random.choice(near)
        plain: list[Any] = [
            None,
            "",
            Text("text"),
            "RED",
            "red",
            "12",
            b"x",
            True,
            1,
            2.0,
            0.5,
            -1,
            2**31,
        ]
        plain += [2**53 + 1, 2**60, 10**400, float("nan"), float("inf"), -0.0, Decimal("2"), {}]
        plain += [[], (), {"text": "t", "count": 1, "id": "d"}, object, Undefined, Other.RED]
        plain += [ValueError("a value"), date(2026, 1, 1), datetime(2026, 1, 1), UUID(int=1)]
        plain += [Later(usual), Later(None), Later(ValueError("late")), Odd(7), strawberry.UNSET]
        if get_named_type(kind).name == "Loud":
            plain = [one for one in plain if not isinstance(one, type) and one is not Undefined]
        return random.choice(plain)

    def _odd_list(self, usual: Any) -> Any:
        async def later() -> AsyncIterator[Any]:
            for one in usual:
                yield one

        choices: list[Any] = [
            None,
            "text",
            {"a": 1},
            5,
            iter(list(usual)),
            set(),
            Later(usual),
            later(),
        ]
        choices += [[*usual, Later(one)] for one in usual] + [[*usual, None], [ValueError("in")]]
        return self.random.choice(choices)


class Other(enum.StrEnum):
    """An enum of nothing in the schema."""

    RED = "red"


class Odd(int):
    """A number, but not exactly."""
