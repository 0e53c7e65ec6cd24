"""Commands whose module is imported when they run, so that the others do not wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand
from typer.main import get_command, get_group

from cli.console import PlainErrors


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command, or a group of them, that is not imported yet.

    Attributes:
        name: what it is called by.
        source: ``module:attribute``, a function or a ``typer.Typer``.
        help: what the list of commands says of it.
        hidden: whether the list leaves it out.
    """

    name: str
    source: str
    help: str
    hidden: bool = False

    def load(self) -> Any:
        """Import the module and make Typer's command of what it has."""
        module, _, attribute = self.source.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            return get_group(found)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(self.name)(found)
        return get_command(alone)


class LazyGroup(PlainErrors):
    """A group of commands that are imported when they run. Derive one for its ``lazy_commands``."""

    lazy_commands: ClassVar[Sequence[LazyCommand]] = ()

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # What help and suggestions show; ``resolve_command`` gives the command itself.
        for one in self.lazy_commands:
            self.add_command(TyperCommand(one.name, help=one.help, hidden=one.hidden))

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """Find the command that is asked for, and import it."""
        name, listed, rest = super().resolve_command(ctx, args)
        found = next((one for one in self.lazy_commands if one.name == name), None)
        return name, found.load() if found else listed, rest


def group(help: str) -> typer.Typer:  # noqa: A002 - Typer's own name
    """A group of commands that shows its help if none is named, without Rich's boxes."""
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode=None)
