"""How soon a fresh clone answers: ``python -m bench.first_start [--python P] [--beside REVISION]``.

Clones the repository into a temporary folder, runs ``make serve`` there as a newcomer would, with
nothing installed and no package cached, and asks what GraphiQL asks, with the token that its page
signs in with: until the first answer, during the first training, and once its version answers.
Then it stops the server with Ctrl-C and starts it again. ``--cached`` lets pip and npm use their
caches.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

from tests.conformance.servers import ROOT

GIVEN_UP = 1200.0
"""Seconds after which it no longer waits."""

_LOOK_EVERY = 0.1
_CONFIG = re.compile(r'<script id="config" type="application/json">(.*?)</script>', re.DOTALL)

# What each version of the server that is measured understands.
ANSWER = "{ recommendations(first: 1) { edges { node { modelVersion } } } }"
HOUSE = "{ properties(first: 1) { edges { node { id } } } }"
CHANGES = "subscription { recommendationsChanged { causes } }"

QUERIES = {
    "recommendations": """{ recommendations(first: 2) { edges { node {
        score modelVersion reasons { kind text }
        property { externalId zipcode listingPrice } } } } }""",
    "similarProperties": """query ($house: ID!) { similarProperties(propertyId: $house, first: 2) {
        modelVersion reason { kind text }
        edges { similarity node { externalId zipcode listingPrice } } } }""",
    "affinity": """query ($house: ID!) { affinity(propertyIds: [$house]) {
        score modelVersion reason { kind text } property { externalId zipcode listingPrice } } }""",
}


@dataclass(slots=True)
class Start:
    """A start of the server: its process, what it printed, and when what happened.

    Attributes:
        moments: seconds since the command, by what happened then.
    """

    process: subprocess.Popen[bytes]
    log: Path
    url: str
    began: float = field(default_factory=time.perf_counter)
    moments: dict[str, float] = field(default_factory=dict)

    def note(self, what: str) -> None:
        """Keep the moment at which something happened for the first time."""
        self.moments.setdefault(what, time.perf_counter() - self.began)


@contextmanager
def started(folder: Path, environment: dict[str, str], *arguments: str) -> Iterator[Start]:
    """``make serve`` in a clone, stopped in the end as Ctrl-C in its terminal would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "terminal.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "serve", *arguments],
            cwd=folder,
            env=environment | {"PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    start = Start(process, log, f"http://127.0.0.1:{port}")
    try:
        yield start
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


async def first_answer(start: Start, client: httpx.AsyncClient) -> None:
    """Wait for /readyz and for the first list, asked for with the token of GraphiQL's page."""
    while True:
        if start.process.poll() is not None:
            sys.exit(f"make serve ended:\n{start.log.read_text()}")
        if time.perf_counter() - start.began > GIVEN_UP:
            sys.exit(f"no answer within {GIVEN_UP:.0f} s:\n{start.log.read_text()}")
        await asyncio.sleep(_LOOK_EVERY)
        try:
            if (await client.get("/readyz")).status_code != 200:
                continue
            start.note("/readyz")
            page = await client.get("/graphql", headers={"Accept": "text/html"})
        except httpx.TransportError:
            continue
        found = _CONFIG.search(page.text)
        config: dict[str, Any] = json.loads(found[1]) if found else {}
        if not config.get("token"):
            continue
        client.headers["Authorization"] = f"Bearer {config['token']}"
        if await answering(client) is not None:
            start.note("first answer")
            return


async def answering(client: httpx.AsyncClient) -> str | None:
    """Which model version ranks the investor's list; None while there is no list."""
    try:
        data = (await client.post("/graphql", json={"query": ANSWER})).json().get("data")
    except httpx.TransportError:
        return None
    edges = data["recommendations"]["edges"] if data else []
    return str(edges[0]["node"]["modelVersion"]) if edges else None


async def until_said(start: Start, text: str) -> None:
    """Wait until the terminal shows the text, for some seconds at most."""
    for _ in range(100):
        if text in start.log.read_text():
            return
        await asyncio.sleep(_LOOK_EVERY)


async def follow(start: Start, client: httpx.AsyncClient, *, show: bool) -> None:
    """Watch the investor's list until a model ranks it, asking all the while."""
    house = ""
    if show:
        data = (await client.post("/graphql", json={"query": HOUSE})).json()["data"]
        house = data["properties"]["edges"][0]["node"]["id"]
        await transcript(client, house, "before the first training ends")
    took: list[float] = []
    event: list[str] = []
    listening = asyncio.create_task(_until_model(start, client, event))
    while True:
        began = time.perf_counter()
        version = await answering(client)
        took.append(time.perf_counter() - began)
        if version not in (None, "engagement"):
            break
        if len(took) == 40 and show:
            await transcript(client, house, "during the first training")
        await asyncio.sleep(0.25)
    start.note("first answer of the model")
    if len(took) == 1:
        # A server that trains before it answers has nothing to tell of.
        listening.cancel()
        return
    async with asyncio.timeout(30):
        await listening
    if show:
        print(f"\n# The subscription's event\n\n{event[0]}")
        await transcript(client, house, "after the first training")
        took.sort()
        print(
            f"\nMeanwhile {len(took)} lists were asked for: median {took[len(took) // 2]:.3f} s, "
            f"slowest {took[-1]:.3f} s."
        )


async def _until_model(start: Start, client: httpx.AsyncClient, event: list[str]) -> None:
    """Follow ``recommendationsChanged`` until it names a model as the cause."""
    address = f"{start.url.replace('http', 'ws', 1)}/graphql"
    options: Any = {"subprotocols": ["graphql-transport-ws"]}
    async with connect(address, **options) as opened:
        payload = {"Authorization": client.headers["Authorization"]}
        await opened.send(json.dumps({"type": "connection_init", "payload": payload}))
        asked = {"type": "subscribe", "id": "1", "payload": {"query": CHANGES}}
        await opened.send(json.dumps(asked))
        async for text in opened:
            message = json.loads(text)
            if message["type"] == "ping":
                await opened.send(json.dumps({"type": "pong"}))
            changed = (message.get("payload") or {}).get("data", {}).get("recommendationsChanged")
            if changed and "MODEL" in changed["causes"]:
                start.note("subscribers told")
                event.append(json.dumps(message["payload"]))
                return


async def transcript(client: httpx.AsyncClient, house: str, when: str) -> None:
    """Print the three main queries' answers."""
    print(f"\n# {when[0].upper()}{when[1:]}")
    for name, query in QUERIES.items():
        asked = {"query": query, "variables": {"house": house}}
        answer = (await client.post("/graphql", json=asked)).json()
        print(f"\n## {name}\n\n{json.dumps(answer, indent=1)}")


async def measure(
    clone: Path, given: argparse.Namespace, *, show: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Start, ask, stop and start again; the moments of both starts."""
    # A newcomer has neither our settings nor, unless asked for, anything cached.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ARGS", "DATA_DIR", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV")
        and not name.startswith(("MAKE", "MFLAGS", "TWIN_"))
    }
    if not given.cached:
        environment |= {"PIP_NO_CACHE_DIR": "1", "npm_config_cache": str(clone / ".npm")}
    arguments = [f"PYTHON={given.python}"] if given.python else []
    with started(clone, environment, *arguments) as first:
        async with httpx.AsyncClient(base_url=first.url, timeout=60) as client:
            await first_answer(first, client)
            await follow(first, client, show=show)
            await until_said(first, "of the twin answers now")
    if show:
        print(f"\n# The terminal of the first start\n\n{first.log.read_text()}")
    with started(clone, environment, *arguments) as second:
        async with httpx.AsyncClient(base_url=second.url, timeout=60) as client:
            await first_answer(second, client)
            await until_said(second, "Ctrl-C")
    if show:
        print(f"\n# The terminal of the second start\n\n{second.log.read_text()}")
    return first.moments, second.moments


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="the Python to make the environment with")
    parser.add_argument("--beside", metavar="REVISION", help="an older commit to measure as well")
    parser.add_argument("--cached", action="store_true", help="let pip and npm use their caches")
    given = parser.parse_args()
    revisions = ["HEAD", *([given.beside] if given.beside else [])]
    measured = []
    for revision in revisions:
        with TemporaryDirectory(prefix="twin-first-start-") as name:
            clone = Path(name) / "clone"
            git = ["git", "-C", str(clone)]
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
            subprocess.run([*git, "checkout", "--quiet", "--detach", revision], check=True)
            measured.append(asyncio.run(measure(clone, given, show=revision == "HEAD")))
    table = Table(title="Seconds from `make serve` in a fresh clone", title_justify="left")
    table.add_column("until")
    for revision in revisions:
        table.add_column(revision, justify="right")
    for place, which in enumerate(("", ", second start")):
        for what in measured[0][place]:
            figures = (moments[place].get(what) for moments in measured)
            told = ("-" if one is None else f"{one:.1f}" for one in figures)
            table.add_row(f"{what}{which}", *told)
    print()
    Console(width=100).print(table)
    print(f"Python: {given.python or 'the first that make finds'}; {os.cpu_count()} cores, "
          f"{platform.machine()} {platform.system()}")  # fmt: skip


if __name__ == "__main__":
    main()
