"""Scalars whose input this server reads more strictly than Strawberry does."""

import re
from datetime import datetime
from typing import Any

from graphql import GraphQLError, StringValueNode, TokenKind, ValueNode, print_ast
from strawberry.types.scalar import ScalarDefinition

MAX_SHOWN = 100
"""Characters of a refused value that the error repeats."""

_ZONE = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    rf"(?:[T ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:[.,][0-9]{{1,9}})?)?{_ZONE})?"
    rf"|[0-9]{{8}}T[0-9]{{4}}(?:[0-9]{{2}}(?:[.,][0-9]{{1,9}})?)?{_ZONE}",
    re.IGNORECASE,
)
"""A calendar date with or without a time, or both in the basic format. Digits alone are neither:
20240501 could be a number of seconds, and 1714521600000 is one of milliseconds."""


def parse_date_time(value: object) -> datetime:
    """The moment that a client sent, with the zone that it names, if any.

    Raises:
        GraphQLError: the value is not an ISO 8601 date or date-time, or names a day or a time that
            does not exist.
    """
    moment = _moment(value)
    if moment is None:
        raise GraphQLError(_refusal(f'"{value}"' if isinstance(value, str) else str(value)))
    return moment


def _parse_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> datetime:
    """The moment in a document. Raises GraphQLError naming the argument or field, and where."""
    moment = _moment(node.value) if isinstance(node, StringValueNode) else None
    if moment is None:
        raise GraphQLError(f"{_named(node)}{_refusal(print_ast(node))}", node)
    return moment


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        # February 30, say.
        return None


def _refusal(shown: str) -> str:
    return (
        f"DateTime {shown[:MAX_SHOWN]}: use an ISO 8601 date-time such as 2024-05-01T09:30:00Z, or "
        "a date such as 2024-05-01; numbers of seconds or milliseconds are not read"
    )


def _named(node: ValueNode) -> str:
    """The argument or input field that a value stands for, as a prefix; empty in a list."""
    colon = node.loc.start_token.prev if node.loc else None
    if colon is None or colon.kind is not TokenKind.COLON or colon.prev is None:
        return ""
    return f"{colon.prev.value}: "


DATE_TIME = ScalarDefinition(
    name="DateTime",
    description="A moment in ISO 8601, such as `2024-05-01T09:30:00Z`. An input may be a date "
    "alone, which means its midnight. Without a zone it is in UTC. Numbers of seconds or "
    "milliseconds are refused.",
    specified_by_url=None,
    serialize=datetime.isoformat,
    parse_value=parse_date_time,
    parse_literal=_parse_literal,
    origin=datetime,
)
