"""The compiled executor against Strawberry's on the server's own types."""

import pytest
from graphql import GraphQLSchema

from tests.graph.execution.differential import compare
from tests.graph.execution.ours import OurContext, build_ours
from tests.graph.execution.values import Maker

# What is cancelled before it begins, because a field beside it failed, was never awaited.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def context_of(schema: GraphQLSchema, seed: int, odd: float) -> OurContext:
    private = dict.fromkeys(("row", "item", "where", "property_id", "user_id"), lambda _: None)
    # Lists tell some, and now and then what is no number.
    private["prefetched_affinity"] = lambda maker: maker.random.choice([None, 0.5, 0.25, "told"])
    return OurContext(Maker(schema, seed, odd, private))


async def test_answers_as_strawberrys_executor_does() -> None:
    schema = build_ours()
    outcome = await compare(schema, lambda seed, odd: context_of(schema, seed, odd), range(150))
    assert not outcome.differences, outcome.differences[0]
    assert outcome.counts["results with errors"] > 30
    assert outcome.counts["results"] > 1.2 * outcome.counts["results with errors"]
