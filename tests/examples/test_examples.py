"""The examples, run as a reader would run them, against a server of its own process."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from domain.contract.vocabulary import Role
from graph.identity.tokens import mint
from runtime import Services
from settings import Settings
from tests.conformance.servers import own_server
from tests.factories import Town

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
TYPESCRIPT = EXAMPLES / "typescript"


@pytest.fixture(scope="module")
def environment(
    settings: Settings, services: Services, service_environment: dict[str, str], town: Town
) -> Iterator[dict[str, str]]:
    """Where the server is, and a token for an investor with a history."""
    token = mint(
        services.jwt_secret, town.tenant.id, town.southerners[0], [Role.ANALYST], timedelta(hours=1)
    )
    with own_server(settings.data_dir, settings=service_environment) as server:
        yield os.environ | {"URL": server.url, "TOKEN": token}


def run(environment: dict[str, str], *command: str, folder: Path = EXAMPLES) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl(environment: dict[str, str]) -> None:
    answer = json.loads(run(environment, "curl/recommend.sh"))
    edges = answer["data"]["recommendations"]["edges"]
    assert [edge["node"]["rank"] for edge in edges] == list(range(1, 11))


def test_python(environment: dict[str, str]) -> None:
    printed = run(environment, sys.executable, "python/recommend.py").splitlines()
    assert len(printed) == 12
    assert printed[-1] == "After a thumb down, the first is gone."


@pytest.mark.skipif(
    not (TYPESCRIPT / "node_modules/.installed").exists(), reason="run `make examples` first"
)
def test_typescript(environment: dict[str, str]) -> None:
    programs = "node_modules/.bin"
    run(
        environment,
        "node",
        f"{programs}/graphql-codegen",
        "--config=codegen.json",
        folder=TYPESCRIPT,
    )
    run(environment, "node", f"{programs}/tsc", folder=TYPESCRIPT)
    printed = run(environment, "node", "build/main.js", folder=TYPESCRIPT).splitlines()
    assert printed[-1] == "After a thumb down, the first is gone."
    live = ["node", "--experimental-websocket", "build/live.js"]
    printed = run(environment | {"SECONDS": "2"}, *live, folder=TYPESCRIPT).splitlines()
    assert printed[0] == "SUBSCRIBED"
    assert len(printed) == 6
