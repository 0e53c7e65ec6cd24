"""The command line, ``twin``: a composition root.

A command's module is imported when the command runs, and what the command needs when it needs it:
``twin --help`` imports Typer alone, and PyTorch would take seconds.
"""

import typer

from cli.lazy import LazyCommand, LazyGroup


class Twin(LazyGroup):
    """The commands, in the order of the help."""

    lazy_commands = (
        LazyCommand("serve", "cli.processes:serve", "Run the server and its workers."),
        LazyCommand("worker", "cli.processes:worker", "Run the workers."),
        LazyCommand("migrate", "cli.processes:migrate", "Bring the database up to date."),
        LazyCommand("api", "cli.processes:api", "Answer requests.", hidden=True),
        LazyCommand("sample", "cli.processes:sample", "Load the sample.", hidden=True),
        LazyCommand("import", "cli.imports:imports", "Load files and feeds, and undo imports."),
        LazyCommand("train", "cli.models:train", "Train a tenant's twin and let it answer."),
        LazyCommand("evaluate", "cli.evaluate:evaluate", "Measure a tenant's twin."),
        LazyCommand("reindex", "cli.models:reindex", "Bring the index up to date, or compare it."),
        LazyCommand("models", "cli.versions:models", "The versions of a tenant's twin."),
        LazyCommand("experiments", "cli.experiments:experiments", "Compare two versions."),
        LazyCommand("enqueue", "cli.models:enqueue", "Have the workers do a job for a tenant."),
        LazyCommand("jobs", "cli.jobs:jobs", "The runs of a tenant's jobs."),
        LazyCommand("tenants", "cli.data:tenants", "The firms on this server."),
        LazyCommand("users", "cli.data:users", "The members of a tenant."),
        LazyCommand("token", "cli.data:token", "Print a bearer token for a user or a service."),
    )


app = typer.Typer(
    cls=Twin,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Rich's boxes around help and usage errors take as long to import as all the rest.
    rich_markup_mode=None,
)


@app.callback()
def main() -> None:
    """A GraphQL server that learns how each real-estate investor buys."""
