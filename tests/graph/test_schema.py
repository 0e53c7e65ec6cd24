"""The schema: as exported, described throughout, and built as often as one likes."""

import subprocess
import sys
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    is_introspection_type,
    is_specified_scalar_type,
)

from graph.schema import build_schema

ROOT = Path(__file__).parents[2]


def test_the_exported_schema_is_that_of_the_code() -> None:
    exported = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    again = "run: python -m graph.schema > schema.graphql"
    assert exported == build_schema().as_str() + "\n", again


@pytest.mark.integration
def test_the_command_prints_the_exported_schema() -> None:
    exported = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "graph.schema"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout == exported


def test_everything_is_described() -> None:
    bare = []
    for name, kind in build_schema()._schema.type_map.items():
        if is_introspection_type(kind) or is_specified_scalar_type(kind):
            continue
        if not kind.description:
            bare.append(name)
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field_name, field in kind.fields.items():
                if not field.description:
                    bare.append(f"{name}.{field_name}")
                arguments = getattr(field, "args", {})
                bare += [
                    f"{name}.{field_name}({argument})"
                    for argument, definition in arguments.items()
                    if not definition.description
                ]
        if isinstance(kind, GraphQLEnumType):
            bare += [f"{name}.{value}" for value, one in kind.values.items() if not one.description]
    assert bare == []


def test_the_contract_has_its_names() -> None:
    text = build_schema().as_str()
    for signature in (
        "id: ID!): Node",
        "me: User!",
        "): PropertyConnection!",
        "): SimilarPropertyConnection!",
        "): RecommendationConnection!",
        "): [Affinity!]!",
        "): SubmitFeedbackPayload!",
        "): RetractFeedbackPayload!",
        "): RecordInteractionPayload!",
        "): SetBuyBoxPayload!",
        "reasons: [Reason!]!",
        "): UpsertPropertiesPayload!",
        "): DeletePropertyPayload!",
    ):
        assert signature in " ".join(text.split()).replace("( ", "(").replace(" )", ")")
    assert "= null" not in text
