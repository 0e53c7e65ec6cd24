"""One query in process: ``python -m bench.graphql_query [--requests N] [--repeats N]``.

Twenty recommendations of twelve scalar fields each with their affinity, on prepared objects of the
schema's own types, so that nothing but GraphQL is measured: Strawberry as it comes, then one
improvement after another, then what a person would write by hand for just this query. All answer
with the same JSON. CPU of this process; the variants take turns, so compare figures of one run.
"""

import argparse
import asyncio
import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

import orjson
from graphql import GraphQLSchema, execute, parse, validate
from strawberry import Schema
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from bench.graphql_fixture import COLUMNS, QUERY, VARIABLES, Context, edges, query_type
from graph.core.strawberry_internals import graphql_schema
from graph.execution import Plan, compiler, fields

Answer = Callable[[], Awaitable[bytes]]
HOMES = [edge.node.property for edge in edges(told=True)[: VARIABLES["first"]]]


def variants() -> dict[str, Answer]:
    """What is compared, each on top of the one before it."""
    query = query_type(told=False)
    schema = Schema(query)
    waiting, told = graphql_schema(schema), graphql_schema(Schema(query_type(told=True)))
    return {
        "Strawberry as it comes": through_strawberry(schema),
        "+ ParserCache, ValidationCache": through_strawberry(
            Schema(query, extensions=[ParserCache, ValidationCache])
        ),
        "+ document store": executed(waiting),
        "+ leaf executor": planned(waiting, compiled=False),
        "+ affinity told by the list": planned(told, compiled=False),
        "+ compiled": planned(told),
        "+ orjson": planned(told, dumps=orjson.dumps),
        "(all but: affinity by a dataloader)": planned(waiting, dumps=orjson.dumps),
        "floor: by hand": by_hand,
    }


def to_json(body: Any) -> bytes:
    """As Strawberry's views do it, but for the spaces."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def through_strawberry(schema: Schema) -> Answer:
    """``Schema.execute``, as its views call it."""

    async def answer() -> bytes:
        result = await schema.execute(QUERY, VARIABLES, Context())
        return to_json({"data": result.data})

    return answer


def executed(schema: GraphQLSchema) -> Answer:
    """graphql-core on a document that was parsed and validated before."""
    document = parse(QUERY)
    assert not validate(schema, document)

    async def answer() -> bytes:
        result: Any = execute(
            schema,
            document,
            context_value=Context(),
            variable_values=VARIABLES,
            executor_class=StrawberryGraphQLCoreExecutionContext,
        )
        return to_json({"data": (await result).data})

    return answer


def planned(
    schema: GraphQLSchema,
    *,
    compiled: bool = True,
    dumps: Callable[[Any], bytes] = to_json,
) -> Answer:
    """A plan; not compiled, only fields of leaves have a short cut."""
    document = parse(QUERY)
    operation: Any = document.definitions[0]
    plan = Plan(schema, document, operation, at_once=True)
    if not compiled:
        # What it learns now, it keeps.
        with (
            patch(f"{compiler.__name__}.class_of", return_value=None),
            patch(f"{fields.__name__}.class_of", return_value=None),
        ):
            asyncio.run(_once(plan))

    async def answer() -> bytes:
        result: Any = plan.execute(Context(), VARIABLES)
        return dumps({"data": (await result).data})

    return answer


async def _once(plan: Plan) -> None:
    result: Any = plan.execute(Context(), VARIABLES)
    await result


async def by_hand() -> bytes:
    """What a person would write for this query alone."""
    edges = [
        {
            "node": {
                "property": {
                    "address": home.address,
                    "city": home.city,
                    "zipcode": home.zipcode,
                    "latitude": home.latitude,
                    "longitude": home.longitude,
                    "propertyType": home.property_type,
                    "listingStatus": home.listing_status,
                    "listingPrice": home.listing_price,
                    "bedrooms": home.bedrooms,
                    "bathrooms": home.bathrooms,
                    "squareFeet": home.square_feet,
                    "yearBuilt": home.year_built,
                    "affinity": home.prefetched_affinity,
                }
            }
        }
        for home in HOMES
    ]
    return orjson.dumps({"data": {"recommendations": {"edges": edges}}})


async def measure(answers: dict[str, Answer], requests: int, repeats: int) -> dict[str, float]:
    """Milliseconds of CPU per request: medians, the answers taking turns."""
    expected = await by_hand()
    for name, answer in answers.items():
        for _ in range(3):
            if await answer() != expected:
                raise SystemExit(f"{name}: answers otherwise than the floor: {await answer()!r}")
    times: dict[str, list[float]] = {name: [] for name in answers}
    gc.collect()
    for _ in range(repeats):
        for name, answer in answers.items():
            start = time.process_time()
            for _ in range(requests):
                await answer()
            times[name].append((time.process_time() - start) / requests * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=40, help="at a time")
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    times = asyncio.run(measure(variants(), given.requests, given.repeats))
    stock, *_, floor = times.values()
    print(f"{len(COLUMNS)} fields and the affinity of {VARIABLES['first']} recommendations\n")
    print("| in process | CPU ms | of the floor | of stock | saved ms |")
    print("|---|---|---|---|---|")
    before = stock
    for name, found in times.items():
        saved = "" if name[0] in "(fS" else f"{before - found:.3f}"
        print(f"| {name} | {found:.3f} | {found / floor:.1f} | {found / stock:.3f} | {saved} |")
        before = found
    print("\nIn parentheses: where no list has told it, as under `properties`.")


if __name__ == "__main__":
    main()
