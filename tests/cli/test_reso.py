"""The import of a RESO Web API from the command line."""

import asyncio
import json
import os
import signal
import sys
from uuid import uuid4

import pytest

from domain.tenants.tenants import Tenant
from tests.cli.conftest import ROOT, Twin
from tests.reso_server import CLIENT_ID, CLIENT_SECRET, ResoServer, answer, record, reso_host

URL = "https://api.example.com/odata/Property"


@pytest.mark.parametrize(
    ("url", "environment", "problem"),
    [
        (URL, {}, "set RESO_TOKEN, or RESO_CLIENT_ID"),
        (URL, {"RESO_CLIENT_ID": "me"}, "RESO_CLIENT_SECRET and RESO_TOKEN_URL go together"),
        ("http://api.example.com/Property", {"RESO_TOKEN": "hunter2"}, "localhost alone"),
        (f"{URL}?access_token=hunter2", {"RESO_TOKEN": "hunter2"}, "from the environment"),
        (
            URL,
            {
                "RESO_CLIENT_ID": "me",
                "RESO_CLIENT_SECRET": "hunter2",
                "RESO_TOKEN_URL": "http://example.com/token",
            },
            "RESO_TOKEN_URL: use https://",
        ),
    ],
)
def test_a_feed_that_cannot_be_asked_for_is_refused(
    twin: Twin,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    environment: dict[str, str],
    problem: str,
) -> None:
    slug = f"firm-{uuid4().hex[:12]}"
    twin("tenants", "create", slug)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    refused = twin("import", "reso", url, "--tenant", slug)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert problem in refused.stderr.splitlines()[-1]
    assert "hunter2" not in refused.stderr


async def test_what_was_loaded_before_a_refusal_is_reported(
    twin: Twin, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reso_host() as host:
        server = host.fresh()
        server.records = [record(60 * number) for number in range(25)]
        server.records[12] |= {"StandardStatus": "Active", "BedroomsTotal": "many"}
        server.records[22]["ListingKey"] = ""
        server.faults = {3: answer({}, 403)}
        monkeypatch.setenv("RESO_TOKEN", server.token)
        command = ("import", "reso", server.url, "--tenant", tenant.slug, "--page-size", 10)
        refused = await asyncio.to_thread(twin, *command, "--rate", 100)
        resumed = await asyncio.to_thread(twin, *command, "--rate", 100)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("20 rows read: 20 new, ")
    assert "listing_status <- StandardStatus\n" in refused.stderr
    assert "line 13 'many'" in refused.stderr
    assert "status 403" in refused.stderr.splitlines()[-1]
    assert resumed.exit_code == 1
    assert resumed.stdout.startswith("5 rows read: 4 new, 0 changed, 0 unchanged, 1 skipped\n")
    assert "1 page, resumed\n" in resumed.stdout


@pytest.mark.slow
async def test_a_killed_run_goes_on_where_it_stopped(
    service_environment: dict[str, str], tenant: Tenant
) -> None:
    async def twin(url: str, server: ResoServer, *, killed_at: int = 0) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "import", "reso", url, "--tenant", tenant.slug,
            "--page-size=10", "--rate=100", "--json",
            cwd=ROOT,
            env=os.environ
            | service_environment
            | {
                "JOB_LEASE": "0.5",
                "RESO_CLIENT_ID": CLIENT_ID,
                "RESO_CLIENT_SECRET": CLIENT_SECRET,
                "RESO_TOKEN_URL": f"http://{server.address}/token",
            },
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip

        async def kill(_: object) -> None:
            process.send_signal(signal.SIGKILL)
            await process.wait()

        if killed_at:
            server.faults[killed_at] = kill
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async with reso_host() as host:
        server = host.fresh()
        server.records = [record(number) for number in range(25)]
        assert await twin(server.url, server, killed_at=3) == (-signal.SIGKILL, "")
        code, printed = await twin(server.url, server)
    report = json.loads(printed)
    assert (code, report["resumed"], report["pages"]) == (0, True, 1)
    assert (report["rows"]["inserted"], report["rows"]["unchanged"]) == (5, 0)
    assert CLIENT_SECRET not in printed


async def test_a_run_is_one_import_and_is_undone_as_one(
    twin: Twin, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = ("--tenant", tenant.slug)

    def run(*command: object) -> str:
        result = twin("import", *command, *of, "--json")
        assert result.exit_code == 0, result.output
        return result.stdout

    async with reso_host() as host:
        server = host.fresh()
        server.records = [record(60 * number) for number in range(25)]
        monkeypatch.setenv("RESO_TOKEN", server.token)
        for city in ("Kent", "Renton"):
            server.records = [one | {"City": city} for one in server.records]
            command = ("reso", server.url, "--full", "--page-size", 10, "--rate", 100)
            await asyncio.to_thread(run, *command)
    second, first = json.loads(await asyncio.to_thread(run, "list"))
    assert (first["counts"]["inserted"], second["counts"]["updated"]) == (25, 25)
    assert (first["source"], first["sha256"]) == (second["source"], None)
    undone = json.loads(await asyncio.to_thread(run, "undo"))
    assert (undone["properties_reverted"], undone["left"]) == (25, [])
    undone = json.loads(await asyncio.to_thread(run, "undo"))
    assert (undone["properties_removed"], undone["left"]) == (25, [])
