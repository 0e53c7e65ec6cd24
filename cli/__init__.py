"""The command line, ``twin``: a composition root.

Commands import what they need when they run, for PyTorch alone takes seconds.
"""

import typer

from cli import data, evaluate, experiments, jobs, models, processes, reports, versions
from cli.console import PlainErrors

app = typer.Typer(
    cls=PlainErrors,
    help="A GraphQL server that learns how each real-estate investor buys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(processes.serve)
app.command()(processes.worker)
app.command()(processes.migrate)
app.command(hidden=True)(processes.api)
app.command(hidden=True)(processes.sample)
app.add_typer(data.imports, name="import")
app.command()(models.train)
app.command()(evaluate.evaluate)
app.command()(models.reindex)
versions.models.command()(reports.report)
app.add_typer(versions.models, name="models")
app.add_typer(experiments.experiments, name="experiments")
app.command()(models.enqueue)
app.add_typer(jobs.jobs, name="jobs")
app.add_typer(data.tenants, name="tenants")
app.add_typer(data.users, name="users")
app.command()(data.token)
