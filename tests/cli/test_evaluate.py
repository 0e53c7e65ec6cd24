"""Evaluations from the command line."""

import json
from importlib import util
from pathlib import Path

import pytest

from cli.evaluate import ProtocolChoice
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from ml.evaluation.protocols import Protocol
from tests.cli.conftest import Twin
from tests.factories import build_town

pytestmark = pytest.mark.slow


@pytest.fixture
async def place(database: Database, tenant: Tenant) -> Tenant:
    """A tenant with something to learn from."""
    await build_town(database, tenant)
    return tenant


def test_the_protocols_are_those_of_the_evaluation() -> None:
    assert [one.value for one in ProtocolChoice] == [one.value for one in Protocol]


def test_an_evaluation_prints_its_figures_and_leaves_a_page(
    twin: Twin, place: Tenant, tmp_path: Path
) -> None:
    done = twin(
        "evaluate", "--tenant", place.slug, "--protocol", "all", "--seeds", 1,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    lines = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert {"twin", "mix", "mix, unowned first", "nearest-owned", "naive recipe"} <= set(lines)
    assert done.stdout.splitlines()[-1] == f"See {tmp_path / 'out' / 'report.html'}"
    assert place.slug in (tmp_path / "out" / "report.html").read_text()


def test_json_is_all_that_is_printed(
    twin: Twin, place: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = twin("evaluate", "--tenant", place.slug, "--protocol", "all", "--seeds", 1, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert {result["protocol"] for result in found["results"]} == {"all"}
    assert found["properties"] == 60
    assert list(tmp_path.iterdir()) == []


def test_too_little_is_said_in_a_line(twin: Twin, tenant: Tenant) -> None:
    done = twin("evaluate", "--tenant", tenant.slug)
    assert done.exit_code == 1
    assert done.stderr == "twin: evaluation needs interactions; there are none\n"


def test_what_is_not_installed_is_named(
    twin: Twin, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        "cli.evaluate.find_spec", lambda name: None if name == "sklearn" else found(name)
    )
    done = twin("evaluate", "--tenant", tenant.slug)
    assert done.exit_code == 1
    assert "needs scikit-learn: pip install '.[evaluation]'" in done.stderr
