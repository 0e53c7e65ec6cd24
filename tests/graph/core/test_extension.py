"""A higher noun adds to the types of a lower one."""

from enum import StrEnum
from typing import Any

import pytest
import strawberry
from graphql import OperationDefinitionNode, parse

from graph.core.extension import extend, extend_enum, extend_input
from graph.execution import Plan


class Ordering(StrEnum):
    """What homes are ordered by."""

    PRICE = "price"


strawberry.enum(Ordering)


@strawberry.type
class Home:
    name: str
    year_built: int = 1900
    area: int = strawberry.field(name="size", default=100)


@strawberry.input
class HomeFilter:
    name: str | None = None


@strawberry.type
class Query:
    @strawberry.field
    def homes(self, where: HomeFilter | None = None, by: Ordering = Ordering.PRICE) -> list[Home]:
        wanted = where or HomeFilter()
        bound = getattr(wanted, "valuation", None)
        return [Home(name=f"{wanted.name} {bound} {by.value}")]


@extend(Home, "valuation", description="What it is worth.")
async def valuation_of(parent: strawberry.Parent[Home], times: int = 1) -> str | None:
    return f"{times} x {parent.name}"


@extend(Home, "worth", name="worthAt10")
def worth_of(parent: strawberry.Parent[Home]) -> int:
    return len(parent.name)


extend_input(HomeFilter, "valuation", float | None, description="What it is worth.")
extend_enum(Ordering, "VALUATION", "valuation", "What it is worth.")
SCHEMA = strawberry.Schema(Query)


async def ask(query: str, **variables: Any) -> dict[str, Any]:
    """The answer of Strawberry, which the compiled executor gives as well, again and again."""
    stock = await SCHEMA.execute(query, variables)
    assert stock.errors is None
    assert stock.data is not None
    document = parse(query)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    plan = Plan(SCHEMA._schema, document, operation)
    for _ in range(3):
        found: Any = plan.execute(variable_values=variables)
        answer = await found if hasattr(found, "__await__") else found
        assert (answer.data, answer.errors) == (stock.data, None)
    return stock.data


async def test_an_added_field_is_resolved_from_its_parent() -> None:
    found = await ask("{ homes { name worthAt10 valuation twice: valuation(times: 2) } }")
    name = "None None price"
    values = {"worthAt10": len(name), "valuation": f"1 x {name}", "twice": f"2 x {name}"}
    assert found["homes"] == [{"name": name, **values}]


async def test_an_added_input_field_reaches_the_resolver_and_may_be_left_out() -> None:
    query = "query ($where: HomeFilter) { homes(where: $where) { name } }"
    for where, name in (
        ({"name": "A", "valuation": 2.5}, "A 2.5 price"),
        ({"name": "A"}, "A None price"),
        ({"valuation": None}, "None None price"),
    ):
        assert (await ask(query, where=where))["homes"] == [{"name": name}]


async def test_an_added_enum_value_reaches_the_resolver() -> None:
    query = "query ($by: Ordering!) { homes(by: $by) { name } }"
    for value in ("PRICE", "VALUATION"):
        found = await ask(query, by=value)
        assert found["homes"] == [{"name": f"None None {value.lower()}"}]
    assert (await ask("{ homes(by: VALUATION) { name } }"))["homes"][0]["name"].endswith(
        "valuation"
    )


def test_what_was_added_is_described_in_the_schema() -> None:
    printed = SCHEMA.as_str()
    assert printed.count("What it is worth.") == 3


def test_a_name_is_added_once() -> None:
    with pytest.raises(ValueError, match="Home has the field name already"):
        extend(Home, "name")(valuation_of)
    for taken in ("yearBuilt", "size"):
        with pytest.raises(ValueError, match=f"Home has the field {taken} already"):
            extend(Home, taken)(valuation_of)
    with pytest.raises(ValueError, match="Home has the field yearBuilt already"):
        extend(Home, "built", name="yearBuilt")(valuation_of)
    with pytest.raises(ValueError, match="HomeFilter has the field valuation already"):
        extend_input(HomeFilter, "valuation", float | None)
    with pytest.raises(ValueError, match="Ordering has PRICE or 'other' already"):
        extend_enum(Ordering, "PRICE", "other", "Again.")
    with pytest.raises(ValueError, match="Ordering has OTHER or 'price' already"):
        extend_enum(Ordering, "OTHER", "price", "Again.")
