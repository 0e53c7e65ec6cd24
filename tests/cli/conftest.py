"""The command line on the tests' services, in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

import runtime
from cli import app

ROOT = Path(__file__).parents[2]
Twin = Callable[..., Result]
StartTwin = Callable[..., psutil.Popen]


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch,
    services: runtime.Services,
    service_environment: dict[str, str],
) -> None:
    """Commands use the tests' services, and a queue that no worker empties."""
    for name, value in service_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDIS_URL", services.redis_url.replace("?db=0", "?db=8"))


@pytest.fixture
def twin(environment: None) -> Twin:
    """Runs a command in this process."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="twin")

    return run


@pytest.fixture
def start_twin(tmp_path: Path) -> Iterator[StartTwin]:
    """Starts a command on a data folder of its own, its output going to ``out.log`` there."""
    started: list[psutil.Popen] = []

    def start(*arguments: str, **environment: str) -> psutil.Popen:
        with (tmp_path / "out.log").open("ab") as log:
            process = psutil.Popen(
                [sys.executable, "-m", "cli", *arguments],
                cwd=ROOT,
                env=os.environ
                | {"DATA_DIR": str(tmp_path / "data"), "DEVICE": "cpu"}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        family = [*process.children(recursive=True), process] if process.is_running() else []
        for one in family:
            one.kill()
        process.wait()
