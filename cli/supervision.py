"""Processes that run together: what crashes is started again, what cannot run ends them all."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cli.console import say

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 180.0
"""Seconds that the server may take to answer, after the parts that run once are done."""
STOP_WITHIN = 10.0
"""Seconds that a process may take to stop before it is killed."""
UP_AFTER = 30.0
"""Seconds after which a process that still runs counts as up."""
MOST_CRASHES = 5
"""Crashes in a row, each of a process that was not up yet, after which all end."""
FIRST_WAIT = 0.5
"""Seconds until a crashed process is started again; twice as many after each further crash."""
LOG_LIMIT = 5_000_000
"""Bytes; a longer log begins anew."""
_READ_OF_LOG = 10_000
"""Bytes at the end of a log among which its last line is looked for: a log has no greatest size."""
_PACE = 0.1
_UPKEEP = 1.0  # seconds between two calls of what keeps the services up


class ServingError(RuntimeError):
    """The server cannot start or go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the server.

    Attributes:
        name: for people.
        arguments: of ``twin``.
        once: whether it ends by itself when its work is done. The server is not ready before, and
            what it prints goes to the terminal.
    """

    name: str
    arguments: Sequence[str]
    once: bool = False


WORKERS = (
    Part("indexing worker", ["worker", "--queue=indexing"]),
    Part("training worker", ["worker", "--queue=training"]),
)


def start_twin(arguments: Sequence[str], log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start ``twin`` with those arguments and ``--supervised``: it ends when this process does.

    A terminal's Ctrl-C does not reach it: whoever supervises it stops it.

    Args:
        arguments: of the command line.
        log: file that gets its output; this process's own stdout and stderr if None.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext() if log is None else log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "cli", *arguments, "--supervised"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )


def end_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Have this process get the signal once its stdin, a pipe from its parent, is closed.

    The kernel closes it even if the parent is killed. What ``--supervised`` stands for.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True, name="end-with-parent").start()


def run_together(
    parts: Sequence[Part],
    *,
    is_ready: Callable[[], bool] | None = None,
    announce: Callable[[], None] = lambda: None,
    keep_up: Callable[[], None] = lambda: None,
    logs: Path | None = None,
) -> None:
    """Run the parts until SIGINT or SIGTERM, then stop them.

    A part that crashes is started again, at once and then ever later. All are stopped where one
    cannot start or keeps crashing.

    Args:
        parts: what to run.
        is_ready: asked until it says so, once the parts that run once are done; then all parts
            count as up, which they otherwise do once they have run for ``UP_AFTER`` seconds.
        announce: called once it has said so.
        keep_up: called every second; what it raises ends all.
        logs: folder where each part that goes on running has a log; without one the parts write to
            this process's stdout and stderr.

    Raises:
        ServingError: a part cannot start or keeps crashing, or was not ready in time.
    """
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    running: list[_Supervised] = []
    try:
        running.extend(_Supervised(part, logs) for part in parts)
        began = kept_up = time.monotonic()
        ready = is_ready is None
        while not stopping:
            for one in running:
                one.step()
            now = time.monotonic()
            if now - kept_up > _UPKEEP:
                keep_up()
                for one in running:
                    one.shorten_log()
                kept_up = now
            if not all(one.done for one in running if one.part.once):
                began = now
            elif not ready and is_ready is not None and is_ready():
                ready = True
                for one in running:
                    one.was_up = True
                announce()
            if not ready and now - began > READY_WITHIN:
                raise ServingError(f"the server was not ready within {READY_WITHIN:.0f} seconds")
            time.sleep(_PACE)
    finally:
        # The id of one that has ended may be another's by now.
        _stop([one.process for one in running if one.process.returncode is None])
        for number, handler in before.items():
            signal.signal(number, handler)


class _Supervised:
    """A part and its present process."""

    def __init__(self, part: Part, logs: Path | None) -> None:
        self.part = part
        self._log = None if logs is None or part.once else log_of(logs, part)
        self._crashes = 0  # in a row
        self.was_up = False
        self.done = False
        self._start()

    def step(self) -> None:
        """Look after the process once. Raises ServingError if it is of no use to start it again."""
        if self.done:
            return
        now = time.monotonic()
        if self._due is not None:
            if now >= self._due:
                self._start()
            return
        if now - self._started >= UP_AFTER:
            self.was_up = True
            self._crashes = 0
        code = self.process.poll()
        if code == 0 and self.part.once:
            _end(self.process)
            self.done = True
        elif code is not None:
            self._record_crash(code, now)

    def shorten_log(self) -> None:
        """Empty a log that became too long; the process appends to it, and goes on doing so."""
        with suppress(OSError):
            if self._log is not None and self._log.stat().st_size > LOG_LIMIT:
                os.truncate(self._log, 0)

    def _start(self) -> None:
        self.process = start_twin(self.part.arguments, self._log)
        self._started = time.monotonic()
        self._due: float | None = None

    def _record_crash(self, code: int, now: float) -> None:
        _end(self.process)
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        what = f"the {self.part.name} ended by itself ({how}{_last_words(self._log)})"
        # Who is killed did not choose to; who says no at the first start will go on saying it.
        if code >= 0 and not self.was_up:
            raise ServingError(f"{what}; everything is stopped")
        self._crashes += 1
        if self._crashes > MOST_CRASHES:
            raise ServingError(f"{what}, {self._crashes} times in a row; everything is stopped")
        wait = FIRST_WAIT * 2 ** (self._crashes - 1)
        say(f"twin: {what}; it is started again in {wait:g} s", err=True)
        self._due = now + wait


def log_of(logs: Path, part: Part) -> Path:
    """The log of a part in a folder of logs."""
    return logs / f"{part.name.lower().replace(' ', '-')}.log"


def _last_words(log: Path | None) -> str:
    """The last line of the log, and where to read on."""
    if log is None:
        return ""
    end = b""
    # Whoever clears the folder of logs ends no part of the server.
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _READ_OF_LOG))
        end = file.read()
    lines = end.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
    return f"; {log} ends with: {last[:300]}"


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask the processes to stop, then kill what is left of them and their groups."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_WITHIN
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the process and its group, which may go on listening on its port."""
    # macOS says that it is not permitted where only ended processes are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
