"""What a DateTime may be where one enters."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from graphql import GraphQLError, GraphQLSchema, OperationDefinitionNode, parse, validate
from graphql.execution import get_variable_values

from graph.core.scalars import parse_date_time
from graph.core.strawberry_internals import graphql_schema
from graph.schema import build_schema

DAY = datetime(2024, 5, 1)
MOMENT = datetime(2024, 5, 1, 9, 30)
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01", DAY),
        ("2024-05-01T09:30", MOMENT),
        ("2024-05-01 09:30:00", MOMENT),
        ("2024-05-01t09:30:00z", MOMENT.replace(tzinfo=UTC)),
        ("2024-05-01T09:30:00+02:00", MOMENT.replace(tzinfo=EAST)),
        ("2024-05-01T09:30+0200", MOMENT.replace(tzinfo=EAST)),
        ("2024-05-01T09:30+02", MOMENT.replace(tzinfo=EAST)),
        ("2024-05-01T09:30:00.123Z", MOMENT.replace(microsecond=123_000, tzinfo=UTC)),
        ("2024-05-01T09:30:00,123456789", MOMENT.replace(microsecond=123_456)),
        ("20240501T093000Z", MOMENT.replace(tzinfo=UTC)),
        ("20240501T0930", MOMENT),
    ],
)
def test_an_iso_date_or_date_time_is_read(text: str, moment: datetime) -> None:
    assert parse_date_time(text) == moment
    assert parse_date_time(text).tzinfo == moment.tzinfo


@pytest.mark.parametrize(
    "value",
    [
        "1714521600", "1714521600000", "1714521600.5", "-1714521600", "1e9", "20240501",
        "20240501093000", "20240501093000000", "2024", "2024-05", "2024-W18-3", "2024-122",
        "2024-02-30", "2024-05-01T25:00", "2024-05-01x10:00", "2024-05-01T", "2024-05-01Z",
        "05/01/2024", "May 1, 2024", "", " ", "2024-05-01\n",
        "\u0662\u0660\u0662\u0664-05-01", "now", "null",
        1714521600, 1714521600000, 1714521600.5, True, [], {},
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_value_and_the_fix(value: object) -> None:
    with pytest.raises(GraphQLError) as caught:
        parse_date_time(value)
    assert caught.value.message.startswith("DateTime ")
    assert str(value) in caught.value.message
    assert "use an ISO 8601 date-time such as 2024-05-01T09:30:00Z" in caught.value.message


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(GraphQLError) as caught:
        parse_date_time("9" * 100_000)
    assert len(caught.value.message) < 300


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return graphql_schema(build_schema())


@pytest.mark.parametrize(
    ("declared", "field", "variable", "where"),
    [
        (
            "PropertyFilter",
            "properties(filter: GIVEN) { totalCount }",
            {"listedAfter": "VALUE"},
            ".listedAfter",
        ),
        (
            "UpsertPropertiesInput!",
            "upsertProperties(input: GIVEN) { created }",
            {"properties": [{"externalId": "1", "listedAt": "VALUE"}]},
            ".properties[0].listedAt",
        ),
        (
            "RecordInteractionInput!",
            "recordInteraction(input: GIVEN) { property { id } }",
            {"propertyId": "1", "kind": "VIEW", "occurredAt": "VALUE"},
            ".occurredAt",
        ),
    ],
)
@pytest.mark.parametrize("value", ["1714521600000", 1714521600000])
def test_epoch_times_are_refused_wherever_a_date_time_enters(
    schema: GraphQLSchema,
    declared: str,
    field: str,
    variable: dict[str, Any],
    where: str,
    value: object,
) -> None:
    kind = "query" if declared == "PropertyFilter" else "mutation"
    given = json.loads(json.dumps(variable).replace('"VALUE"', json.dumps(value)))
    document = parse(f"{kind} ($given: {declared}) {{ {field.replace('GIVEN', '$given')} }}")
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    found = get_variable_values(schema, operation.variable_definitions or (), {"given": given})
    assert isinstance(found, list)
    assert f"at {where}: DateTime " in found[0].message
    assert "ISO 8601" in found[0].message

    literal = json.dumps(given).replace('"VIEW"', "VIEW")
    for name in ("properties", "externalId", "listedAt", "listedAfter", "propertyId", "kind",
                 "occurredAt"):  # fmt: skip
        literal = literal.replace(f'"{name}"', name)
    (error,) = validate(schema, parse(f"{kind} {{ {field.replace('GIVEN', literal)} }}"))
    assert error.message.startswith(f"{where.rpartition('.')[2]}: DateTime ")
    assert error.locations


@pytest.mark.parametrize("literal", ["9" * 5000, "true", "NOW", "[]", '{ a: "b" }'])
def test_a_literal_that_is_not_text_is_refused(schema: GraphQLSchema, literal: str) -> None:
    text = f"{{ properties(filter: {{listedAfter: {literal}}}) {{ totalCount }} }}"
    (error,) = validate(schema, parse(text))
    assert error.message.startswith(f"listedAfter: DateTime {literal[:20]}")
    assert len(error.message) < 300
    assert error.original_error is None


def test_a_default_of_a_variable_is_checked(schema: GraphQLSchema) -> None:
    text = """query ($since: DateTime = "1714521600") {
        properties(filter: {listedAfter: $since}) { totalCount } }"""
    (error,) = validate(schema, parse(text))
    assert error.message.startswith('DateTime "1714521600": use')
    assert error.locations
