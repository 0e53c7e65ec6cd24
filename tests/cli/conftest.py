"""The command line on the tests' services, in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

import runtime
from cli import app
from cli.first_start import prepare_sample

ROOT = Path(__file__).parents[2]
small_sample = partial(
    prepare_sample, investors=6, most_houses=400, training={"epochs": 1, "device": "cpu"}
)
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


@contextmanager
def twin_processes(folder: Path) -> Iterator[StartTwin]:
    """Starts commands on the data folder in a folder, their output going to ``out.log`` there.

    What still runs in the end is killed.
    """
    started: list[psutil.Popen] = []

    def start(*arguments: str, **environment: str) -> psutil.Popen:
        with (folder / "out.log").open("ab") as log:
            process = psutil.Popen(
                [sys.executable, "-m", "cli", *arguments],
                cwd=ROOT,
                env=os.environ | {"DATA_DIR": str(folder / "data"), "DEVICE": "cpu"} | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            family: list[psutil.Process] = [process]
            with suppress(psutil.NoSuchProcess):
                family += process.children(recursive=True)
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()


@pytest.fixture
def start_twin(tmp_path: Path) -> Iterator[StartTwin]:
    """See ``twin_processes``: in the test's own folder."""
    with twin_processes(tmp_path) as start:
        yield start
