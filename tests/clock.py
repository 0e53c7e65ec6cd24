"""A process whose clock is wrong, while that of PostgreSQL is right."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

PACKAGES = frozenset({"domain", "graph", "jobs", "ml", "runtime"})


@contextmanager
def app_clock(ahead: timedelta) -> Iterator[None]:
    """Have ``datetime.now`` be wrong by so much in the modules of the program.

    Left alone are the libraries, of which gRPC takes its deadlines from the same clock, and what
    makes and checks tokens: their times are the program's by nature.
    """

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class WrongDatetime(datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + ahead

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            ours = name.split(".")[0] in PACKAGES and not name.startswith("graph.identity")
            if ours and getattr(module, "datetime", None) is datetime:
                patch.setattr(module, "datetime", WrongDatetime)
        yield
