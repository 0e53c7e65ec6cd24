"""What the command line says: results, progress while it works, and errors in one line.

All of it is printed by the functions here, which escape what a name, a file or a message holds of
control characters. Rich takes a while to import, so only a terminal gets what it draws.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

Update = Callable[[float, str], None]
"""Is told how far the work got: a share in [0, 1] and what is done now."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Errors whose message is meant for the user. By name: what was never imported was never raised,
# and importing it here would make every command wait for PyTorch.
EXPECTED = (
    ("builtins", "OSError"),
    ("asyncpg", "InterfaceError"),
    ("asyncpg", "PostgresError"),
    ("domain.core.driver", "UnsafeRoleError"),
    ("domain.core.errors", "DomainError"),
    ("domain.core.database", "PoolerError"),
    ("domain.imports.report", "ImportRefusedError"),
    ("domain.imports.report", "StrictImportError"),
    ("domain.core.leases", "LockedError"),
    ("domain.core.leases", "LostLeaseError"),
    ("embedded", "EmbeddedError"),
    ("grpc.aio", "AioRpcError"),
    ("jobs.queue.runs", "JobError"),
    ("ml.evaluation.protocols", "EvaluationError"),
    ("ml.training.config", "TrainingError"),
    ("ml.twin.device", "DeviceError"),
    ("ml.twin.device", "DeviceMemoryError"),
    ("redis.exceptions", "RedisError"),
    ("cli.supervision", "ServingError"),
    ("settings", "SettingsError"),
    ("sqlalchemy.exc", "DBAPIError"),
)
FAILURE = "twin.failure"
"""Names, in a context's ``meta``, the exit code of expected errors."""

_STOPPED = (("builtins", "KeyboardInterrupt"), ("asyncio.exceptions", "CancelledError"))

# C0 and C1 controls, marks that turn the direction of text, separators of lines, half surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

_LAST_COLUMN = 40
"""Cells that the last column of a table has at least, beside all others in full."""


def _loaded(names: Iterable[tuple[str, str]]) -> tuple[type[BaseException], ...]:
    """Those of the classes whose modules are imported."""
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return tuple(kind for kind in found if kind is not None)


class PlainErrors(TyperGroup):
    """Commands whose expected errors end in one line on stderr.

    The exit code is 1, or what the command put under ``FAILURE``. Whoever is refused a lock gets
    ``os.EX_TEMPFAIL`` instead, since later it may work.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except _loaded(_STOPPED):
            _end_stopped()
        except TyperException as error:
            # A wrong use, which is quoted in it: a file's name may have become an argument.
            error.message = "\n".join(map(printable, error.message.split("\n")))
            raise
        except BrokenPipeError:
            raise  # typer ends quietly when `head` has read enough
        except _loaded(EXPECTED) as error:
            # What was under way could not be ended in order. A cancellation says nothing: timeouts
            # come from one.
            if any(isinstance(one, KeyboardInterrupt) for one in _with_contexts(error)):
                _end_stopped()
            # SQLAlchemy adds the statement and a link to what PostgreSQL says.
            said = str(getattr(error, "orig", None) or error)
            _complain(" ".join(said.split()) or type(error).__name__)
            locked = type(error).__name__ == "LockedError"
            raise typer.Exit(os.EX_TEMPFAIL if locked else ctx.meta.get(FAILURE, 1)) from None


def _with_contexts(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those during whose handling it was raised."""
    while error is not None:
        yield error
        error = error.__context__


def _end_stopped() -> NoReturn:
    _complain("stopped")
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit, which would wait for threads that still compute.
    os._exit(130)


def _complain(message: str) -> None:
    say(f"twin: {message}", err=True)


def printable(text: object) -> str:
    r"""The text with what a terminal would obey, or take for a new line, written out: ``\x1b``."""
    return _UNSAFE.sub(lambda found: _escape(found[0]), str(text))


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def say(*lines: object, err: bool = False) -> None:
    """Print lines, each ``printable``: on stdout or on stderr."""
    for line in lines:
        typer.echo(printable(line), err=err)


def say_json(value: object) -> None:
    """Print a value as JSON in ASCII: times in ISO 8601, ids as text, data classes as objects."""
    text = json.dumps(value, indent=2, default=_json_value, allow_nan=False)
    # The one control character that is ASCII and stands in JSON as it is.
    typer.echo(text.replace("\x7f", "\\u007f"))


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (UUID, os.PathLike)):
        return str(value)
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    raise TypeError(f"no JSON value: {value!r}")


def awaitable(update: Update) -> Callable[[float, str], Coroutine[Any, Any, None]]:
    """The update as a coroutine function, which is what jobs report to."""

    async def report(share: float, message: str) -> None:
        update(share, message)

    return report


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows: as a table on a terminal, else a line each with tabs, for other programs."""
    texts = [["-" if cell is None else printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in texts:
            typer.echo("\t".join(row))
        return
    from rich.box import SIMPLE
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    *others, last = columns
    drawn = Table(box=SIMPLE)
    for column in others:
        # An id in pieces cannot be copied: where the terminal is too narrow, it wraps the line.
        drawn.add_column(column, no_wrap=True)
    drawn.add_column(last, overflow="fold")
    for row in texts:
        # Not as markup: a name may be "[bold]".
        drawn.add_row(*map(Text, row))
    whole = zip(others, *(row[:-1] for row in texts), strict=True)
    least = _LAST_COLUMN + sum(3 + max(map(cell_len, cells)) for cells in whole)
    width, height = Console().size
    Console(width=max(width, least), height=height).print(drawn)


@contextmanager
def progress(title: str, *, every: float = 5.0, transient: bool = False) -> Iterator[Update]:
    """Show progress on stderr: a bar on a terminal, else a line now and then.

    Args:
        title: what makes progress.
        every: seconds between two lines where there is no terminal to draw a bar on.
        transient: whether the bar disappears when the block ends.
    """
    title = printable(title)
    if not sys.stderr.isatty():
        yield _plain_progress(title, every)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[title]}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=transient) as bar:
        task = bar.add_task("", total=1.0, title=title)

        def update(share: float, message: str) -> None:
            bar.update(task, completed=share, description=printable(message))

        yield update
        update(1.0, "done")


def _plain_progress(title: str, every: float) -> Update:
    said = -every

    def update(share: float, message: str) -> None:
        nonlocal said
        if time.monotonic() - said >= every:
            said = time.monotonic()
            say(f"{title}: {share:.0%} {message}".rstrip(), err=True)

    return update
