"""Commands import what they need: the slow libraries are not waited for by those without use."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli import Twin, app
from cli.lazy import LazyCommand
from domain.tenants.tenants import Tenant
from tests.cli.conftest import ROOT

HEAVY = {
    "alembic", "arq", "grpc", "matplotlib", "numpy", "qdrant_client", "redis", "sklearn",
    "sqlalchemy", "strawberry", "torch",
}  # fmt: skip
SILENT = {"api", "sample", "serve", "worker"}
"""Commands that print no results."""


def loaded(*arguments: str, **environment: str) -> set[str]:
    """The modules that a command of its own process imports."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('loaded', *sys.modules, file=sys.stderr))\n"
        "from cli import app\n"
        "app(prog_name='twin')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    name, *modules = run.stderr.splitlines()[-1].split()
    assert name == "loaded"
    return set(modules)


@pytest.mark.integration
def test_help_imports_typer_alone() -> None:
    found = loaded("--help")
    assert not found & (HEAVY | {"asyncio", "asyncpg", "pydantic", "rich", "settings", "runtime"})


def test_a_list_of_users_needs_the_driver_alone(
    tenant: Tenant, service_environment: dict[str, str]
) -> None:
    environment = service_environment | {"REDIS_URL": "redis://127.0.0.1:1"}
    found = loaded("users", "list", "--tenant", tenant.slug, **environment)
    assert "asyncpg" in found
    assert not found & (HEAVY | {"rich"})


@pytest.mark.parametrize("command", Twin.lazy_commands, ids=lambda one: one.name)
def test_every_command_is_found(command: LazyCommand) -> None:
    made = command.load()
    assert made.help
    listed = getattr(made, "commands", {command.name: made})
    for name, one in listed.items():
        options = {option for parameter in one.params for option in parameter.opts}
        assert ("--json" in options) == (name not in SILENT)


def test_the_list_has_what_can_be_called() -> None:
    help_text = CliRunner().invoke(app, ["--help"], prog_name="twin").stdout
    for command in Twin.lazy_commands:
        assert (f"  {command.name} " in help_text) != command.hidden
    refused = CliRunner().invoke(app, ["user"], prog_name="twin")
    assert refused.exit_code == 2
    assert "Did you mean 'users'" in refused.stderr


def test_what_is_quoted_of_a_wrong_use_is_escaped() -> None:
    arguments = ["import", "properties", "a.csv", "b\x1b[31m\u202e.csv", "--tenant", "acme"]
    refused = CliRunner().invoke(app, arguments, prog_name="twin")
    assert refused.exit_code == 2
    assert r"b\x1b[31m\u202e.csv" in refused.stderr
    help_text = CliRunner().invoke(app, ["users"], prog_name="twin").output
    assert "\nCommands:\n" in help_text
