"""What the code assumes of Strawberry beyond its documentation, one test for each assumption.

The server answers correctly even where an assumption no longer holds, but slowly: then one of these
tests fails, and its name says which.
"""

# mypy: disable-error-code="untyped-decorator"

import enum
import inspect
import re
import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import pytest
import strawberry
from graphql import GraphQLField, GraphQLSchema
from strawberry.extensions import FieldExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.union import StrawberryUnion

from graph.core.strawberry_internals import (
    ASYNC_RESOLVER,
    BASIC_RESOLVER,
    CAST_ATTRIBUTE,
    IS_TYPE_OF,
    MAKE_INFO,
    RESOLVE_INTERFACE,
    RESOLVE_UNION,
    RESOLVER,
    SCALARS,
    EnumType,
    InnerFunction,
    attribute_of,
    build_resolve_info,
    class_definition,
    class_of,
    classes_of,
    graphql_schema,
    method_of,
    scalar_class,
    schema_definition,
)

WRITTEN_FOR = {"strawberry-graphql": "0.341", "graphql-core": "3.3"}
"""The versions whose internals the code knows."""

ROOT = Path(__file__).parents[3]
T = TypeVar("T")


@strawberry.enum
class Colour(enum.Enum):
    RED = "red"


@strawberry.input
class Wish:
    colour: Colour


@strawberry.interface
class Thing:
    name: str


class Nothing(FieldExtension):
    def resolve(self, next_: Any, source: Any, info: strawberry.Info, **kwargs: Any) -> Any:
        return next_(source, info, **kwargs)


class RefusalError(Exception):
    pass


@strawberry.type
class Refused:
    why: str


class Refusals(strawberry.ExceptionHandler[RefusalError, Refused]):
    def handle(self, exception: RefusalError, *, field: Any, info: Any) -> Refused:
        return Refused(why=str(exception))


@strawberry.type
class Cup(Thing):
    colour: Colour
    made: date
    poured: datetime
    at: time
    price: Decimal
    key: UUID

    @strawberry.field
    def wish(self, info: strawberry.Info, wish: Wish, how_often: int = 1) -> str:
        return f"{info.field_name} {wish.colour} {how_often}"

    @strawberry.field
    async def slow(self) -> int:
        return 1

    @strawberry.field
    @staticmethod
    def of_parent(cup: strawberry.Parent["Cup"]) -> str:
        return cup.name

    @strawberry.field
    @staticmethod
    def of_root(root: Any) -> str:
        return str(root)

    @strawberry.field(extensions=[Nothing()])
    def extended(self) -> int:
        return 1

    @strawberry.field
    def refused(self) -> Annotated["Cup | Refused", strawberry.union("CupOrRefused")]:
        raise RefusalError


@strawberry.type
class Spoon:
    length: float


@strawberry.type
class Box(Generic[T]):
    content: T
    others: Sequence[T]


@strawberry.type
class CupBox(Box[Cup]):
    label: str


@strawberry.type
class Bag(Thing, Generic[T]):
    content: T


@strawberry.type
class Query:
    cup: Cup
    spoon: Spoon
    spoons: Box[Spoon]
    cups: CupBox
    bag: Bag[Cup]
    either: Annotated[Cup | Spoon | Box[Spoon], strawberry.union("Either")]


def build(**config: Any) -> GraphQLSchema:
    return graphql_schema(strawberry.Schema(Query, config=StrawberryConfig(**config)))


SCHEMA = build()
TYPES: dict[str, Any] = SCHEMA.type_map
CUP: dict[str, GraphQLField] = TYPES["Cup"].fields


def info_maker() -> Any:
    resolver: Any = CUP["wish"].resolve
    return inspect.getclosurevars(resolver).nonlocals["_strawberry_info_from_graphql"]


@pytest.mark.parametrize(("package", "known"), WRITTEN_FOR.items())
def test_the_installed_version_is_the_one_that_the_code_knows(package: str, known: str) -> None:
    installed = metadata.version(package)
    assert installed.startswith(f"{known}."), (
        f"{package} {installed}: graph/core/strawberry_internals.py and graph/execution know the "
        f"internals of {known} only. Run tests/graph/core/test_strawberry_internals.py and "
        "tests/graph/execution: each assumption has a test. Run `make differential` and `make "
        "bench-graphql`, which show another answer or a slower one. Then change WRITTEN_FOR here, "
        "and the upper bound in pyproject.toml."
    )


@pytest.mark.parametrize(("package", "known"), WRITTEN_FOR.items())
def test_no_other_version_is_installed_by_make_or_pip(package: str, known: str) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(rf"^{package}=={known}\.", pins, re.MULTILINE), f"{package}: not {known}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    major, minor = map(int, known.split("."))
    for requirement in project["dependencies"]:
        bound = re.fullmatch(rf"{package}\b.*<(\S+)", requirement)
        assert bound is None or bound[1] == f"{major}.{minor + 1}", requirement


INNER_FUNCTIONS: list[tuple[InnerFunction, Callable[[], Any]]] = [
    (BASIC_RESOLVER, lambda: CUP["name"].resolve),
    (RESOLVER, lambda: CUP["wish"].resolve),
    (ASYNC_RESOLVER, lambda: CUP["slow"].resolve),
    (MAKE_INFO, info_maker),
    (IS_TYPE_OF, lambda: TYPES["Cup"].is_type_of),
    (RESOLVE_INTERFACE, lambda: TYPES["Thing"].resolve_type),
    (RESOLVE_UNION, lambda: TYPES["Either"].resolve_type),
]


@pytest.mark.parametrize(
    ("known", "found"), INNER_FUNCTIONS, ids=[known.name for known, _ in INNER_FUNCTIONS]
)
def test_the_inner_function_has_its_name_and_variables(
    known: InnerFunction, found: Callable[[], Any]
) -> None:
    function = found()
    assert type(function) is FunctionType
    assert (function.__module__, function.__name__) == (known.module, known.name)
    assert set(known.variables) <= set(function.__code__.co_freevars)
    assert known.closure_of(function) is not None


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (TYPES["Cup"], StrawberryObjectDefinition),
        (TYPES["SpoonBox"], StrawberryObjectDefinition),
        (TYPES["Thing"], StrawberryObjectDefinition),
        (TYPES["Either"], StrawberryUnion),
        (CUP["name"], StrawberryField),
        (CUP["wish"], StrawberryField),
        (CUP["extended"], StrawberryField),
    ],
    ids=str,
)
def test_a_part_of_a_schema_has_its_definition(part: Any, kind: type) -> None:
    assert type(schema_definition(part)) is kind


def test_a_class_has_its_definition() -> None:
    assert class_definition(Cup) is schema_definition(TYPES["Cup"])
    assert class_definition(Colour) is schema_definition(TYPES["Colour"])
    assert [one.python_name for one in class_definition(Spoon).fields] == ["length"]
    assert [one.name for one in class_definition(Colour).values] == ["RED"]
    assert class_definition(int) is None


def test_the_resolver_of_an_attribute_refers_to_its_field() -> None:
    closure = BASIC_RESOLVER.closure_of(CUP["name"].resolve)
    assert closure == {"field": schema_definition(CUP["name"])}
    assert attribute_of(CUP["name"]) == "name"
    assert attribute_of(CUP["wish"]) is None


def test_only_getattr_is_the_resolver_of_attributes() -> None:
    try:
        other: Any = build(default_resolver=lambda source, name: source[name]).type_map["Spoon"]
        assert attribute_of(other.fields["length"]) is None
    finally:
        # Strawberry notes it on the field, which all schemas share.
        build()
    assert attribute_of(TYPES["Spoon"].fields["length"]) == "length"


def test_the_resolver_of_a_method_refers_to_its_field_and_converter() -> None:
    field = schema_definition(CUP["wish"])
    assert type(field.base_resolver) is StrawberryResolver
    closure = RESOLVER.closure_of(CUP["wish"].resolve)
    assert closure is not None
    assert closure["field_exception_handlers"] == ()
    made = MAKE_INFO.closure_of(closure["_strawberry_info_from_graphql"])
    assert made is not None
    assert made["field"] is field
    assert {"scalar_registry", "config"} <= set(vars(made["self"]))


def test_a_method_says_which_arguments_it_takes() -> None:
    taken = {
        name: (method.takes_self, method.info_name, method.source_names)
        for name in ("wish", "slow", "ofParent", "ofRoot")
        if (method := method_of(CUP[name]))
    }
    assert taken == {
        "wish": (True, "info", ()),
        "slow": (True, None, ()),
        "ofParent": (False, None, ("cup",)),
        "ofRoot": (False, None, ("root",)),
    }


def test_arguments_are_converted_to_what_the_method_takes() -> None:
    method = method_of(CUP["wish"])
    assert method is not None
    coerced = {"wish": {"colour": Colour.RED}, "howOften": 3}
    assert method.convert(coerced) == {"wish": Wish(colour=Colour.RED), "how_often": 3}


def test_an_info_is_made_from_the_fields_own() -> None:
    method = method_of(CUP["wish"])
    assert method is not None
    raw: Any = type("Raw", (), {"field_name": "wish"})()
    info = method.make_info(raw)
    assert type(info) is strawberry.Info
    assert info.field_name == "wish"


def test_a_field_with_an_extension_calls_no_method_alone() -> None:
    assert method_of(CUP["extended"]) is None
    assert attribute_of(CUP["extended"]) is None


def test_a_field_whose_exceptions_are_handled_calls_no_method_alone() -> None:
    schema = strawberry.Schema(Query, exception_handlers=[Refusals()])
    cup: Any = graphql_schema(schema).type_map["Cup"]
    assert method_of(CUP["refused"]) is not None
    assert method_of(cup.fields["refused"]) is None
    assert method_of(cup.fields["wish"]) is not None


def test_the_class_of_an_object_type_is_the_decorated_one() -> None:
    assert class_of(TYPES["Cup"]) is Cup
    assert class_of(TYPES["CupBox"]) is CupBox


def test_the_class_of_a_concrete_type_is_the_generic_one() -> None:
    definition = schema_definition(TYPES["SpoonBox"])
    assert definition.concrete_of is class_definition(Box)
    assert issubclass(definition.origin, Box)
    assert class_of(TYPES["SpoonBox"]) is Box
    assert class_of(TYPES["CupBag"]) is Bag


def test_possible_types_are_told_by_their_class() -> None:
    assert classes_of(SCHEMA, TYPES["Thing"]) == {Cup: TYPES["Cup"]}
    assert classes_of(SCHEMA, TYPES["Either"]) == {Cup: TYPES["Cup"], Spoon: TYPES["Spoon"]}


def test_a_cast_object_has_the_attribute() -> None:
    spoon = Spoon(length=1)
    assert not hasattr(spoon, CAST_ATTRIBUTE)
    assert getattr(strawberry.cast(Cup, spoon), CAST_ATTRIBUTE) is Cup


def test_an_enum_is_of_the_known_class() -> None:
    kind = TYPES["Colour"]
    assert type(kind) is EnumType
    assert kind.wrapped_cls is Colour
    assert kind.coerce_output_value(Colour.RED) == "RED"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("made", date(2026, 1, 2), "2026-01-02"),
        ("poured", datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        ("at", time(1, 2), "01:02:00"),
        ("price", Decimal("1.50"), "1.50"),
        ("key", UUID(int=1), str(UUID(int=1))),
    ],
)
def test_a_scalar_is_known_by_its_definition(name: str, value: Any, text: str) -> None:
    kind: Any = CUP[name].type
    assert scalar_class(kind.of_type) is type(value)
    assert kind.of_type.coerce_output_value(value) == text


def test_every_known_scalar_is_checked() -> None:
    assert {one.origin for one in SCALARS} == {date, datetime, time, Decimal, UUID}
    assert scalar_class(TYPES["String"]) is None


def test_strawberrys_executor_builds_infos_of_these_arguments() -> None:
    given = list(inspect.signature(build_resolve_info).parameters)
    assert given == ["self", "field_def", "field_nodes", "parent_type", "path"]


def _get_basic_result(source: Any, *_: Any, **__: Any) -> Any:
    return source


@pytest.mark.parametrize("module", [__name__, BASIC_RESOLVER.module])
def test_an_unknown_function_of_a_known_name_is_left_alone(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_get_basic_result, "__module__", module)
    assert BASIC_RESOLVER.closure_of(_get_basic_result) is None
    assert RESOLVER.closure_of(_get_basic_result) is None
    kind: Any = build().type_map["Spoon"]
    kind.fields["length"].resolve = _get_basic_result
    assert attribute_of(kind.fields["length"]) is None
    assert method_of(kind.fields["length"]) is None


def test_what_strawberry_did_not_make_has_no_definition() -> None:
    assert schema_definition(TYPES["__Type"]) is None
    assert class_of(TYPES["__Type"]) is None
    assert attribute_of(TYPES["__Type"].fields["name"]) is None
    assert method_of(TYPES["__Type"].fields["name"]) is None
