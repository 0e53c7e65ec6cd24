"""The compiled executor against Strawberry's, and faults planted in it, on random operations."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from graphql import GraphQLFloat, GraphQLInt, GraphQLNonNull, GraphQLSchema

from graph.core import strawberry_internals
from graph.core.strawberry_internals import graphql_schema, schema_definition
from graph.execution import compiler, executor, fields, leaves
from graph.execution.compiler import Compiler
from graph.execution.executor import CompiledExecutor
from graph.execution.fields import Learner, Variant
from graph.execution.plan import Plan
from graph.execution.variables import Variables
from tests.graph.execution.differential import compare, world_context
from tests.graph.execution.world import build_world

# What is cancelled before it begins, because a field beside it failed, was never awaited.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return graphql_schema(build_world())


@pytest.mark.slow
async def test_answers_as_strawberrys_executor_does(schema: GraphQLSchema) -> None:
    outcome = await compare(schema, world_context(schema), range(200))
    assert not outcome.differences, outcome.differences[0]
    counts = outcome.counts
    # The comparison means nothing if it saw no errors, or little else.
    assert counts["documents"] > 5 * counts["documents discarded as not valid"]
    assert counts["results with errors"] > 60
    assert counts["results"] > 2 * counts["results with errors"]
    assert counts["reads of computed attributes"] > 5


def _integers_of_any_size(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(leaves._BUILT_IN, GraphQLInt, ["if type({v}) is not int: raise Unusual"])


def _floats_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(leaves._BUILT_IN, GraphQLFloat, ["pass"])


def _nulls_anywhere(patch: pytest.MonkeyPatch) -> None:
    value = Compiler._value

    def nullable(self: Compiler, kind: Any, *rest: Any) -> Any:
        return value(self, kind.of_type if isinstance(kind, GraphQLNonNull) else kind, *rest)

    patch.setattr(Compiler, "_value", nullable)


def _objects_of_any_class(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Compiler, "_is", lambda *_: [])


def _casts_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiler, "_CAST", "pass")


def _keys_in_another_order(patch: pytest.MonkeyPatch) -> None:
    made = Compiler.__init__

    def reversing(self: Compiler, schema: Any, collect: Any, limit: int) -> None:
        made(self, schema, lambda *place: dict(reversed(collect(*place).items())), limit)

    patch.setattr(Compiler, "__init__", reversing)


def _plain_fields_first(patch: pytest.MonkeyPatch) -> None:
    runs = Compiler.runs
    patch.setattr(
        Compiler, "runs", lambda *given: sorted(runs(*given), key=lambda run: run.read is None)
    )


def _one_variant_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Plan, "_variant", lambda self, _: self._variants.setdefault((), Variant(self._budget))
    )


def _arguments_of_another_request(patch: pytest.MonkeyPatch) -> None:
    use = CompiledExecutor.use
    shared: dict[int, Any] = {}

    def used(self: CompiledExecutor, variant: Any) -> None:
        use(self, variant)
        self._arguments = shared.setdefault(id(variant), {})

    patch.setattr(CompiledExecutor, "use", used)


def _errors_of_items_unlocated(patch: pytest.MonkeyPatch) -> None:
    item = CompiledExecutor._complete_item

    def elsewhere(self: Any, known: Any, objects: Any, kind: Any, value: Any, path: Any) -> Any:
        return item(self, known, objects, kind, value, path.prev)

    patch.setattr(CompiledExecutor, "_complete_item", elsewhere)


def _errors_awaited_lost(patch: pytest.MonkeyPatch) -> None:
    async def lost(self: Any, awaitable: Any, *_: Any) -> Any:
        try:
            return await awaitable
        except Exception:
            return None

    patch.setattr(CompiledExecutor, "_await", lost)


def _defaults_of_variables_forgotten(patch: pytest.MonkeyPatch) -> None:
    given = Variables.__init__

    def without(self: Variables, *rest: Any) -> None:
        given(self, *rest)
        self._signatures = [one._replace(default=None) for one in self._signatures]

    patch.setattr(Variables, "__init__", without)


def _path_of_the_parent(patch: pytest.MonkeyPatch) -> None:
    info = CompiledExecutor._info
    patch.setattr(
        CompiledExecutor, "_info", lambda self, known, path: info(self, known, path.prev or path)
    )


def _interfaces_by_one_class(patch: pytest.MonkeyPatch) -> None:
    known = strawberry_internals.classes_of

    def one_of(schema: Any, kind: Any) -> Any:
        found = known(schema, kind)
        return dict.fromkeys(found, next(iter(found.values()), None))

    patch.setattr(fields, "classes_of", one_of)


def _concrete_types_by_class(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(strawberry_internals, "_told_by_class", lambda _: True)


def _permissions_ignored(patch: pytest.MonkeyPatch) -> None:
    made = Learner._field

    def bare(self: Learner, parent: Any, details: Any) -> Any:
        known = made(self, parent, details)
        if details[0].node.name.value != "guarded":
            return known
        method = strawberry_internals.method_of(parent.fields["syncFlat"])
        assert method is not None
        resolver = schema_definition(known.definition).base_resolver
        bare = dataclasses.replace(method, call=resolver.wrapped_func)
        return known._replace(method=bare, arguments={})

    patch.setattr(Learner, "_field", bare)


def _awaitables_taken_for_values(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(executor, "_COMPLETE", _Everything())


class _Everything:
    def __contains__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize(
    "plant",
    [
        _integers_of_any_size,
        _floats_unchecked,
        _nulls_anywhere,
        _objects_of_any_class,
        pytest.param(_casts_ignored, marks=pytest.mark.slow),
        _keys_in_another_order,
        _plain_fields_first,
        _one_variant_for_all,
        _arguments_of_another_request,
        _errors_of_items_unlocated,
        _errors_awaited_lost,
        _defaults_of_variables_forgotten,
        _path_of_the_parent,
        _interfaces_by_one_class,
        _concrete_types_by_class,
        _permissions_ignored,
        _awaitables_taken_for_values,
    ],
)
async def test_finds_a_planted_fault(
    schema: GraphQLSchema, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    outcome = await compare(schema, world_context(schema), range(2000))
    assert outcome.differences
