"""The check for changes that break clients, in a repository of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from graph.schema_changes import breaking, changes, describe

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
OLD = "type Query { a: Int b(x: Int): String! }"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, schema: str, message: str) -> None:
    (folder / "schema.graphql").write_text(schema)
    git(folder, "add", "schema.graphql")
    git(folder, "commit", "-m", message)


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "graph.schema_changes", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    commit(tmp_path, OLD, "Begin")
    return tmp_path


def test_changes_are_told_apart() -> None:
    found = changes(OLD, "type Query { a: Int b(x: Int, y: Int): String c: Int }")
    assert {describe(one).split()[0] for one in found} == {"breaking", "dangerous", "safe"}
    assert [one.description for one in breaking(found)] == [
        "Field Query.b changed type from String! to String."
    ]


def test_a_first_schema_passes(repository: Path) -> None:
    done = check(repository)
    assert (done.returncode, done.stdout) == (0, "no earlier schema.graphql to compare with\n")


def test_additions_pass_and_removals_fail(repository: Path) -> None:
    commit(repository, "type Query { a: Int b(x: Int): String! c: Int }", "Add c")
    assert check(repository).returncode == 0
    commit(repository, "type Query { a: Int c: Int }", "Drop b")
    done = check(repository)
    assert done.returncode == 1
    assert "breaking  Field Query.b was removed." in done.stdout


def test_a_break_that_is_owned_up_to_passes(repository: Path) -> None:
    commit(repository, "type Query { a: Int }", "Drop b\n\nBREAKING CHANGE: nobody asked for it")
    done = check(repository)
    assert done.returncode == 0
    assert "1 of them breaking" in done.stdout


def test_a_release_is_what_is_compared_with(repository: Path) -> None:
    git(repository, "tag", "v1")
    commit(repository, "type Query { a: Int }", "Drop b")
    commit(repository, "type Query { a: Int c: Int }", "Add c")
    assert check(repository).returncode == 1
    assert check(repository, "HEAD").returncode == 0


def test_what_cannot_be_read_is_no_first_schema(repository: Path, tmp_path: Path) -> None:
    done = check(repository, "v1.typo")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: cannot read schema.graphql at v1.typo\n"
    commit(repository, OLD + " type A { a: Int }", "Add A")
    git(repository, "commit", "--allow-empty", "-m", "Something else")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(shallow))
    done = check(shallow)
    assert done.returncode == 1
    assert "shallow" in done.stderr
