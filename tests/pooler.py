"""PgBouncer in transaction mode before the tests' PostgreSQL, where the program is installed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from conformance.servers import free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
READY_WITHIN = 30.0


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
    port = free_port()
    with TemporaryDirectory(prefix="twin-pgbouncer-") as name:
        folder = Path(name)
        users, config = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text('"twin_app" ""\n"twin_owner" ""\n')
        config.write_text(
            f"[databases]\n* = host={behind.query['host']} port={behind.query['port']}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = {mode}\n"
            "default_pool_size = 2\nmax_client_conn = 200\n"
        )
        for path in (folder, users, config):
            path.chmod(0o755)
        with (folder / "pgbouncer.log").open("w") as log:
            process = subprocess.Popen(
                [PROGRAM, str(config)], stderr=log, user="nobody" if root else None
            )
            try:
                _await(port, process)
                yield behind.set(host="127.0.0.1", port=port, query={})
            finally:
                process.kill()
                process.wait()


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        assert process.poll() is None, "pgbouncer ended; its log says why"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("pgbouncer does not listen")
