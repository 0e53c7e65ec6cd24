"""What is going on, for the log: the request, the tenant and the run of a job that a line is about.

Each task has its own, which the tasks that it starts begin with.
"""

from collections.abc import Mapping
from contextvars import ContextVar, Token

_fields: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default={})  # noqa: B039


def fields() -> Mapping[str, str]:
    """What was noted, by name: ``request_id``, ``tenant_id``, ``tenant``, ``run_id``."""
    return _fields.get()


def note(**values: str) -> None:
    """Have lines say this too, until the ``about`` around it or the task ends."""
    _fields.set({**_fields.get(), **values})


class about:  # noqa: N801 - used as a function; a generator would take three times as long
    """``with about(request_id=...)``: the block's lines say this; what is noted in it ends too."""

    __slots__ = ("_token", "_values")

    def __init__(self, **values: str) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._token: Token[Mapping[str, str]] = _fields.set({**_fields.get(), **self._values})

    def __exit__(self, *_: object) -> None:
        _fields.reset(self._token)
