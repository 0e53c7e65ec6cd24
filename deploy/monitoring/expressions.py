"""Parses the PromQL of the dashboard and alerts: ``python -m deploy.monitoring.expressions``.

Prometheus finds a mistake in its rules when it starts, and Grafana one in a panel when somebody
looks at it; here it is found before.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser as promql
from ruamel.yaml import YAML

ROOT = Path(__file__).parent
DASHBOARD = ROOT / "dashboard.json"
ALERTS = ROOT / "alerts.yaml"

VARIABLES = {"$__rate_interval": "5m", "$tenant": ".*"}
"""What Grafana fills in before it asks."""


class Expression(NamedTuple):
    """A query, and where it stands."""

    place: str
    text: str


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard, rows left out."""
    content = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [one for one in content["panels"] if one["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    content = YAML(typ="safe").load(ALERTS)
    return [rule for group in content["groups"] for rule in group["rules"]]


def expressions() -> Iterator[Expression]:
    """All of them."""
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            yield Expression(f"{DASHBOARD.name}: {panel['title']}", text)
    for rule in rules():
        yield Expression(f"{ALERTS.name}: {rule['alert']}", rule["expr"])


def metrics(expression: Expression) -> set[str]:
    """The names of the series that a query reads.

    Raises:
        ValueError: it is no PromQL; names its place and the mistake.
    """
    try:
        tree = promql.parse(expression.text)
    except ValueError as error:
        raise ValueError(f"{expression.place}: {error}") from None
    selectors = (node for node in _nodes(tree) if isinstance(node, promql.VectorSelector))
    return {node.name for node in selectors if node.name}


def labels(expression: Expression) -> set[str]:
    """The labels that a query selects, joins or groups by."""
    tree = promql.parse(expression.text)
    return {label for node in _nodes(tree) for label in _labels(node)}


def _nodes(node: Any) -> Iterator[Any]:
    """A node of the parser's tree and those below it; kinds differ in what holds them."""
    yield node
    for attribute in ("vector_selector", "expr", "lhs", "rhs"):
        if (below := getattr(node, attribute, None)) is not None:
            yield from _nodes(below)
    for below in getattr(node, "args", ()):
        yield from _nodes(below)


def _labels(node: Any) -> Iterator[str]:
    if isinstance(node, promql.VectorSelector):
        yield from (matcher.name for matcher in node.matchers.matchers)
    elif isinstance(node, promql.AggregateExpr) and node.modifier:
        yield from node.modifier.labels
    elif isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
        yield from node.modifier.matching.labels


def main() -> None:
    """Parse everything."""
    found = list(expressions())
    try:
        for expression in found:
            metrics(expression)
    except ValueError as error:
        sys.exit(str(error))
    print(f"{len(found)} expressions are PromQL")


if __name__ == "__main__":
    main()
