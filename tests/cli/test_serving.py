"""The server's processes: started together, stopped together."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from cli.serving import sole_server, usable_port
from cli.supervision import ServingError
from tests.cli.conftest import StartTwin


def wait_until(wanted: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 150
    while not wanted():
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain: {what}")
        time.sleep(0.1)


def wait_for_children(process: psutil.Popen, count: int) -> list[psutil.Process]:
    wait_until(lambda: len(process.children()) == count, f"{count} children")
    return process.children()


def of_folder(folder: Path) -> list[psutil.Process]:
    """The processes whose command line names the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended; an ended one may wait for a slow init to take note of it."""
    found = []
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            if one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


def requests_counted(port: str) -> float:
    """Of a server's page of metrics, whichever of its processes answers."""
    page = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    (line,) = (one for one in page.splitlines() if one.startswith("twin_requests_total"))
    return float(line.split()[-1])


def test_serve_until_ctrl_c(start_twin: StartTwin, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    log = tmp_path / "out.log"
    server = start_twin("serve", "--no-sample", "--workers=2", PORT=port)
    wait_until(lambda: "is ready" in log.read_text() or server.poll() is not None, "the banner")
    assert server.poll() is None, log.read_text()
    assert f"http://127.0.0.1:{port}/graphql" in log.read_text()
    ready = httpx.get(f"http://127.0.0.1:{port}/readyz")
    assert ready.status_code == 200, ready.text
    # Each on a connection of its own, which either of the two processes may take.
    for _ in range(8):
        httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": "{ __typename }"})
    assert {requests_counted(port) for _ in range(8)} == {8.0}
    family = server.children(recursive=True)
    assert len(server.children()) == 3
    assert of_folder(tmp_path / "data")

    taken = start_twin("serve", "--no-sample", PORT=port)
    again = start_twin("serve", "--no-sample", PORT="0")
    assert (taken.wait(60), again.wait(60)) == (1, 1)
    said = log.read_text()
    assert f"port {port} of 127.0.0.1 is taken by process" in said
    assert f"another server runs on {tmp_path / 'data'} (process {server.pid})" in said

    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 0
    assert alive(family) == []
    wait_until(lambda: not of_folder(tmp_path / "data"), "the end of the services")
    assert "Traceback" not in log.read_text()


def test_a_killed_supervisor_leaves_nothing_behind(start_twin: StartTwin, tmp_path: Path) -> None:
    supervisor = start_twin("worker")
    children = wait_for_children(supervisor, 2)
    log = tmp_path / "out.log"
    wait_until(lambda: log.read_text().count("Starting worker") == 2, "both workers")
    supervisor.kill()
    supervisor.wait()

    wait_until(lambda: not alive(children), "the children's end")
    wait_until(lambda: not of_folder(tmp_path / "data"), "the end of the services")


def test_processes_that_start_together_migrate_in_turn(
    start_twin: StartTwin, tmp_path: Path
) -> None:
    together = [start_twin("migrate") for _ in range(3)]

    assert [one.wait(120) for one in together] == [0, 0, 0], (tmp_path / "out.log").read_text()


def test_a_taken_port_is_refused_by_the_name_of_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ServingError, match=f"port {port} .*process {os.getpid()} .*set PORT"):
            usable_port("127.0.0.1", port)
    assert usable_port("127.0.0.1", port) == port
    assert usable_port("127.0.0.1", 0) > 0


def test_a_folder_has_one_server(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with (
        sole_server(folder),
        pytest.raises(ServingError, match=rf"{folder} \(process {os.getpid()}\).*DATA_DIR"),
        sole_server(folder),
    ):
        raise AssertionError("not reached")
    with sole_server(folder):
        pass
