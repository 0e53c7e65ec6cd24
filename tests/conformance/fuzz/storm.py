"""Sends many requests from a seed, and counts what came back."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from tests.conformance.fuzz.client import send
from tests.conformance.fuzz.hostile import HOSTILE
from tests.conformance.fuzz.messages import Message, World
from tests.conformance.fuzz.rules import Answer, fault
from tests.conformance.fuzz.wire import WIRE

KINDS = HOSTILE | WIRE
AT_ONCE = 8


@dataclass(slots=True)
class Tally:
    """What came back.

    Attributes:
        statuses: how often each status (None for a closed connection), by kind of request.
        faults: number of the request, its kind and what was wrong with the answer.
    """

    statuses: dict[str, Counter[int | None]] = field(default_factory=dict)
    faults: list[tuple[int, str, str]] = field(default_factory=list)

    def note(self, number: int, kind: str, answer: Answer, found: str | None) -> None:
        """Count an answer."""
        self.statuses.setdefault(kind, Counter())[answer.status] += 1
        if found is not None:
            self.faults.append((number, kind, found))


def made(seed: int, number: int, world: World) -> tuple[str, Message]:
    """The request of that number, the same each time, and its kind."""
    rng = Random(f"{seed}/{number}")
    (maker,) = rng.choices(list(KINDS), list(KINDS.values()))
    return maker.__name__, maker(rng, world)


def storm(
    port: int,
    world: World,
    seed: int,
    numbers: Iterable[int],
    tally: Tally,
    send: Callable[[int, Message], Answer] = send,
) -> None:
    """Send the requests of those numbers, some at once, and note what came back."""

    def one(number: int) -> tuple[int, str, Answer, str | None]:
        kind, message = made(seed, number, world)
        answer = send(port, message)
        return number, kind, answer, fault(message, answer)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for result in pool.map(one, numbers):
            tally.note(*result)
