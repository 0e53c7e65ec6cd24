"""What the keeper and its users share on disk: the run folder and services.json in it."""

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil

# The longest path of a unix socket is 107 bytes on Linux and 103 on macOS.
_LONGEST_SOCKET = 103
_SOCKET_NAME = len("/postgres/.s.PGSQL.5432.lock")


class EmbeddedError(RuntimeError):
    """A service could not be started, joined or kept running; the message says which and why."""


class ServiceState(StrEnum):
    """Where a service stands."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"  # it crashed and is about to be started again
    FAILED = "failed"  # it could not start, or crashed too often; no further attempt is made


@dataclass(frozen=True)
class ServiceStatus:
    """One service as services.json records it.

    `created` is the process's start time (seconds since the epoch, as psutil gives it): with the
    pid it names one process for good, where a bare pid may since belong to another.
    """

    name: str
    state: ServiceState
    log: str
    urls: dict[str, str] = field(default_factory=dict)
    pid: int | None = None
    created: float | None = None
    restarts: int = 0
    last_error: str | None = None

    def is_alive(self) -> bool:
        """Whether the recorded process still runs."""
        return is_alive(self.pid, self.created)


@dataclass(frozen=True)
class SetStatus:
    """The content of services.json: the keeper and its services by name."""

    keeper_pid: int
    keeper_created: float
    services: dict[str, ServiceStatus]

    def is_kept(self) -> bool:
        """Whether the keeper that wrote this still runs."""
        return is_alive(self.keeper_pid, self.keeper_created)


def is_alive(pid: int | None, created: float | None) -> bool:
    """Whether the process with this pid and start time runs (a zombie does not)."""
    if pid is None or created is None:
        return False
    try:
        process = psutil.Process(pid)
        # psutil derives the start time from clock ticks and boot time: allow for the rounding.
        same = abs(process.create_time() - created) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def describe(pid: int) -> str:
    """`pid 12 (redis-server ...)`, for messages that must name a process."""
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        command = "unknown command"
    return f"pid {pid} ({command[:200]})"


class RunFolder:
    """The paths under DATA_DIR/run, and what is read and written there."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.path = data_dir / "run"
        self.users_lock = self.path / "users.lock"
        self.keeper_lock = self.path / "keeper.lock"
        self.state_file = self.path / "services.json"

    def log(self, name: str) -> Path:
        """The log file of a service, or of the keeper."""
        return self.path / f"{name}.log"

    def request(self, name: str) -> Path:
        """The marker by which a user asks the keeper for a service."""
        return self.path / f"{name}.request"

    @property
    def sockets(self) -> Path:
        """A short folder for unix sockets, whose paths are limited where a data folder's are not.

        It is named by a hash of the data folder, so that each folder keeps its addresses.
        """
        digest = hashlib.sha256(f"{os.getuid()}:{self.data_dir}".encode()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"twin-{digest}"
        if len(os.fsencode(folder)) + _SOCKET_NAME > _LONGEST_SOCKET:
            folder = Path("/tmp") / f"twin-{digest}"  # noqa: S108 - checked in make_sockets
        return folder

    def make_sockets(self) -> Path:
        """Create the socket folder; only root's is open to others, for PostgreSQL's own user.

        Raises:
            EmbeddedError: the path exists and is not a folder of this user.
        """
        folder = self.sockets
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise EmbeddedError(f"{folder} belongs to another user; remove it or set TMPDIR.")
        folder.chmod(0o711 if os.getuid() == 0 else 0o700)
        return folder

    def read(self) -> SetStatus | None:
        """Read services.json; None where there is none."""
        try:
            raw = json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return None
        services = {
            name: ServiceStatus(**{**one, "state": ServiceState(one["state"])})
            for name, one in raw["services"].items()
        }
        return SetStatus(raw["keeper_pid"], raw["keeper_created"], services)

    def write(self, status: SetStatus) -> None:
        """Replace services.json in one step, so that no reader ever sees half of it."""
        fresh = self.state_file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(status), indent=2))
        fresh.replace(self.state_file)

    def tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines of a log, for error messages."""
        try:
            text = self.log(name).read_text(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])


def try_lock(path: Path, *, exclusive: bool) -> int | None:
    """Try to take a lock on a file; None where others hold it in the way.

    The kernel frees it once the returned descriptor is closed in every process that has it,
    whichever way those processes end. It is not passed on to programs started from here.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
