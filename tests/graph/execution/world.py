"""A schema with everything that an executor can meet, for tests that compare executors."""

# mypy: disable-error-code="no-any-return, return-value, untyped-decorator, list-item"
# ruff: noqa: A002

import asyncio
import enum
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Generic, NewType, TypeVar
from uuid import UUID

import strawberry
from graphql import GraphQLError
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig

from tests.graph.execution.values import Maker


@strawberry.enum
class Colour(enum.StrEnum):
    """An enum whose members are strings."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


@strawberry.enum
class Size(enum.Enum):
    """An enum whose values are of several types."""

    SMALL = strawberry.enum_value(1, name="TINY")
    LARGE = (2, 3)


def _shout(value: Any) -> str:
    if value == "":
        raise ValueError("nothing to shout")
    return str(value).upper()


Loud = NewType("Loud", str)


class Context:
    """Of one execution: where values come from, and what was called."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.calls: list[str] = []

    def make(self, info: strawberry.Info, name: str, *more: Any) -> Any:
        """Note the call, and make a value of the field's type."""
        raw: Any = info._raw_info
        path = ".".join(str(key) for key in info.path.as_list())
        said = (path, info.field_name, str(raw.parent_type), len(raw.field_nodes), *more)
        self.calls.append(f"{name} {said!r} {sorted(raw.variable_values.items(), key=str)!r}")
        return self.maker.make(raw.return_type, name)


Info = strawberry.Info[Context, Any]


class OddRed(BasePermission):
    """Refuses one call in five."""

    message = "not on red"

    def has_permission(self, source: Any, info: Any, **kwargs: Any) -> bool:
        return bool(info.context.maker.random.random() > 0.2)


class Twice(FieldExtension):
    """Says what it gets twice."""

    def resolve(self, next_: Any, source: Any, info: Any, **kwargs: Any) -> Any:
        found = next_(source, info, **kwargs)
        return found * 2 if isinstance(found, str) else found


@strawberry.input
class Inner:
    """A nested input."""

    sizes: list[Size] | None = None
    deep: list[list[int | None]] = strawberry.field(default_factory=lambda: [[1], []])


@strawberry.input
class Wish:
    """An input of every sort."""

    colour: Colour
    weight: float = 1.5
    when: datetime | None = strawberry.UNSET
    inner: Inner | None = None


@strawberry.interface
class Node:
    """Resolved by the class of its values."""

    id: strawberry.ID
    count: int

    @strawberry.field
    def neighbour(self, info: Info) -> "Node | None":
        return info.context.make(info, "Node.neighbour")


@strawberry.interface
class Named(Node):
    """An interface of an interface."""

    name: str | None


@strawberry.type
class Flat:
    """Every leaf, present or not, alone or in lists."""

    text: str
    text_or_not: str | None
    whole: int
    whole_or_not: int | None
    real: float
    real_or_not: float | None
    yes: bool
    yes_or_not: bool | None
    id: strawberry.ID
    colour: Colour
    colour_or_not: Colour | None
    size: Size | None
    moment: datetime | None
    day: date | None
    hour: time | None
    amount: Decimal | None
    key: UUID | None
    loud: Loud | None
    texts: list[str]
    texts_or_not: list[str | None] | None
    table: list[list[int]]
    holes: list[list[float | None] | None] | None
    colours: list[Colour] | None
    moments: list[datetime | None]


@strawberry.type
class Tree(Named):
    """Only attributes: all of it is compiled, unless something is off."""

    height: float
    flat: Flat
    branches: list["Tree"] | None
    things: list[Annotated["Thing", strawberry.lazy("tests.graph.execution.world")]]
    spare: Flat | None = None


@strawberry.type
class Stone(Node):
    """Attributes among methods of every kind."""

    weight: float
    flat: Flat | None

    @strawberry.field
    def grow(self) -> int:
        """Changes what a field after it reads."""
        if type(self.count) is int and self.count < 1000:
            self.count += 1
        return 1

    @strawberry.field
    def sync_flat(self, info: Info) -> Flat:
        return info.context.make(info, "Stone.sync_flat")

    @strawberry.field
    async def async_flat(self, info: Info) -> Flat | None:
        await asyncio.sleep(0)
        return info.context.make(info, "Stone.async_flat")

    @strawberry.field
    def share(self, info: Info, of: int = 3, colour: Colour | None = None) -> float | None:
        return info.context.make(info, "Stone.share", of, colour)

    @strawberry.field
    async def wish(self, info: Info, wish: Wish, also: list[int] | None = None) -> str:
        return info.context.make(info, "Stone.wish", wish, also)

    @strawberry.field(permission_classes=[OddRed])
    def guarded(self, info: Info) -> str | None:
        return info.context.make(info, "Stone.guarded")

    @strawberry.field(extensions=[Twice()])
    def echo(self, info: Info) -> str:
        return info.context.make(info, "Stone.echo")

    @strawberry.field
    @staticmethod
    def fixed(parent: strawberry.Parent["Stone"], info: Info) -> str:
        return info.context.make(info, "Stone.fixed", type(parent).__name__)

    @strawberry.field
    def later(self, info: Info, wait: bool = True) -> list["Tree"]:
        """At once or not, as it likes."""
        made = info.context.make(info, "Stone.later", wait)

        async def wait_for() -> Any:
            await asyncio.sleep(0)
            return made

        return wait_for() if wait else made

    @strawberry.field
    def broken(self, info: Info, coded: bool = False) -> str | None:
        info.context.make(info, "Stone.broken")
        raise GraphQLError("coded", extensions={"code": "X"}) if coded else LookupError("plain")

    @strawberry.field
    async def broken_later(self, info: Info) -> int:
        info.context.make(info, "Stone.broken_later")
        await asyncio.sleep(0)
        raise KeyError("later")


@strawberry.type
class Cloud:
    """Of no interface."""

    kind: str
    flat: Flat | None
    nodes: list[Node] | None


Thing = Annotated[Tree | Stone | Cloud, strawberry.union("Thing")]

T = TypeVar("T")


@strawberry.type
class Edge(Generic[T]):
    """A generic type: its values are of this class, whatever they hold."""

    cursor: str
    node: T


@strawberry.type
class Connection(Generic[T]):
    """A generic type of another one, with a method."""

    edges: Sequence[Edge[T]]
    more: bool

    @strawberry.field
    def first(self, info: Info) -> T | None:
        return info.context.make(info, "Connection.first")


@strawberry.type
class FarEdge(Edge[Tree]):
    """A subclass of a concrete type."""

    distance: float | None


@strawberry.type
class Forest(Connection[Tree]):
    """A subclass of a concrete type that adds fields of concrete types."""

    far: list[FarEdge | None]
    clouds: list[list[Edge[Connection[Cloud]]]] | None
    sizes: list[Edge[int]]

    @strawberry.field
    async def total(self, info: Info) -> int | None:
        await asyncio.sleep(0)
        return info.context.make(info, "Forest.total")


@strawberry.type
class Pot(Node, Generic[T]):
    """A generic type with an interface, whose concrete types cannot be told apart by class."""

    content: T | None
    contents: list[T]


Find = Annotated[Edge[Tree] | Edge[Stone] | Forest | Pot[Tree] | Cloud, strawberry.union("Find")]


@strawberry.type
class Query:
    """Roots of every kind."""

    @strawberry.field
    def flat(self, info: Info) -> Flat:
        return info.context.make(info, "flat")

    @strawberry.field
    async def trees(self, info: Info, first: int | None = 3) -> list[Tree]:
        await asyncio.sleep(0)
        return info.context.make(info, "trees", first)

    @strawberry.field
    async def stones(self, info: Info) -> list[Stone | None] | None:
        return info.context.make(info, "stones")

    @strawberry.field
    def node(self, info: Info, id: strawberry.ID) -> Node | None:
        return info.context.make(info, "node", id)

    @strawberry.field
    async def nodes(self, info: Info, ids: list[strawberry.ID] = ["a"]) -> list[Named]:  # noqa: B006
        return info.context.make(info, "nodes", ids)

    @strawberry.field
    def things(self, info: Info, wish: Wish | None = None) -> list[list[Thing]]:
        return info.context.make(info, "things", wish)

    @strawberry.field
    async def cloud(self, info: Info) -> Cloud:
        return info.context.make(info, "cloud")

    @strawberry.field
    def page(self, info: Info, first: int = 2) -> Connection[Stone] | None:
        return info.context.make(info, "page", first)

    @strawberry.field
    async def forest(self, info: Info) -> Forest:
        return info.context.make(info, "forest")

    @strawberry.field
    async def pots(self, info: Info) -> list[Pot[Tree] | None]:
        return info.context.make(info, "pots")

    @strawberry.field
    def finds(self, info: Info) -> list[Find | None]:
        return info.context.make(info, "finds")


@strawberry.type
class Mutation:
    """Executed one after another."""

    @strawberry.mutation
    async def plant(self, info: Info, wish: Wish) -> Tree:
        for _ in range(info.context.maker.random.randrange(3)):
            await asyncio.sleep(0)
        return info.context.make(info, "plant", wish)

    @strawberry.mutation
    def throw(self, info: Info, times: int = 1) -> Stone | None:
        return info.context.make(info, "throw", times)


@strawberry.type
class Subscription:
    """Events, some of them wrong."""

    @strawberry.subscription
    async def grown(self, info: Info, times: int = 3) -> AsyncIterator[Tree]:
        for _ in range(min(times, 5)):
            yield info.context.make(info, "grown", times)

    @strawberry.subscription
    async def thrown(self, info: Info) -> AsyncIterator[Stone | None]:
        yield info.context.make(info, "thrown")
        raise LookupError("no more stones")


def build_world() -> strawberry.Schema:
    """The schema, made anew."""
    return strawberry.Schema(
        Query,
        Mutation,
        Subscription,
        types=[Tree, Stone, Pot[Stone]],
        config=StrawberryConfig(
            scalar_map={Loud: strawberry.scalar(name="Loud", serialize=_shout, parse_value=str)}
        ),
    )
