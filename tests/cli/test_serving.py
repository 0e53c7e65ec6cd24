"""The server's processes: started together, stopped together."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis
from typer.testing import CliRunner

import embedded
import runtime
from cli import app
from cli.first_start import INVESTOR, SLUG
from cli.serving import sole_server, usable_port
from cli.supervision import ServingError
from domain.tenants import policies, tenants
from jobs.queue.queue import INDEXING_QUEUE, TRAINING_QUEUE
from settings import Settings
from tests.cli.conftest import StartTwin, small_sample, twin_processes

pytestmark = pytest.mark.slow


def wait_until(wanted: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 150
    while not wanted():
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain: {what}")
        time.sleep(0.1)


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
    page = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    (line,) = (one for one in page.splitlines() if one.startswith("twin_requests_total"))
    return float(line.split()[-1])


@dataclass(frozen=True)
class Running:
    """A running ``twin serve`` or ``twin worker`` on a folder of its own."""

    process: psutil.Popen
    port: str
    folder: Path
    log: Path

    @property
    def said(self) -> str:
        """What it printed so far, and its parts where they have no logs."""
        return self.log.read_text()

    def logged(self, part: str) -> str:
        """What the log of a part says so far."""
        log = self.folder / "run" / f"{part}.log"
        return log.read_text() if log.exists() else ""


def load_small_sample(data_dir: Path) -> None:
    """Load a sample into the folder's own services, which run on until they are released."""
    found = runtime.services(Settings(_env_file=None, data_dir=data_dir))

    async def load() -> None:
        async with runtime.connect_database(found) as (database, _, _):
            await small_sample(database)
            async with database.work(None) as work:
                tenant = await tenants.by_slug(work, SLUG)
            async with database.work(tenant.id) as work:
                # One epoch on few investors makes no good twin.
                await policies.change(work, dict.fromkeys(("least_f1", "least_accuracy"), 0.0))
                await policies.change(work, {"ndcg_tolerance": 1, "least_approvals": 1})

    runtime.migrate(found)
    asyncio.run(load())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server of two processes for the tests that follow one another; the last stops it."""
    folder = tmp_path_factory.mktemp("served")
    data_dir = folder / "data"
    log = folder / "out.log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with ExitStack() as until_served, twin_processes(folder) as start:
        until_served.callback(embedded.release, data_dir)
        load_small_sample(data_dir)
        process = start("serve", "--workers=2", PORT=port)
        found = Running(process, port, data_dir, log)
        wait_until(lambda: "is ready" in found.said or process.poll() is not None, "the banner")
        assert process.poll() is None, found.said
        # From here on the server alone keeps the services up.
        until_served.close()
        yield found


def test_serve_answers_from_all_its_processes(served: Running) -> None:
    assert f"http://127.0.0.1:{served.port}/graphql" in served.said
    ready = httpx.get(f"http://127.0.0.1:{served.port}/readyz", timeout=60)
    assert ready.status_code == 200, ready.text
    # Each on a connection of its own, which either of the two processes may take.
    for _ in range(8):
        httpx.post(
            f"http://127.0.0.1:{served.port}/graphql", json={"query": "{ __typename }"}, timeout=60
        )
    assert {requests_counted(served.port) for _ in range(8)} == {8.0}
    assert len(served.process.children()) == 3
    assert of_folder(served.folder)


def test_the_terminal_gets_five_lines(served: Running) -> None:
    wait_until(lambda: "of the twin answers now" in served.said, "the first training")
    starting, ready, signed_in, stop, *training = served.said.splitlines()
    assert starting == (
        "Portfolio Twin is starting PostgreSQL, Redis, Qdrant, the API and its workers; "
        f"logs: {served.folder}/run/*.log"
    )
    url = f"http://127.0.0.1:{served.port}"
    assert ready == f"Portfolio Twin is ready: {url}/graphql (health: /healthz, /readyz)"
    assert signed_in.startswith("GraphiQL is signed in as a simulated investor. For a token: ")
    assert signed_in.endswith(f" token --tenant {SLUG} --user {INVESTOR}")
    assert stop == "To stop: Ctrl-C"
    # Without a terminal to draw a bar on, it says how far it got now and then.
    assert training[-1] == "Training: version 1 of the twin answers now"
    assert all(line.startswith("Training: ") for line in training)


def test_what_the_processes_log_goes_to_files(served: Running) -> None:
    assert "Uvicorn running" in served.logged("api")
    for name in ("indexing-worker", "training-worker"):
        assert "Starting worker" in served.logged(name)


def test_a_second_server_is_refused(served: Running) -> None:
    with twin_processes(served.log.parent) as start:
        taken = start("serve", "--no-sample", PORT=served.port)
        again = start("serve", "--no-sample", PORT="0")
        assert (taken.wait(150), again.wait(150)) == (1, 1)
    assert f"port {served.port} of 127.0.0.1 is taken by process" in served.said
    another = f"another server runs on {served.folder} (process {served.process.pid})"
    assert another in served.said


def test_a_killed_part_is_started_again_and_named(served: Running) -> None:
    starts = served.logged("training-worker").count("Starting worker")
    parts = served.process.children()
    (training,) = (one for one in parts if "--queue=training" in one.cmdline())
    training.kill()

    wait_until(
        lambda: served.logged("training-worker").count("Starting worker") == starts + 1,
        "another worker",
    )
    assert "twin: the training worker ended by itself (signal SIGKILL; " in served.said
    assert "it is started again in 0.5 s" in served.said
    again = {one.pid for one in served.process.children()}
    assert len(again) == 3
    assert training.pid not in again


def test_ctrl_c_stops_the_server_with_all_that_it_started(served: Running) -> None:
    family = served.process.children(recursive=True)
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(150) == 0
    assert alive(family) == []
    wait_until(lambda: not of_folder(served.folder), "the end of the services")
    assert "Traceback" not in served.said


def both_work(folder: Path) -> bool:
    """Whether both workers have started and look into their queues."""
    found = embedded.status(folder).get("redis")
    if found is None or not found.urls:
        return False
    with Redis.from_url(found.urls["redis_url"]) as redis:
        names = [f"{queue}:health-check" for queue in (INDEXING_QUEUE, TRAINING_QUEUE)]
        return bool(redis.exists(*names) == len(names))


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One ``twin worker`` for the tests that follow one another; the last of them kills it."""
    folder = tmp_path_factory.mktemp("workers")
    with twin_processes(folder) as start:
        found = Running(start("worker"), "", folder / "data", folder / "out.log")
        wait_until(lambda: both_work(found.folder), "both workers")
        yield found


def test_services_whose_keeper_was_killed_come_back_where_they_were(workers: Running) -> None:
    before = embedded.status(workers.folder)
    (keeper,) = (one for one in of_folder(workers.folder) if "embedded.keeper" in one.cmdline())
    keeper.kill()

    def are_back() -> bool:
        now = embedded.status(workers.folder)
        return now.keys() == before.keys() and all(
            one.urls and one.pid != before[name].pid for name, one in now.items()
        )

    wait_until(are_back, "the services")
    after = embedded.status(workers.folder)
    assert {one.name: one.urls for one in after.values()} == {
        one.name: one.urls for one in before.values()
    }
    assert "twin: the services' keeper is gone; they are started again" in workers.said


def test_a_killed_supervisor_leaves_nothing_behind(workers: Running) -> None:
    children = workers.process.children()
    assert len(children) == 2
    workers.process.kill()
    workers.process.wait()

    wait_until(lambda: not alive(children), "the children's end")
    wait_until(lambda: not of_folder(workers.folder), "the end of the services")


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


def test_a_folder_that_cannot_be_used_is_named_without_being_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a\x1b[31mb"
    folder.mkdir()
    (folder / "run").touch()
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "REDIS_URL", "QDRANT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(folder))
    monkeypatch.setenv("PORT", "0")
    refused = CliRunner().invoke(app, ["serve"], prog_name="twin")
    assert refused.exit_code == 1
    assert f"{tmp_path}/a\\x1b[31mb/run/*.log" in refused.stdout
    assert refused.stderr.startswith("twin: ")
    assert "\x1b" not in refused.output
