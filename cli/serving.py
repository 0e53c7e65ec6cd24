"""The server as a whole: one for a data folder, on a port, announced once it answers."""

import fcntl
import os
import shutil
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import settings
from cli.console import say
from cli.session import keep_services, start_services
from cli.supervision import WORKERS, Part, ServingError, run_together

SAMPLE = Part("sample", ["sample"], once=True)


def serve(loaded: settings.Settings, port: int, workers: int, *, sample: bool) -> None:
    """Run the API and both workers until SIGINT or SIGTERM, and say so in a few lines.

    In production the processes write to stderr; else each has a log in DATA_DIR/run.

    Args:
        loaded: the settings.
        port: where to listen.
        workers: processes that answer requests.
        sample: load the sample and train on it first, where the database is an embedded one.

    Raises:
        ServingError: a part cannot start or keeps crashing, or was not ready in time.
    """
    logs = None if loaded.production else loaded.data_dir / "run"
    where = "" if logs is None else f"; logs: {logs}/*.log"
    say(f"Portfolio Twin is starting {_started_here(loaded)}{where}")
    _, found = start_services()
    with_sample = sample and found.embedded and loaded.database_url is None
    api = Part("API", ["api", loaded.host, str(port), str(workers)])
    url = f"http://{_shown(loaded.host)}:{port}"
    with ExitStack() as until_stopped:

        def announce() -> None:
            say(f"Portfolio Twin is ready: {url}/graphql (health: /healthz, /readyz)")
            say(_how_to_sign_in(loaded, with_sample=with_sample))
            say("To stop: Ctrl-C")
            if with_sample:
                from cli.first_start import training_shown

                until_stopped.enter_context(training_shown(found))

        run_together(
            [api, *WORKERS, *([SAMPLE] if with_sample else [])],
            is_ready=lambda: answers(f"{url}/readyz"),
            announce=announce,
            keep_up=partial(keep_services, loaded, found),
            logs=logs,
        )


def _started_here(loaded: settings.Settings) -> str:
    urls = {"PostgreSQL": loaded.database_url, "Redis": loaded.redis_url}
    urls["Qdrant"] = loaded.qdrant_url
    services = [name for name, url in urls.items() if url is None and not loaded.production]
    listed = ", ".join([*services, "the API"])
    return f"{listed} and its workers"


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _how_to_sign_in(loaded: settings.Settings, *, with_sample: bool) -> str:
    if loaded.oidc_issuer is not None:
        return f"To sign in: a token of {loaded.oidc_issuer}"
    if with_sample:
        from cli.first_start import INVESTOR, SLUG

        token = f"{_command()} token --tenant {SLUG} --user {INVESTOR}"
        return f"GraphiQL is signed in as a simulated investor. For a token: {token}"
    return f"To sign in: {_command()} token --tenant SLUG --user EMAIL"


def _command() -> str:
    """How to call this command from here."""
    if shutil.which("twin") == str(Path(sys.argv[0]).absolute()):
        return "twin"
    return os.path.relpath(sys.argv[0])


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
    for process in psutil.process_iter():
        # One by one: on macOS, only root may list the connections of all processes at once.
        with suppress(psutil.Error, OSError):
            for connection in process.net_connections("tcp"):
                listens = connection.status == psutil.CONN_LISTEN
                if listens and connection.laddr and connection.laddr.port == port:
                    return f" by process {process.pid} ({' '.join(process.cmdline())})"
    return ""


def answers(url: str) -> bool:
    """Whether a GET of the URL succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own server
            return bool(response.status == 200)
    except HTTPError as refusal:
        refusal.close()
        return False
    except (OSError, HTTPException):
        return False
