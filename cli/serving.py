"""Runs the server's processes together: all of them, or none."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 90.0
"""Seconds that the server may take to answer."""
STOP_WITHIN = 10.0
"""Seconds that a process may take to stop before it is killed."""
_PACE = 0.1


class ServingError(RuntimeError):
    """The server cannot start or go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the server: a name for people, and the arguments of ``twin``."""

    name: str
    arguments: Sequence[str]


WORKERS = (
    Part("indexing worker", ["worker", "--queue=indexing"]),
    Part("training worker", ["worker", "--queue=training"]),
)


def start_twin(arguments: Sequence[str], *, detached: bool = True) -> subprocess.Popen[bytes]:
    """Start ``twin`` with those arguments and ``--supervised``: it ends when this process does.

    Args:
        arguments: of the command line.
        detached: keep a terminal's Ctrl-C from it, so that whoever supervises it stops it.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(  # noqa: S603 - our own command line
        [sys.executable, "-m", "cli", *arguments, "--supervised"],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=detached,
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


def serve(host: str, port: int, workers: int, sample_user: tuple[str, str] | None) -> None:
    """Run the API and both workers until SIGINT or SIGTERM.

    Args:
        host: where to listen.
        port: where to listen.
        workers: processes that answer requests.
        sample_user: a tenant's slug and a user's email to show as an example.

    Raises:
        ServingError: a part ended by itself, or was not ready in time.
    """
    api = Part("API", ["api", host, str(port), str(workers)])
    shown = f"[{host}]" if ":" in host else host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        shown = "localhost"
    url = f"http://{shown}:{port}"
    lines = ["", f"Portfolio Twin is ready: {url}/graphql", f"Health: {url}/healthz {url}/readyz"]
    if sample_user:
        tenant, user = sample_user
        lines.append(f"Sample: tenant {tenant}, simulated investor {user}")
        lines.append(f"Token: twin token --tenant {tenant} --user {user}")
    lines.append("Ctrl-C stops everything.")

    def announce() -> None:
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()

    run_together([api, *WORKERS], is_ready=lambda: answers(f"{url}/readyz"), announce=announce)


def run_together(
    parts: Sequence[Part],
    *,
    is_ready: Callable[[], bool] = lambda: True,
    announce: Callable[[], None] = lambda: None,
) -> None:
    """Run the parts until SIGINT or SIGTERM, then stop them.

    Args:
        parts: what to run.
        is_ready: asked until it says so.
        announce: called once everything is ready.

    Raises:
        ServingError: a part ended by itself, or was not ready in time; all others are stopped.
    """
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for part in parts:
            running[part.name] = start_twin(part.arguments)
        deadline = time.monotonic() + READY_WITHIN
        ready = False
        while not stopping:
            _require_all(running)
            if not ready and (ready := is_ready()):
                announce()
            if not ready and time.monotonic() > deadline:
                raise ServingError(f"the server was not ready within {READY_WITHIN:.0f} seconds")
            time.sleep(_PACE)
    finally:
        _stop(list(running.values()))
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_all(running: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in running.items():
        code = process.poll()
        if code is None:
            continue
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        raise ServingError(f"the {name} ended by itself ({how}); everything is stopped")


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask the processes to stop, then kill what is left of them and their groups."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_WITHIN
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


@contextmanager
def sole_server(data_dir: Path) -> Iterator[None]:
    """Hold the data folder against a second server, as long as this process lives.

    Raises:
        ServingError: another server has it; names its process.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "serve.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise ServingError(
                f"another server runs on {data_dir} (process {pid}): stop it, "
                "or set DATA_DIR to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def usable_port(host: str, port: int) -> int:
    """The port, or a free one for port 0.

    Raises:
        ServingError: the port is taken; names by whom, as far as that can be seen.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError:
            raise ServingError(f"port {port}: not allowed; set PORT to one above 1023") from None
        except OSError as error:
            raise ServingError(
                f"port {port} of {host} is taken{_holder(port)}; set PORT to another "
                f"({error.strerror})"
            ) from None
        found: int = probe.getsockname()[1]
    return found


def _holder(port: int) -> str:
    """Who listens on the port, as far as this user may know."""
    try:
        import psutil
    except ImportError:
        return ""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if not listens or not connection.laddr or connection.laddr.port != port:
                continue
            if connection.pid is not None:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f" by process {connection.pid} ({command})"
    return ""


def answers(url: str) -> bool:
    """Whether a GET of the URL succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own server
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False
