"""The fuzzer's rules find what they are for."""

import json
from typing import Any

import pytest

from tests.conformance.fuzz.messages import Message
from tests.conformance.fuzz.rules import PARSER_REFUSAL, Answer, fault

WHOLE = Message(b"")
REFUSED = Message(b"", refused=True)
FORGED = Message(b"", statuses=frozenset({403}))
BROKEN = Message(b"", whole=False, http=False)
SOCKET = Message(b"", whole=False, http=False, upgrade=True)


def answer(content: Any, status: int | None = 200, kind: str = "application/json") -> Answer:
    return Answer(status, kind, json.dumps(content).encode())


def failed(message: str = "No such user.", code: str | None = "NOT_FOUND") -> dict[str, Any]:
    extensions = {"code": code} if code else {}
    return {"data": {"me": None}, "errors": [{"message": message, "extensions": extensions}]}


PAYLOAD = {"data": {"submitFeedback": {"errors": [{"message": "KeyError: 'x'"}]}}}


@pytest.mark.parametrize(
    ("asked", "found", "says"),
    [
        (WHOLE, answer({"errors": [{}]}, 500), "status 500"),
        (WHOLE, Answer(None), "no answer"),
        (WHOLE, Answer(200, "text/plain", b"ok"), "text/plain"),
        (WHOLE, Answer(200, "text/html", b"<html>"), "text/html"),
        (WHOLE, Answer(400, "text/plain", PARSER_REFUSAL), "text/plain"),
        (WHOLE, Answer(200, "application/json", b"{"), "not JSON"),
        (WHOLE, answer({"status": "ok"}), "neither data nor errors"),
        (WHOLE, answer([]), "neither data nor errors"),
        (WHOLE, answer({"data": None}, 400), "without errors"),
        (WHOLE, answer(failed(code="INTERNAL")), "INTERNAL"),
        (WHOLE, answer(failed(code=None)), "without a code"),
        (WHOLE, answer(failed(message="")), "without a message"),
        (WHOLE, answer(failed("Traceback (most recent call last)")), "Traceback"),
        (WHOLE, answer(failed("'NoneType' object has no attribute 'id'")), "NoneType"),
        (WHOLE, answer(failed("column x: SELECT 1 FROM users")), "SELECT"),
        (WHOLE, answer(failed("connect to 127.0.0.1 failed")), "127.0.0.1"),
        (WHOLE, answer(failed("ValueError: 7")), "ValueError"),
        (WHOLE, answer(PAYLOAD), "KeyError"),
        (REFUSED, answer({"data": {"me": {"id": "x"}}}), "it was answered"),
        (FORGED, answer({"data": {"__typename": "Query"}}), "not [403]"),
        (Message(b"", head=True), Answer(200, "application/json", b"{}"), "a body"),
        (BROKEN, Answer(503, "text/plain", b""), "status 503"),
        (SOCKET, Answer(400, "text/plain", b"ValueError: x"), "ValueError"),
    ],
)
def test_what_is_wrong_is_found(asked: Message, found: Answer, says: str) -> None:
    what = fault(asked, found)
    assert what is not None
    assert says in what


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (WHOLE, answer({"data": {"me": None}})),
        (WHOLE, answer(failed())),
        (REFUSED, answer({"errors": failed()["errors"]}, 400)),
        (FORGED, answer({"errors": failed()["errors"]}, 403)),
        (BROKEN, Answer(None)),
        (SOCKET, Answer(101)),
        (SOCKET, Answer(426, "text/plain", b"Use a WebSocket client.")),
        (BROKEN, Answer(400, "text/plain", PARSER_REFUSAL)),
        (BROKEN, Answer(200, "text/html", b"<html>")),
    ],
)
def test_what_is_right_is_not(asked: Message, found: Answer) -> None:
    assert fault(asked, found) is None
