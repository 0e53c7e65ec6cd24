"""What may be answered, whatever was asked."""

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.conformance.fuzz.messages import Message

PARSER_REFUSAL = b"Invalid HTTP request received."
"""What uvicorn answers to what is no HTTP, before this project's code sees it."""

LEAKS = re.compile(
    r"Traceback|\bFile \"|\.py\b|site-packages|/work/|/home/|/usr/|/tmp/|0x[0-9a-f]{6,}"
    r"| object at |<class |<function |NoneType|asyncpg|sqlalchemy|psycopg|pydantic|starlette"
    r"|strawberry|qdrant|redis|grpc|localhost|127\.0\.0\.1|:6379|:5432|:6334"
    r"|\bSELECT\b.*\bFROM\b|\bINSERT INTO\b|\bDELETE FROM\b|row-level|violates|duplicate key"
    r"|syntax error at|positional argument|keyword argument|has no attribute|not subscriptable"
    r"|not iterable|\bdict\b|\btuple\b"
    r"|\b(?:Key|Value|Type|Attribute|Index|Assertion|Recursion|Runtime|Overflow|Unicode\w+|OS|IO"
    r"|Connection|Timeout|Memory|Name|Import|Lookup|ZeroDivision|JSONDecode)Error\b|\w+Exception\b"
)
"""Words of what lies under the server. No request contains them, so that none can be an echo."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP; None if the connection was closed without an answer.
        kind: the media type.
        body: the content.
    """

    status: int | None
    kind: str = ""
    body: bytes = b""


def fault(asked: Message, answer: Answer) -> str | None:
    """What is wrong with an answer; None if nothing is."""
    if answer.status is None:
        # One that has no end may be given up; any other must be answered.
        return "no answer" if asked.whole and asked.http else None
    if answer.status >= 500:
        return f"status {answer.status}"
    if asked.statuses and answer.status not in asked.statuses and asked.http:
        return f"status {answer.status}, not {sorted(asked.statuses)}"
    if asked.head or answer.status in (101, 204):
        return "a body" if answer.body else None
    return _content_fault(asked, answer)


def _content_fault(asked: Message, answer: Answer) -> str | None:
    if "json" not in answer.kind:
        return _foreign_fault(asked, answer)
    try:
        content = json.loads(answer.body)
    except ValueError:
        return "the body is not JSON"
    if not isinstance(content, dict) or not ("data" in content or "errors" in content):
        return "neither data nor errors"
    if asked.refused and content.get("data") is not None:
        return "it was answered"
    errors = content.get("errors", [])
    if (answer.status or 0) >= 400 and not errors:
        return f"status {answer.status} without errors"
    return next(filter(None, map(_error_fault, errors)), None) or _leak(content.get("data"))


def _foreign_fault(asked: Message, answer: Answer) -> str | None:
    """What is wrong with an answer of libraries, or with the page that a changed head asks for."""
    refused = asked.upgrade or (answer.status == 400 and answer.body == PARSER_REFUSAL)
    if not asked.http and refused:
        return _leak(answer.body.decode(errors="replace"))
    page = answer.kind == "text/html" and not asked.http
    return None if page else f"status {answer.status} of type {answer.kind!r}"


def _error_fault(error: Any) -> str | None:
    message, extensions = error.get("message"), error.get("extensions", {})
    if not isinstance(message, str) or not message:
        return "an error without a message"
    if not isinstance(extensions.get("code"), str):
        return f"an error without a code: {message[:200]}"
    if extensions["code"] == "INTERNAL":
        return f"INTERNAL at {error.get('path')}"
    return _leak(error)


def _leak(value: Any) -> str | None:
    """What a text anywhere in it gives away; mutations answer errors in their data."""
    if isinstance(value, str):
        found = LEAKS.search(value)
        return f"a text with {found.group()!r}: {value[:200]}" if found else None
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return next(filter(None, map(_leak, value)), None)
    return None
