"""The server as a whole: one for a data folder, on a port, announced once it answers."""

import fcntl
import os
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from cli.supervision import WORKERS, Part, ServingError, run_together


def serve(
    host: str,
    port: int,
    workers: int,
    sample_user: tuple[str, str] | None,
    keep_up: Callable[[], None],
) -> None:
    """Run the API and both workers until SIGINT or SIGTERM.

    Args:
        host: where to listen.
        port: where to listen.
        workers: processes that answer requests.
        sample_user: a tenant's slug and a user's email to show as an example.
        keep_up: called every second; what it raises ends the server.

    Raises:
        ServingError: a part cannot start or keeps crashing, or was not ready in time.
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

    run_together(
        [api, *WORKERS],
        is_ready=lambda: answers(f"{url}/readyz"),
        announce=announce,
        keep_up=keep_up,
    )


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
