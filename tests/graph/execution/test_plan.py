"""What a plan keeps, what it refuses, and what it must not get around."""

import gc
import weakref
from typing import Any

import pytest
from graphql import (
    ExecutionResult,
    GraphQLDeferDirective,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    parse,
)
from graphql.execution import Executor

from graph.core.strawberry_internals import attribute_of, class_of, classes_of, graphql_schema
from graph.execution import Plan
from graph.execution.attributes import reads_plainly
from graph.execution.plan import MAX_CONDITIONS
from graph.properties.types import COLUMNS, Property
from graph.schema import build_schema
from tests.graph.execution.comparison import operation_of
from tests.graph.execution.values import Maker
from tests.graph.execution.world import Cloud, Context, Edge, Forest, Stone, Tree, build_world

SEED = 11
"""Of three trees."""


@pytest.fixture
def schema() -> GraphQLSchema:
    return graphql_schema(build_world())


def plan_of(schema: GraphQLSchema, text: str) -> Plan:
    document = parse(text)
    return Plan(schema, document, operation_of(document), at_once=True)


async def run(plan: Plan, context: Context, root: Any = None, **variables: Any) -> ExecutionResult:
    result: Any = plan.execute(context, variables, root_value=root)
    return result if isinstance(result, ExecutionResult) else await result


TREES = (
    "{ trees { id name height flat { text colour moment table } branches { name } "
    "things { __typename ... on Tree { name } } } }"
)


@pytest.mark.parametrize(
    "text",
    [
        "{ trees { id name height flat { text colour moment table } } }",
        "{ forest { __typename edges { cursor node { id flat { text } } } far { distance } } }",
        "{ forest { clouds { cursor node { edges { __typename cursor node { kind } } } } } }",
        "{ page { more edges { cursor node { id weight } } } }",
    ],
    ids=["objects", "generics", "generics of generics", "a concrete type at the root"],
)
async def test_plain_values_never_enter_graphql_core(
    schema: GraphQLSchema, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(schema, text)
    expected = await run(plan, Context(Maker(schema, SEED, 0)))
    assert expected.data is not None
    assert all(expected.data.values())

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(Executor, "complete_value", refuse)
    found = await run(plan, Context(Maker(schema, SEED, 0)))
    assert found == expected


async def test_objects_of_a_generic_type_skip_graphql_core(
    schema: GraphQLSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that calls a method keeps its object from being plain; the rest stays fast."""
    plan = plan_of(schema, "{ forest { more first { id } total } page { first { id } more } }")
    expected = await run(plan, Context(Maker(schema, SEED, 0)))
    completed: list[str] = []
    complete = Executor.complete_value

    def noted(self: Any, kind: Any, *rest: Any) -> Any:
        completed.append(str(kind))
        return complete(self, kind, *rest)

    monkeypatch.setattr(Executor, "complete_value", noted)
    assert await run(plan, Context(Maker(schema, SEED, 0))) == expected
    assert not completed


async def test_compiles_what_is_asked_again(schema: GraphQLSchema) -> None:
    document = parse("query ($no: Boolean!) { trees { id name @skip(if: $no) } }")
    plan = Plan(schema, document, operation_of(document))
    for no, compiled in ((True, 0), (False, 0), (True, 1), (True, 1), (False, 2)):
        await run(plan, Context(Maker(schema, SEED, 0)), no=no)
        assert len(plan._variants) == compiled


async def test_keeps_no_request_alive(schema: GraphQLSchema) -> None:
    plan = plan_of(schema, TREES)
    context = Context(Maker(schema, 1, 0.1))
    await run(plan, context)
    kept = weakref.ref(context)
    del context
    gc.collect()
    assert kept() is None


async def test_keeps_a_bounded_number_of_variants(schema: GraphQLSchema) -> None:
    def asked(count: int) -> Plan:
        declared = ", ".join(f"$c{n}: Boolean!" for n in range(count))
        fields = " ".join(f"f{n}: name @skip(if: $c{n})" for n in range(count))
        return plan_of(schema, f"query ({declared}) {{ trees {{ id {fields} }} }}")

    few, many = asked(2), asked(MAX_CONDITIONS + 1)
    for number in range(2 ** (MAX_CONDITIONS + 1)):
        values = {f"c{n}": bool(number >> n & 1) for n in range(MAX_CONDITIONS + 1)}
        for plan in (few, many):
            result = await run(plan, Context(Maker(schema, SEED, 0)), **values)
            first = result.data["trees"][0]  # type: ignore[index]
            names = {"id"} | {
                f"f{n}" for n in range(2 if plan is few else 99) if not values.get(f"c{n}", True)
            }
            assert set(first) == names
    assert len(few._variants) == 4
    assert not many._variants


async def test_fragments_that_unfold_endlessly_are_compiled_to_a_limit(
    schema: GraphQLSchema,
) -> None:
    depth = 24
    levels = [
        f"fragment F{n} on Tree {{ a: branches {{ ...F{n + 1} }} b: branches {{ ...F{n + 1} }} }}"
        for n in range(depth)
    ]
    text = "\n".join(["{ trees { ...F0 } }", *levels, f"fragment F{depth} on Tree {{ id }}"])
    plan = plan_of(schema, text)
    context = Context(Maker(schema, SEED, 0))
    await run(plan, context)
    (variant,) = plan._variants.values()
    assert plan._budget.left == 0
    assert len(variant.sub_fields) < 20 * depth


async def test_replaced_resolvers_are_called(schema: GraphQLSchema) -> None:
    name = schema.type_map["Tree"].fields["name"]  # type: ignore[attr-defined]
    name.resolve = lambda *_: "replaced"
    result = await run(plan_of(schema, TREES), Context(Maker(schema, SEED, 0)))
    assert {one["name"] for one in result.data["trees"]} == {"replaced"}  # type: ignore[index]


async def test_each_event_of_a_subscription_is_executed(schema: GraphQLSchema) -> None:
    plan = plan_of(schema, "subscription { grown(times: 3) { id flat { text } } }")
    context = Context(Maker(schema, SEED, 0))
    events = await plan.events(context)
    assert not isinstance(events, ExecutionResult)
    results = [await run(plan, context, one) async for one in events]
    assert len(results) == 3
    assert all(one.data and not one.errors for one in results)


def test_refuses_what_answers_in_parts(schema: GraphQLSchema) -> None:
    schema.directives = (*schema.directives, GraphQLDeferDirective)
    with pytest.raises(ValueError, match="@defer"):
        plan_of(schema, TREES)


async def test_suggestions_are_kept_back(schema: GraphQLSchema) -> None:
    document = parse("mutation ($wish: Wish!) { plant(wish: $wish) { id } }")
    errors: list[GraphQLError] = []
    for hide in (False, True):
        plan = Plan(schema, document, operation_of(document), hide_suggestions=hide)
        result = await run(plan, Context(Maker(schema, SEED, 0)), wish={"colour": "REDD"})
        errors += result.errors or []
    assert [("Did you mean" in one.message) for one in errors] == [True, False]


def test_concrete_types_of_a_generic_are_not_told_by_class(schema: GraphQLSchema) -> None:
    types: Any = schema.type_map
    assert class_of(types["TreeEdge"]) is class_of(types["StoneEdge"]) is Edge
    assert classes_of(schema, types["Find"]) == {Forest: types["Forest"], Cloud: types["Cloud"]}
    assert classes_of(schema, types["Node"]) == {Tree: types["Tree"], Stone: types["Stone"]}


def test_the_class_of_every_type_is_known() -> None:
    own = graphql_schema(build_schema())
    types = [one for one in own.type_map.values() if isinstance(one, GraphQLObjectType)]
    unknown = [one.name for one in types if class_of(one) is None]
    assert [name for name in unknown if not name.startswith("__")] == []


def test_every_column_of_a_property_is_read_without_a_resolver() -> None:
    """Whatever the schema puts around its resolvers, those of plain columns stay as they are."""
    kind: Any = graphql_schema(build_schema()).type_map["Property"]
    assert class_of(kind) is Property
    read = {attribute_of(field) for field in kind.fields.values()}
    assert set(COLUMNS) - {"affinity"} <= read
    assert all(reads_plainly(Property, name) for name in read if name)
