"""Parts of the server that crash: started again, or named as the reason for the end."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import embedded
from cli import supervision
from cli.supervision import Part, ServingError, run_together
from tests.cli.conftest import StartTwin
from tests.cli.test_serving import alive, of_folder, wait_for_children, wait_until


def test_a_killed_part_is_started_again_and_named(start_twin: StartTwin, tmp_path: Path) -> None:
    supervisor = start_twin("worker")
    children = wait_for_children(supervisor, 2)
    log = tmp_path / "out.log"
    wait_until(lambda: log.read_text().count("Starting worker") == 2, "both workers")
    (training,) = (one for one in children if "--queue=training" in one.cmdline())
    training.kill()

    wait_until(lambda: log.read_text().count("Starting worker") == 3, "another worker")
    assert (
        "twin: the training worker ended by itself (signal SIGKILL); it is started again in 0.5 s"
        in log.read_text()
    )
    again = supervisor.children()
    assert len(again) == 2
    assert training.pid not in {one.pid for one in again}
    supervisor.terminate()
    assert supervisor.wait(60) == 0
    assert alive(again) == []


def test_services_whose_keeper_was_killed_come_back_where_they_were(
    start_twin: StartTwin, tmp_path: Path
) -> None:
    supervisor = start_twin("worker")
    log = tmp_path / "out.log"
    wait_until(lambda: log.read_text().count("Starting worker") == 2, "both workers")
    folder = tmp_path / "data"
    before = embedded.status(folder)
    (keeper,) = (one for one in of_folder(folder) if "embedded.keeper" in one.cmdline())
    keeper.kill()

    def are_back() -> bool:
        now = embedded.status(folder)
        return now.keys() == before.keys() and all(
            one.urls and one.pid != before[name].pid for name, one in now.items()
        )

    wait_until(are_back, "the services")
    after = embedded.status(folder)
    assert {one.name: one.urls for one in after.values()} == {
        one.name: one.urls for one in before.values()
    }
    assert "twin: the services' keeper is gone; they are started again" in log.read_text()
    supervisor.terminate()
    assert supervisor.wait(60) == 0


@pytest.fixture
def started() -> list[subprocess.Popen[bytes]]:
    """What ``play`` started."""
    return []


@pytest.fixture
def play(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> Callable[..., None]:
    """Runs a Python script as the one part."""

    def start(arguments: list[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", *arguments], stdin=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        return process

    monkeypatch.setattr(supervision, "start_twin", start)
    monkeypatch.setattr(supervision, "FIRST_WAIT", 0.01)
    return lambda script, **given: run_together([Part("actor", [script])], **given)


def test_a_part_that_keeps_crashing_ends_all(
    play: Callable[..., None],
    started: list[subprocess.Popen[bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ServingError, match=r"the actor .*\(signal SIGKILL\), 6 times in a row"):
        play("import os; os.kill(os.getpid(), 9)")

    assert len(started) == 6
    said = capsys.readouterr().err
    waits = [line.split()[-2] for line in said.splitlines() if "started again" in line]
    assert waits == ["0.01", "0.02", "0.04", "0.08", "0.16"]


def test_a_part_that_says_no_at_its_first_start_is_not_tried_again(
    play: Callable[..., None], started: list[subprocess.Popen[bytes]]
) -> None:
    with pytest.raises(ServingError, match=r"the actor ended by itself \(exit code 3\)"):
        play("raise SystemExit(3)")

    assert len(started) == 1


def test_once_all_is_ready_no_end_is_a_refusal_to_start(
    play: Callable[..., None], started: list[subprocess.Popen[bytes]]
) -> None:
    announced = []
    with pytest.raises(ServingError, match=r"\(exit code 3\), 6 times in a row"):
        play(
            "import time; time.sleep(0.5); raise SystemExit(3)",
            is_ready=lambda: True,
            announce=lambda: announced.append(1),
        )

    assert announced == [1]
    assert len(started) == 6


def test_crashes_of_a_part_that_was_up_in_between_are_not_in_a_row(
    play: Callable[..., None],
    started: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def sleep(_: float) -> None:
        """Have the part end; the first three times it had been up by then, by this clock."""
        nonlocal now
        started[-1].communicate()
        now += supervision.UP_AFTER if len(started) <= 3 else 1.0

    monkeypatch.setattr(supervision, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    with pytest.raises(ServingError, match=r"\(exit code 1\), 6 times in a row"):
        play("import sys; sys.stdin.read(); raise SystemExit(1)")

    # Three while it was up, of which the last is the first in a row.
    assert len(started) == 3 + 5
