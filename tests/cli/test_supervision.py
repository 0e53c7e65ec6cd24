"""Parts of the server that crash: started again, or named as the reason for the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import supervision
from cli.supervision import Part, ServingError, run_together

pytestmark = pytest.mark.integration


@pytest.fixture
def started() -> list[subprocess.Popen[bytes]]:
    """What ``play`` started."""
    return []


@pytest.fixture
def play(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> Callable[..., None]:
    """Runs a Python script as the one part."""

    def start(arguments: list[str], log: Path | None) -> subprocess.Popen[bytes]:
        with nullcontext() if log is None else log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                start_new_session=True,
            )
        started.append(process)
        return process

    monkeypatch.setattr(supervision, "start_twin", start)
    monkeypatch.setattr(supervision, "FIRST_WAIT", 0.01)
    return lambda script, once=False, **given: run_together(
        [Part("actor", [script], once)], **given
    )


def ends_after(announced: Path) -> str:
    """A script that fails once a file is there."""
    return f"""
import pathlib, time
while not pathlib.Path({str(announced)!r}).exists():
    time.sleep(0.01)
raise SystemExit(3)
"""


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
    play: Callable[..., None], started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    announced = tmp_path / "announced"
    with pytest.raises(ServingError, match=r"\(exit code 3\), 6 times in a row"):
        play(
            ends_after(announced),
            is_ready=lambda: True,
            announce=lambda: announced.touch(exist_ok=False),
        )

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_parts(
    play: Callable[..., None], started: list[subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    play(
        "import sys; sys.stdin.read()",
        is_ready=lambda: True,
        announce=lambda: os.kill(os.getpid(), number),
    )
    assert [one.returncode for one in started] == [-signal.SIGTERM]


def test_a_part_that_runs_once_is_done_before_all_is_ready(
    play: Callable[..., None], started: list[subprocess.Popen[bytes]]
) -> None:
    seen: list[int | None] = []

    def announce() -> None:
        seen.append(started[0].poll())
        os.kill(os.getpid(), signal.SIGTERM)

    play("import time; time.sleep(0.3)", once=True, is_ready=lambda: True, announce=announce)

    assert seen == [0]
    assert len(started) == 1


def test_a_part_that_cannot_do_its_work_ends_all(play: Callable[..., None]) -> None:
    with pytest.raises(ServingError, match=r"the actor ended by itself \(exit code 3\)"):
        play("raise SystemExit(3)", once=True, is_ready=lambda: True)


def test_the_end_of_a_log_says_why_a_part_ended(play: Callable[..., None], tmp_path: Path) -> None:
    said = r"\(exit code 3; .*actor\.log ends with: the disk is full\)"
    with pytest.raises(ServingError, match=said):
        play("print('the disk is full\\n'); raise SystemExit(3)", logs=tmp_path)


def _clear(log: Path) -> None:
    log.unlink()


def _fill(log: Path) -> None:
    """Make the log too long to be read whole."""
    with log.open("r+b") as file:
        file.seek(2**32)
        file.write(b"\nthe disk is full\n")


@pytest.mark.parametrize(
    ("change", "said"), [(_clear, "nothing"), (_fill, "the disk is full")], ids=["cleared", "long"]
)
def test_a_crash_is_told_of_whatever_became_of_the_log(
    play: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    said: str,
) -> None:
    announced = tmp_path / "announced"

    def announce() -> None:
        change(tmp_path / "actor.log")
        announced.touch()

    monkeypatch.setattr(supervision, "MOST_CRASHES", 0)
    # Else it is emptied where the crash is noticed late.
    monkeypatch.setattr(supervision, "LOG_LIMIT", 2**50)
    with pytest.raises(ServingError, match=rf"actor\.log ends with: {said}\)"):
        play(ends_after(announced), is_ready=lambda: True, announce=announce, logs=tmp_path)


LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@pytest.mark.skipif(not os.access(LAST_PID, os.W_OK), reason="cannot choose the id of a process")
def test_a_process_that_got_the_id_of_a_part_that_is_done_lives_on(
    play: Callable[..., None], started: list[subprocess.Popen[bytes]]
) -> None:
    others: list[subprocess.Popen[bytes]] = []

    def announce() -> None:
        while not others or others[-1].pid != started[0].pid:
            if len(others) == 20:
                pytest.skip("the id was given to somebody else")
            LAST_PID.write_text(str(started[0].pid - 1))
            script = "import sys; sys.stdin.read()"
            others.append(
                subprocess.Popen(
                    [sys.executable, "-c", script], stdin=subprocess.PIPE, start_new_session=True
                )
            )
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        play("", once=True, is_ready=lambda: True, announce=announce)
        for other in others:
            other.communicate()
        assert others[-1].returncode == 0
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_a_log_that_becomes_too_long_begins_anew(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervision, "LOG_LIMIT", 100)
    monkeypatch.setattr(supervision, "_UPKEEP", 0.05)
    log = tmp_path / "actor.log"

    def stop_once_shortened() -> None:
        if log.read_text() == "short\n":
            os.kill(os.getpid(), signal.SIGTERM)

    play(
        f"""
import pathlib, sys, time
print("x" * 1000, flush=True)
while pathlib.Path({str(log)!r}).stat().st_size:
    time.sleep(0.01)
print("short", flush=True)
sys.stdin.read()
""",
        logs=tmp_path,
        keep_up=stop_once_shortened,
    )
    assert log.read_text() == "short\n"
