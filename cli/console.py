"""What the command line says: progress while it works, and errors in one line."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

Update = Callable[[float, str], None]
"""Is told how far the work got: a share in [0, 1] and what is done now."""

# Errors whose message is meant for the user. By name: what was never imported was never raised,
# and importing it here would make every command wait for PyTorch.
_EXPECTED = (
    ("asyncpg", "PostgresError"),
    ("domain.errors", "DomainError"),
    ("domain.database", "PoolerError"),
    ("domain.driver", "UnsafeRoleError"),
    ("domain.imports", "ImportRefusedError"),
    ("domain.imports", "StrictImportError"),
    ("domain.leases", "LockedError"),
    ("domain.leases", "LostLeaseError"),
    ("embedded", "EmbeddedError"),
    ("grpc.aio", "AioRpcError"),
    ("jobs.runs", "JobError"),
    ("ml.evaluation.protocols", "EvaluationError"),
    ("ml.config", "TrainingError"),
    ("redis.exceptions", "RedisError"),
    ("cli.supervision", "ServingError"),
    ("settings", "SettingsError"),
    ("sqlalchemy.exc", "InterfaceError"),
    ("sqlalchemy.exc", "OperationalError"),
)


def _expected() -> tuple[type[BaseException], ...]:
    found = (getattr(sys.modules.get(module), name, None) for module, name in _EXPECTED)
    return (OSError, *(kind for kind in found if kind is not None))


class PlainErrors(TyperGroup):
    """Commands whose expected errors end in one line on stderr and exit code 1.

    Whoever is refused a lock gets ``os.EX_TEMPFAIL`` instead, since later it may work.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, asyncio.CancelledError):
            _say("stopped")
            sys.stdout.flush()
            sys.stderr.flush()
            # Not sys.exit, which would wait for threads that still compute.
            os._exit(130)
        except BrokenPipeError:
            raise  # typer ends quietly when `head` has read enough
        except _expected() as error:
            _say(" ".join(str(error).split()) or type(error).__name__)
            locked = type(error).__name__ == "LockedError"
            raise typer.Exit(os.EX_TEMPFAIL if locked else 1) from None


def _say(message: str) -> None:
    typer.echo(f"twin: {message}", err=True)


def awaitable(update: Update) -> Callable[[float, str], Coroutine[Any, Any, None]]:
    """The update as a coroutine function, which is what jobs report to."""

    async def report(share: float, message: str) -> None:
        update(share, message)

    return report


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows: as a table on a terminal, else a line each with tabs, for other programs."""
    texts = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        typer.echo("\n".join("\t".join(row) for row in texts))
        return
    drawn = Table(*columns, box=SIMPLE)
    for row in texts:
        drawn.add_row(*map(escape, row))
    console.print(drawn)


@contextmanager
def progress(title: str, *, every: float = 5.0, transient: bool = False) -> Iterator[Update]:
    """Show progress on stderr: a bar on a terminal, else a line now and then.

    Args:
        title: what makes progress.
        every: seconds between two lines where there is no terminal to draw a bar on.
        transient: whether the bar disappears when the block ends.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_progress(title, every)
        return
    columns = (
        TextColumn("{task.fields[title]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=transient) as bar:
        task = bar.add_task("", total=1.0, title=title)

        def update(share: float, message: str) -> None:
            bar.update(task, completed=share, description=message)

        yield update
        update(1.0, "done")


def _plain_progress(title: str, every: float) -> Update:
    said = -every

    def update(share: float, message: str) -> None:
        nonlocal said
        if time.monotonic() - said >= every:
            said = time.monotonic()
            typer.echo(f"{title}: {share:.0%} {message}".rstrip(), err=True)

    return update
