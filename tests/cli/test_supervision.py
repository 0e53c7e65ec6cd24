"""Parts of the server that crash: started again, or named as the reason for the end."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Runs a Python script as the one part; each start adds a line to ``starts``."""

    def start(arguments: list[str]) -> subprocess.Popen[bytes]:
        with (tmp_path / "starts").open("a") as starts:
            starts.write("start\n")
        return subprocess.Popen(
            [sys.executable, "-c", *arguments], stdin=subprocess.PIPE, start_new_session=True
        )

    monkeypatch.setattr(supervision, "start_twin", start)
    monkeypatch.setattr(supervision, "FIRST_WAIT", 0.01)
    return lambda script, **given: run_together([Part("actor", [script])], **given)


def test_a_part_that_keeps_crashing_ends_all(
    play: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ServingError, match=r"the actor .*\(signal SIGKILL\), 6 times in a row"):
        play("import os; os.kill(os.getpid(), 9)")

    assert len((tmp_path / "starts").read_text().splitlines()) == 6
    said = capsys.readouterr().err
    waits = [line.split()[-2] for line in said.splitlines() if "started again" in line]
    assert waits == ["0.01", "0.02", "0.04", "0.08", "0.16"]


def test_a_part_that_says_no_at_its_first_start_is_not_tried_again(
    play: Callable[..., None], tmp_path: Path
) -> None:
    with pytest.raises(ServingError, match=r"the actor ended by itself \(exit code 3\)"):
        play("raise SystemExit(3)")

    assert (tmp_path / "starts").read_text() == "start\n"


def test_once_all_is_ready_no_end_is_a_refusal_to_start(
    play: Callable[..., None], tmp_path: Path
) -> None:
    announced = []
    with pytest.raises(ServingError, match=r"\(exit code 3\), 6 times in a row"):
        play(
            "import time; time.sleep(0.5); raise SystemExit(3)",
            is_ready=lambda: True,
            announce=lambda: announced.append(1),
        )

    assert announced == [1]
    assert len((tmp_path / "starts").read_text().splitlines()) == 6


def test_crashes_of_a_part_that_was_up_in_between_are_not_in_a_row(
    play: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "UP_AFTER", 0.3)
    starts = tmp_path / "starts"

    # Up for a second each time but the last times, and ended by an exit code each time.
    script = (
        f"import time; n = len(open({str(starts)!r}).readlines()); "
        "time.sleep(1 if n < 4 else 0); raise SystemExit(1)"
    )
    with pytest.raises(ServingError, match=r"\(exit code 1\), 6 times in a row"):
        play(script)

    # Three while it was up, of which the last is the first in a row.
    assert len(starts.read_text().splitlines()) == 3 + 5
