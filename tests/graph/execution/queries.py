"""Random valid documents of a schema, and variables for them; the same for the same seed."""

import json
from random import Random
from typing import Any
from zlib import crc32

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationType,
    Undefined,
    get_named_type,
    is_composite_type,
    is_non_null_type,
)

Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType
MAX_SELECTIONS = 60
INTROSPECTION = (
    "__schema { queryType { name } types { name fields { name type { kind ofType { name } } } } }",
    '__type(name: "Query") { __typename name interfaces { name } }',
)
SCALARS: dict[str, list[Any]] = {
    "String": ["", "a", "☃"],
    "ID": ["1", "x", 7],
    "Int": [0, 3, -1],
    "Float": [0.5, 2, -1e3],
    "Boolean": [True, False],
    "DateTime": ["2026-01-02T03:04:05Z", "never"],
}


class QueryMaker:
    """Writes one operation and its fragments.

    Args:
        schema: of the operation.
        seed: of the random choices.
        kind: of operation.
    """

    def __init__(
        self, schema: GraphQLSchema, seed: int, kind: OperationType = OperationType.QUERY
    ) -> None:
        self._schema = schema
        self._random = Random(seed)
        self._kind = kind
        self._declared: dict[str, str] = {}
        self._types: dict[str, Any] = {}
        self._required: set[str] = set()
        self._fragments: dict[str, tuple[str, str]] = {}
        self._left = MAX_SELECTIONS
        root = schema.get_root_type(kind)
        assert root is not None
        self._body = self._selections(root, 0, alone=kind is OperationType.SUBSCRIPTION)

    @property
    def text(self) -> str:
        """The document."""
        declared = ", ".join(f"${name}: {said}" for name, said in self._declared.items())
        operation = f"{self._kind.value} Q{f'({declared})' if declared else ''} {self._body}"
        fragments = [
            f"fragment {name} on {kind} {body}" for name, (kind, body) in self._fragments.items()
        ]
        return "\n".join([operation, *fragments])

    def variables(self, seed: int) -> dict[str, Any]:
        """Values for the operation's variables, as a client would send them; now and then wrong."""
        random = Random(seed)
        values: dict[str, Any] = {}
        for name, kind in self._types.items():
            if name not in self._required and random.random() < 0.3:
                continue
            values[name] = self._value(kind, random)
            if random.random() < 0.02:
                values[name] = random.choice([None, "wrong", {"colour": "PUCE"}, [[{}]], 1e99])
        return values

    def _selections(self, kind: Composite, depth: int, *, alone: bool = False) -> str:
        fields = {} if isinstance(kind, GraphQLUnionType) else dict(kind.fields)
        count = 1 if alone else self._random.randint(1, 4 if depth else 3)
        chosen = [self._selection(kind, fields, depth, alone=alone) for _ in range(count)]
        return "{ " + (" ".join(one for one in chosen if one) or "__typename") + " }"

    def _selection(
        self, kind: Composite, fields: dict[str, GraphQLField], depth: int, *, alone: bool
    ) -> str:
        random = self._random
        self._left -= 1
        choice = random.random()
        names = list(fields)
        if alone:
            return self._field(kind, random.choice(names), depth, fields)
        if choice < 0.01 and depth == 0 and self._kind is OperationType.QUERY:
            return random.choice(INTROSPECTION)
        if depth < 7 and self._left > 0 and (0.06 < choice < 0.25 or not fields):
            return self._fragment(kind, depth)
        if depth > 5 or self._left <= 0:
            names = [
                one for one in names if not is_composite_type(get_named_type(fields[one].type))
            ]
        if choice < 0.06 or not names:
            return "__typename"
        return self._field(kind, random.choice(names), depth, fields)

    def _field(
        self, kind: Composite, name: str, depth: int, fields: dict[str, GraphQLField]
    ) -> str:
        field = fields[name]
        arguments = self._arguments(field)
        alias = ""
        # Fields of one key must be merged: only the same field with the same arguments has it.
        if arguments or not isinstance(kind, GraphQLObjectType) or self._random.random() < 0.3:
            alias = f"{name}_{crc32((str(kind) + arguments).encode()) % 9973}: "
        elif self._random.random() < 0.7:
            alias = f"{kind.name}_{name}: "
        directives = "" if depth == 0 and self._kind.value == "subscription" else self._directives()
        inner = get_named_type(field.type)
        body = self._selections(inner, depth + 1) if is_composite_type(inner) else ""
        return f"{alias}{name}{arguments}{directives} {body}"

    def _fragment(self, kind: Composite, depth: int) -> str:
        random = self._random
        if isinstance(kind, GraphQLObjectType):
            possible: list[Composite] = [kind, *kind.interfaces]
        else:
            possible = [kind, *self._schema.get_possible_types(kind)]
            possible += [one for one in self._related(kind) if one not in possible]
        on = random.choice(possible)
        if random.random() < 0.5:
            known = [
                name for name, (said, body) in self._fragments.items() if said == on.name and body
            ]
            if known and random.random() < 0.7:
                name = random.choice(known)
            else:
                name = f"F{len(self._fragments)}"
                # Reserved, and not offered before it is written: fragments must not be circular.
                self._fragments[name] = (on.name, "")
                self._fragments[name] = (on.name, self._selections(on, depth + 1))
            return f"...{name}{self._directives()}"
        condition = "" if on is kind and random.random() < 0.5 else f" on {on.name}"
        return f"...{condition}{self._directives()} {self._selections(on, depth + 1)}"

    def _related(self, kind: GraphQLInterfaceType | GraphQLUnionType) -> list[Composite]:
        """Interfaces that some of the possible types have as well."""
        found: list[Composite] = []
        for one in self._schema.get_possible_types(kind):
            found += [other for other in one.interfaces if other not in found]
        return found

    def _directives(self) -> str:
        random = self._random
        said = ""
        for name in ("skip", "include"):
            if random.random() < 0.08:
                if random.random() < 0.5:
                    condition = random.choice(["true", "false"])
                else:
                    condition = f"${random.choice(['if0', 'if1'])}"
                    default = random.choice(["", "", " = true"])
                    self._declared.setdefault(condition[1:], f"Boolean!{default}")
                    self._types[condition[1:]] = GraphQLNonNull(self._schema.type_map["Boolean"])
                    if "=" not in self._declared[condition[1:]]:
                        self._required.add(condition[1:])
                said += f" @{name}(if: {condition})"
        return said

    def _arguments(self, field: GraphQLField) -> str:
        said = []
        for name, argument in field.args.items():
            if not _required(argument) and self._random.random() < 0.4:
                continue
            said.append(f"{name}: {self._argument(argument)}")
        return f"({', '.join(said)})" if said else ""

    def _argument(self, argument: GraphQLArgument | GraphQLInputField) -> str:
        random = self._random
        if random.random() < 0.4:
            return self._variable(argument)
        return self._literal(self._value(argument.type, random), argument.type)

    def _variable(self, argument: GraphQLArgument | GraphQLInputField) -> str:
        random = self._random
        name = f"v{len(self._declared)}"
        kind = argument.type
        said = str(kind)
        if random.random() < 0.3:
            said += f" = {self._literal(self._value(kind, random), kind)}"
        elif is_non_null_type(kind):
            self._required.add(name)
        self._declared[name] = said
        self._types[name] = kind
        return f"${name}"

    def _value(self, kind: Any, random: Random) -> Any:
        """A value of an input type, as JSON would have it."""
        if isinstance(kind, GraphQLNonNull):
            return self._one(kind.of_type, random)
        if random.random() < 0.1:
            return None
        return self._one(kind, random)

    def _one(self, kind: Any, random: Random) -> Any:
        if isinstance(kind, GraphQLList):
            return [self._value(kind.of_type, random) for _ in range(random.randrange(3))]
        if isinstance(kind, GraphQLEnumType):
            return random.choice(list(kind.values))
        if isinstance(kind, GraphQLInputObjectType):
            return {
                name: self._value(one.type, random)
                for name, one in kind.fields.items()
                if _required(one) or random.random() < 0.5
            }
        return random.choice(SCALARS[kind.name])

    def _literal(self, value: Any, kind: Any) -> str:
        if isinstance(kind, GraphQLNonNull):
            return self._literal(value, kind.of_type)
        if value is None:
            return "null"
        if isinstance(kind, GraphQLList):
            return f"[{', '.join(self._literal(one, kind.of_type) for one in value)}]"
        if isinstance(kind, GraphQLEnumType):
            return str(value)
        if isinstance(kind, GraphQLInputObjectType):
            items = [
                f"{name}: {self._literal(one, kind.fields[name].type)}"
                for name, one in value.items()
            ]
            return f"{{{', '.join(items)}}}"
        return json.dumps(value)


def _required(one: GraphQLArgument | GraphQLInputField) -> bool:
    return is_non_null_type(one.type) and one.default_value is Undefined
