"""PgBouncer in transaction mode before the tests' PostgreSQL, where the program is installed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PORT = 6432
"""Part of the name of its socket; no TCP port is taken."""

READY_WITHIN = 60.0


@contextmanager
def pgbouncer(behind: URL, mode: str = "transaction") -> Iterator[URL]:
    """A pooler with two connections to the server for each role; yields its URL for that role.

    Args:
        behind: of the server.
        mode: of the pool.
    """
    assert PROGRAM is not None
    # PgBouncer refuses to run as root, and the embedded server's socket is open to its own user.
    root = os.getuid() == 0
    with TemporaryDirectory(prefix="twin-pgbouncer-") as name:
        folder = Path(name)
        users, config = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text('"twin_app" ""\n"twin_owner" ""\n')
        config.write_text(
            f"[databases]\n* = host={behind.query['host']} port={behind.query['port']}\n"
            f"[pgbouncer]\nunix_socket_dir = {folder}\nlisten_port = {PORT}\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = {mode}\n"
            "default_pool_size = 2\nmax_client_conn = 200\n"
        )
        for path in (users, config):
            path.chmod(0o644)
        folder.chmod(0o777)
        with (folder / "pgbouncer.log").open("w") as log:
            process = subprocess.Popen(
                [PROGRAM, str(config)], stderr=log, user="nobody" if root else None
            )
            try:
                _await(folder, process)
                yield behind.set(query={"host": str(folder), "port": str(PORT)})
            finally:
                process.kill()
                process.wait()


def _await(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / "pgbouncer.log").read_text()
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.connect(str(folder / f".s.PGSQL.{PORT}"))
            return
        time.sleep(0.05)
    raise AssertionError("pgbouncer does not listen")
