"""A child process under the keeper: started, probed, restarted after a crash, stopped."""

import logging
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from embedded.processes import signal_on_death_of
from embedded.state import EmbeddedError, RunFolder, ServiceState, ServiceStatus, describe

logger = logging.getLogger(__name__)

_START_LIMIT = 60.0  # seconds until a started service must answer
_STOP_LIMIT = 20.0  # seconds a service has to stop in order
_CRASHES = 5  # so many crashes ...
_CRASH_WINDOW = 60.0  # ... within so many seconds, and a service is given up
_LOG_LIMIT = 5_000_000  # bytes; a longer log is begun anew at the next start


class Service(ABC):
    """One service of the set. The keeper calls `step` often; nothing here waits for long."""

    name: str
    stop_signal: signal.Signals = signal.SIGTERM

    def __init__(self, run: RunFolder, predecessor: ServiceStatus | None = None) -> None:
        self.run = run
        self.folder = run.data_dir / self.name
        self.state = ServiceState.STARTING
        self.restarts = 0
        self.last_error: str | None = None
        self._predecessor = predecessor
        self._process: subprocess.Popen[bytes] | None = None
        self._created: float | None = None
        self._changed_at = 0.0  # when the present state began
        self._answered = False  # whether it has ever been ready
        self._crashes: deque[float] = deque()  # when, of late

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder fit for a start; raises EmbeddedError where it cannot be."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line of the service, which must stay in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Probe once whether the service answers, without waiting."""

    @property
    @abstractmethod
    def urls(self) -> dict[str, str]:
        """The addresses, by the name of the field of ServiceUrls."""

    @property
    def identity(self) -> tuple[int, int] | None:
        """The user and group to run as, where they are not the keeper's own."""
        return None

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the service."""
        return os.environ

    @property
    def status(self) -> ServiceStatus:
        """What services.json says about this service."""
        return ServiceStatus(
            name=self.name,
            state=self.state,
            log=str(self.run.log(self.name)),
            urls=self.urls if self.state is ServiceState.READY else {},
            pid=self._process.pid if self._process else None,
            created=self._created,
            restarts=self.restarts,
            last_error=self.last_error,
        )

    def start(self) -> None:
        """Start the process; a failure becomes the state FAILED with its reason."""
        self._enter(ServiceState.STARTING)
        try:
            if self._predecessor is not None:
                end(self._predecessor, self.stop_signal)
                self._predecessor = None
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.prepare()
            self._spawn()
        except (EmbeddedError, OSError, subprocess.SubprocessError) as error:
            self._give_up(f"{self.name} cannot start: {error}")

    def step(self) -> None:
        """Look after the process once: notice readiness and crashes, start it again when due."""
        waited = time.monotonic() - self._changed_at
        if self.state is ServiceState.RESTARTING:
            # 0.1 s after the first crash of late, then 0.2, 0.4, ...
            if waited > 0.1 * 2 ** max(0, len(self._crashes) - 1):
                self.restarts += 1
                self.start()
            return
        if self._process is None or self.state is ServiceState.FAILED:
            return
        if self._process.poll() is not None:
            self._record_crash(self._process)
        elif self.state is ServiceState.STARTING:
            if self.is_ready():
                self._answered = True
                self._enter(ServiceState.READY)
            elif waited > _START_LIMIT:
                self._process.kill()
                self._process.wait()
                self._give_up(
                    f"{self.name} did not answer within {_START_LIMIT:.0f} s; {self._log}"
                )

    def stop(self) -> Callable[[], None]:
        """Begin an orderly stop; call what is returned to wait for its end."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(self.stop_signal)

        def wait() -> None:
            if process is None:
                return
            try:
                process.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                logger.warning("%s did not stop within %.0f s; killing it", self.name, _STOP_LIMIT)
                process.kill()
                process.wait()

        return wait

    @property
    def _log(self) -> str:
        return f"log: {self.run.log(self.name)}"

    def _enter(self, state: ServiceState) -> None:
        self.state = state
        self._changed_at = time.monotonic()

    def _give_up(self, reason: str) -> None:
        logger.error(reason)
        self.last_error = reason
        self._enter(ServiceState.FAILED)

    def _spawn(self) -> None:
        log = self.run.log(self.name)
        too_long = log.exists() and log.stat().st_size > _LOG_LIMIT
        user, group = self.identity or (None, None)
        with log.open("wb" if too_long else "ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - programs of our own dependencies
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                start_new_session=True,
                preexec_fn=_tie_to_parent(self.stop_signal),  # noqa: PLW1509 - there are no threads
            )
        self._created = psutil.Process(self._process.pid).create_time()

    def _record_crash(self, process: subprocess.Popen[bytes]) -> None:
        code = process.returncode
        how = f"died with signal {-code}" if code < 0 else f"exited with status {code}"
        self.last_error = f"{self.name} (pid {process.pid}) {how}; {self._log}"
        logger.warning(self.last_error)
        now = time.monotonic()
        self._crashes.append(now)
        while now - self._crashes[0] > _CRASH_WINDOW:
            self._crashes.popleft()
        if not self._answered:
            self._give_up(f"{self.last_error}\n{self.run.tail(self.name)}")
        elif len(self._crashes) == _CRASHES:
            self._give_up(
                f"{self.last_error}\nGiven up after {_CRASHES} crashes within "
                f"{_CRASH_WINDOW:.0f} s; the end of the log:\n{self.run.tail(self.name)}"
            )
        else:
            self._enter(ServiceState.RESTARTING)


def end(service: ServiceStatus, number: signal.Signals) -> None:
    """End a service whose keeper is gone: with the signal, and if that takes too long, SIGKILL."""
    if service.pid is None or not service.is_alive():
        return
    with suppress(ProcessLookupError):  # it may end by itself meanwhile
        os.kill(service.pid, number)
        deadline = time.monotonic() + _STOP_LIMIT
        while service.is_alive():
            if time.monotonic() > deadline:
                os.kill(service.pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(0.02)


def require_unused(folder: Path) -> None:
    """Refuse a folder that a process of someone else works in.

    Raises:
        EmbeddedError: naming that process.
    """
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.pid != os.getpid():
                raise EmbeddedError(
                    f"{folder} is in use by {describe(process.pid)}; stop it or use another folder."
                )
        except psutil.Error:
            continue  # gone, or not ours to look at


def _tie_to_parent(death: signal.Signals) -> Callable[[], None]:
    """Return a function for the child to call before exec: the keeper's death becomes a signal.

    A keeper that is killed with SIGKILL cannot stop its services. Linux tells them; elsewhere the
    keeper's watcher ends them. The next start ends what is left even then (`end`).
    """
    keeper = os.getpid()
    return lambda: signal_on_death_of(keeper, death)
