"""Processes share the services of a folder; nothing outlives the last of them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from arq.connections import RedisSettings, create_pool
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

import embedded
from embedded.state import RunFolder
from tests.embedded.processes import User, kill, runs, wait_until

pytestmark = pytest.mark.integration

StartUser = Callable[..., User]


def pids(data_dir: Path) -> dict[str, int]:
    """The processes of a folder's services, and of its keeper."""
    found = RunFolder(data_dir).read()
    assert found is not None
    services = {name: service.pid for name, service in found.services.items() if service.pid}
    return {**services, "keeper": found.keeper_pid}


def test_processes_that_start_together_share_one_set(data_dir: Path, start_user: StartUser) -> None:
    users = [start_user(data_dir) for _ in range(4)]
    answers = {user.answer() for user in users}
    assert len(answers) == 1
    assert "error" not in answers.pop()
    started = pids(data_dir)
    assert set(started) == {"postgres", "redis", "qdrant", "keeper"}
    # Whoever goes, and however, the others keep the services.
    users[0].leave()
    users[1].kill()
    users[2].kill()
    late = start_user(data_dir)
    late.answer()
    users[3].leave()
    assert pids(data_dir) == started
    assert all(runs(pid) for pid in started.values())
    late.kill()
    wait_until(lambda: not any(runs(pid) for pid in started.values()))
    assert embedded.status(data_dir) == {}


def test_services_are_added_when_another_process_asks_for_them(
    data_dir: Path, start_user: StartUser
) -> None:
    urls = embedded.ensure(data_dir, postgres=False, qdrant=False)
    assert urls.redis_url is not None
    assert (urls.database_url, urls.migration_database_url, urls.qdrant_url) == (None, None, None)
    assert set(embedded.status(data_dir)) == {"redis"}
    before = pids(data_dir)
    assert "error" not in start_user(data_dir, ", redis=False, qdrant=False").answer()
    after = pids(data_dir)
    assert set(after) == {"keeper", "redis", "postgres"}
    assert after["redis"] == before["redis"]


def test_releasing_a_folder_stops_its_services(data_dir: Path) -> None:
    embedded.ensure(data_dir, postgres=False, qdrant=False)
    started = pids(data_dir)
    embedded.release(data_dir)
    wait_until(lambda: not any(runs(pid) for pid in started.values()))
    embedded.release(data_dir)  # does nothing


def test_terminating_the_keeper_stops_everything_in_order(data_dir: Path) -> None:
    embedded.ensure(data_dir)
    started = pids(data_dir)
    os.kill(started["keeper"], signal.SIGTERM)
    wait_until(lambda: not any(runs(pid) for pid in started.values()))
    assert "database system is shut down" in RunFolder(data_dir).log("postgres").read_text()
    # Its users are still there, and may have it back.
    assert embedded.ensure(data_dir).database_url is not None


async def test_the_roles_have_the_rights_they_should(data_dir: Path) -> None:
    urls = embedded.ensure(data_dir, redis=False, qdrant=False)
    assert urls.database_url is not None
    assert urls.migration_database_url is not None
    owner, app = (
        create_async_engine(urls.migration_database_url),
        create_async_engine(urls.database_url),
    )
    async with owner.begin() as connection:
        await connection.execute(text("CREATE TABLE things (id int)"))
    async with app.begin() as connection:
        query = text(
            "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        assert tuple((await connection.execute(query)).one()) == ("twin_app", False, False)
        await connection.execute(text("CREATE TEMPORARY TABLE mine (id int)"))
    for forbidden in ("CREATE TABLE more (id int)", "SELECT * FROM things"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with app.begin() as connection:
                await connection.execute(text(forbidden))
    await owner.dispose()
    await app.dispose()


async def test_data_survives_a_restart(data_dir: Path) -> None:
    urls = embedded.ensure(data_dir, qdrant=False)
    await write(urls)
    started = pids(data_dir)
    embedded.release(data_dir)
    wait_until(lambda: not any(runs(pid) for pid in started.values()))
    again = embedded.ensure(data_dir, qdrant=False)
    assert again == urls  # sockets keep their addresses
    await check(again)


@pytest.mark.parametrize("watcher", ["off", "on"])
def test_services_stop_in_order_once_their_keeper_is_killed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, watcher: str
) -> None:
    monkeypatch.setenv("TWIN_EMBEDDED_WATCHER", watcher)  # what systems other than Linux do
    embedded.ensure(data_dir)
    started = pids(data_dir)
    kill(started["keeper"])
    wait_until(lambda: not any(runs(pid) for pid in started.values()))
    assert "database system is shut down" in RunFolder(data_dir).log("postgres").read_text()


@pytest.mark.parametrize("watcher", ["off", "on"])
async def test_a_killed_keeper_takes_its_services_along_and_loses_nothing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, watcher: str
) -> None:
    monkeypatch.setenv("TWIN_EMBEDDED_WATCHER", watcher)
    urls = embedded.ensure(data_dir, qdrant=False)
    await write(urls)
    started = pids(data_dir)
    kill(started["keeper"])
    assert embedded.status(data_dir) == {}
    again = embedded.ensure(data_dir, qdrant=False)
    await check(again)
    assert not any(runs(pid) for pid in started.values())


async def write(urls: embedded.ServiceUrls) -> None:
    assert urls.redis_url is not None
    redis = await create_pool(RedisSettings.from_dsn(urls.redis_url))
    await redis.enqueue_job("a job")
    await redis.aclose()
    connection = await connect(urls)
    await connection.execute("CREATE TABLE kept (id int)")
    await connection.close()


async def check(urls: embedded.ServiceUrls) -> None:
    assert urls.redis_url is not None
    with Redis.from_url(urls.redis_url) as redis:
        assert redis.zcard("arq:queue") == 1
    connection = await connect(urls)
    assert await connection.fetchval("SELECT count(*) FROM kept") == 0
    await connection.close()


async def connect(urls: embedded.ServiceUrls) -> "asyncpg.Connection":
    assert urls.migration_database_url is not None
    return await asyncpg.connect(urls.migration_database_url.replace("+asyncpg", ""))


def test_a_deep_data_folder_works(tmp_path: Path) -> None:
    """Longer than any unix socket's path may be."""
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 8)
    try:
        urls = embedded.ensure(deep, qdrant=False)
        assert urls.database_url is not None
        assert str(deep) not in urls.database_url
    finally:
        embedded.release(deep)
        wait_until(lambda: not embedded.status(deep))


def test_nothing_is_printed_to_the_terminal(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    user.answer()
    _, errors = user.process.communicate("\n")
    assert not errors
