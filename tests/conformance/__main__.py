"""Audit this server and a stock Strawberry app: ``python -m tests.conformance``.

Runs the 61 audits of the npm package graphql-http, which ``make conformance`` installs, against
both, each in a process of its own; ours on embedded services in a temporary folder. Exits with 1 if
ours fails one.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import runtime
from settings import Settings
from tests.conformance.servers import own_server, stock_strawberry

RUN = Path(__file__).with_name("run.mjs")


def main() -> int:
    """Audit both, and return the exit code."""
    with TemporaryDirectory(prefix="twin-conformance-") as folder:
        settings = Settings(_env_file=None, data_dir=Path(folder))
        runtime.migrate(runtime.services(settings))
        with own_server(settings.data_dir) as ours, stock_strawberry() as stock:
            command = ["node", str(RUN), f"this server={ours.url}", f"stock strawberry={stock.url}"]
            return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
