"""Random operations on random values, executed by two executors: ``python -m`` this, or the tests.

Every document is executed several times with other values and other variables, since a plan
learns from the first and is used for the rest.
"""

import argparse
import asyncio
import gc
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLSchema, OperationType, parse, validate

from graph.core.strawberry_internals import graphql_schema
from tests.graph.execution.comparison import Execute, answer, compiled, stock
from tests.graph.execution.queries import QueryMaker
from tests.graph.execution.values import Maker
from tests.graph.execution.world import Context, build_world

ODDITIES = (0.0, 0.01, 0.1)
"""How often a value is none that is expected, in the executions of each document."""

KINDS = [OperationType.QUERY] * 8 + [OperationType.MUTATION, OperationType.SUBSCRIPTION]

MakeContext = Callable[[int, float], Any]
Make = Callable[[GraphQLSchema, Any], Execute]


@dataclass
class Outcome:
    """What was compared.

    Attributes:
        counts: of documents, executions, and what happened in them.
        differences: what the executors disagree on, in words.
    """

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


async def compare(
    schema: GraphQLSchema,
    make_context: MakeContext,
    seeds: range,
    *,
    ours: Make = compiled,
    stop: int = 1,
) -> Outcome:
    """Compare an executor with Strawberry's on one document for each seed.

    Args:
        schema: Strawberry's.
        make_context: a context of a seed, whose values are odd that often.
        seeds: of the documents.
        ours: makes the other executor.
        stop: at so many differences.
    """
    before = asyncio.all_tasks()
    try:
        return await _compare(schema, make_context, seeds, ours, stop)
    finally:
        # What a failed field leaves behind is settled in the background; and what was never awaited
        # is in cycles, and would be told of wherever the collector runs next.
        if left := asyncio.all_tasks() - before:
            await asyncio.wait(left, timeout=10)
        gc.collect()


async def _compare(
    schema: GraphQLSchema, make_context: MakeContext, seeds: range, ours: Make, stop: int
) -> Outcome:
    outcome = Outcome()
    for seed in seeds:
        kinds = [one for one in KINDS if schema.get_root_type(one)]
        maker = QueryMaker(schema, seed, kinds[seed % len(kinds)])
        document = parse(maker.text)
        if validate(schema, document):
            outcome.counts["documents discarded as not valid"] += 1
            continue
        outcome.counts["documents"] += 1
        theirs, other = stock(schema, document), ours(schema, document)
        for turn, odd in enumerate(ODDITIES):
            variables = maker.variables(seed + turn)
            expected = await answer(theirs, make_context(seed + turn, odd), variables)
            found = await answer(other, make_context(seed + turn, odd), variables)
            _count(outcome.counts, expected)
            if found != expected:
                outcome.differences.append(
                    f"seed {seed}, oddity {odd}, variables {variables}\n{maker.text}\n"
                    f"expected {expected}\nfound    {found}"
                )
                if len(outcome.differences) >= stop:
                    return outcome
    return outcome


def _count(counts: Counter[str], said: Any) -> None:
    results, calls, reads = said
    for data, errors, _ in [results] if isinstance(results, tuple) else list(results or ()):
        counts["results"] += 1
        counts["results without data"] += data == "None"
        counts["results with errors"] += bool(errors)
        counts["errors"] += len(errors)
        counts["nulls in data"] += data.count("None")
    counts["executions"] += 1
    counts["calls of resolvers"] += len(calls)
    counts["reads of computed attributes"] += len(reads)


def world_context(schema: GraphQLSchema) -> MakeContext:
    """Contexts for the schema of ``world``."""
    return lambda seed, odd: Context(Maker(schema, seed, odd))


def main() -> None:
    """Compare, print what was compared, and fail if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--documents", type=int, default=5400, help="tried; one in fifteen is not valid"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    # What is cancelled before it begins, because a field beside it failed, was never awaited; the
    # warning itself fails where the collector happens to run inside a named tuple's constructor.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited")
    sys.unraisablehook = lambda _: None
    schema = graphql_schema(build_world())
    seeds = range(given.seed, given.seed + given.documents)
    outcome = asyncio.run(compare(schema, world_context(schema), seeds, stop=3))
    for name, count in outcome.counts.items():
        print(f"{count:>9,}  {name}")  # noqa: T201
    print(f"{len(outcome.differences):>9,}  differences")  # noqa: T201
    sys.exit("\n\n".join(outcome.differences) or None)


if __name__ == "__main__":
    main()
