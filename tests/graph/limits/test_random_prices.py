"""Random operations of the real schema: never does one cost more than was asked for it."""

from typing import Any

from graphql import (
    ExecutionResult,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationType,
    Visitor,
    execute,
    parse,
    visit,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.execution.queries import QueryMaker
from tests.graph.limits.simulation import World, bare
from tests.graph.limits.test_prices import SCHEMA, priced

BARE = bare(SCHEMA)
SEEDS = st.integers(min_value=0, max_value=2**32)
KINDS = st.sampled_from([OperationType.QUERY, OperationType.MUTATION])


@given(SEEDS, SEEDS, KINDS, st.booleans())
def test_nothing_costs_more_than_was_asked(
    seed: int, world: int, kind: OperationType, full: bool
) -> None:
    maker = QueryMaker(SCHEMA, seed, kind)
    document, variables = parse(maker.text), maker.variables(world)
    simulated = World(world, full=full)
    result: Any = execute(
        BARE, document, variable_values=variables, field_resolver=simulated.resolve
    )
    assert isinstance(result, ExecutionResult)
    found = priced(document)
    assert 0 <= found.actual(result.data, variables) <= found.asked(variables)


class Inline(Visitor):
    """Writes fragments where they are spread."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        super().__init__()
        self._fragments = fragments

    def leave_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> InlineFragmentNode:
        fragment = self._fragments[node.name.value]
        return InlineFragmentNode(
            type_condition=fragment.type_condition,
            directives=node.directives,
            selection_set=visit(fragment.selection_set, Inline(self._fragments)),
        )


@given(SEEDS, SEEDS)
def test_fragments_cost_what_they_stand_for(seed: int, values: int) -> None:
    maker = QueryMaker(SCHEMA, seed)
    document, variables = parse(maker.text), maker.variables(values)
    fragments = {
        one.name.value: one
        for one in document.definitions
        if isinstance(one, FragmentDefinitionNode)
    }
    inlined = visit(document, Inline(fragments))
    assert priced(inlined).asked(variables) == priced(document).asked(variables)
