"""Training on from a version, and the report kept with one, from the command line."""

import asyncio
import json
from importlib import util
from pathlib import Path

import pytest

from domain.core.database import Database
from domain.model_registry import evaluations, model_versions
from domain.tenants.tenants import Tenant
from runtime import Runtime
from tests.cli.conftest import Twin
from tests.factories import build_town, train

pytestmark = pytest.mark.slow


@pytest.fixture
async def place(database: Database, tenant: Tenant) -> Tenant:
    """A tenant with something to learn from."""
    await build_town(database, tenant)
    return tenant


@pytest.fixture
async def trained(rt: Runtime, place: Tenant) -> Tenant:
    """A tenant with a version."""
    await train(rt, place, with_report=True)
    return place


def test_a_report_is_written_with_its_figures(twin: Twin, trained: Tenant, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    done = twin("models", "report", "--tenant", trained.slug, 1, "--out", folder)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"See {folder / 'report.html'}\n"
    assert f"{trained.slug}, version 1" in (folder / "report.html").read_text()
    assert json.loads((folder / "evaluation.json").read_text())["properties"] == 60
    assert (folder / "embeddings.png").read_bytes().startswith(b"\x89PNG")


def test_the_folder_is_that_of_the_version(
    twin: Twin, trained: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = twin("models", "report", "--tenant", trained.slug, 1, "--json")
    assert (
        str(Path("reports") / trained.slug / "1" / "report.html")
        in json.loads(done.stdout)["files"]
    )
    assert (tmp_path / "reports" / trained.slug / "1" / "report.html").exists()


async def test_a_report_that_is_missing_is_made(
    twin: Twin, database: Database, trained: Tenant, tmp_path: Path
) -> None:
    async with database.work(trained.id) as work:
        version = await model_versions.by_number(work, 1)
        version.evaluation = None
    report = ("models", "report", "--tenant", trained.slug, 1, "--out", tmp_path)
    done = await asyncio.to_thread(twin, *report)
    assert done.exit_code == 0, done.stderr
    async with database.work(trained.id) as work:
        made = await evaluations.kept(work, version.id)
    assert made == json.loads((tmp_path / "evaluation.json").read_text())


async def test_what_there_is_no_report_of_is_named(
    twin: Twin, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        await model_versions.add(work, b"weights", {}, {})
    report = ("models", "report", "--tenant", tenant.slug)
    done = await asyncio.to_thread(twin, *report, 1)
    assert done.exit_code == 1
    assert "version 1 has no report: stored twin: format is None" in done.stderr
    done = await asyncio.to_thread(twin, *report, 2)
    assert done.exit_code == 1
    assert "No such model version: 2" in done.stderr


def test_what_is_not_installed_is_named(
    twin: Twin, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        "cli.evaluate.find_spec", lambda name: None if name == "sklearn" else found(name)
    )
    done = twin("models", "report", "--tenant", tenant.slug, 1)
    assert done.exit_code == 1
    assert "twin models report needs scikit-learn: pip install '.[evaluation]'" in done.stderr


def test_training_continues_from_the_active_version_alone(twin: Twin, place: Tenant) -> None:
    done = twin("train", "--tenant", place.slug, "--warm")
    assert done.exit_code == 1
    assert "no version is active that training could continue from: train in full" in done.stderr


def test_training_on_without_anything_new_is_refused(twin: Twin, trained: Tenant) -> None:
    done = twin("train", "--tenant", trained.slug, "--warm", "--epochs", 1)
    assert done.exit_code == 1
    assert "needs at least 10 new examples; there are 0" in done.stderr
