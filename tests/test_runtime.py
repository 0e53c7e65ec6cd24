"""How processes find their services and secret."""

import subprocess
import sys
from pathlib import Path

import pytest

import runtime
from settings import Settings, SettingsError, load

URLS = {
    "DATABASE_URL": "postgresql+asyncpg://app@db/twin",
    "REDIS_URL": "redis://redis:6379",
    "QDRANT_URL": "http://qdrant:6334",
}


@pytest.mark.integration
def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    # They are forked once all is imported, so that they come as close together as can be.
    code = (
        "import multiprocessing, pathlib, sys, runtime\n"
        "folders = [pathlib.Path(sys.argv[1])] * 4\n"
        "with multiprocessing.get_context('fork').Pool(4) as pool:\n"
        "    print(*pool.map(runtime._development_secret, folders, chunksize=1))"
    )
    root = Path(runtime.__file__).parent
    told = subprocess.run(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True, cwd=root,
        check=True,
    )  # fmt: skip
    found = set(told.stdout.split())
    assert len(told.stdout.split()) == 4
    assert len(found) == 1
    assert len(found.pop()) >= 32
    assert (tmp_path / "jwt_secret").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["jwt_secret"]


def test_production_starts_nothing_and_makes_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    missing = {**URLS, "JWT_SECRET": "s" * 32}
    while missing:
        with pytest.raises(SettingsError) as refused:
            load()
        assert all(name in str(refused.value) for name in missing)
        name, value = missing.popitem()
        monkeypatch.setenv(name, value)
    found = runtime.services(load())
    assert not found.embedded
    assert found.jwt_secret == "s" * 32
    assert not (tmp_path / "data").exists()


OIDC = {"OIDC_ISSUER": "https://issuer.example/", "OIDC_AUDIENCE": "api"}


def test_an_issuer_does_for_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (URLS | OIDC | {"ENVIRONMENT": "production"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OIDC_ALGORITHMS", "ES256, RS256")
    found = load()
    assert found.oidc_algorithms == ("ES256", "RS256")
    assert runtime.services(found).jwt_secret == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"JWT_SECRET": "s" * 32}, "not both"),
        ({"OIDC_AUDIENCE": ""}, "needs OIDC_AUDIENCE"),
        ({"OIDC_ISSUER": ""}, "need OIDC_ISSUER"),
        ({"OIDC_ISSUER": "issuer.example"}, "https://"),
        ({"OIDC_ISSUER": "http://issuer.example", "ENVIRONMENT": "production"} | URLS, "https://"),
        ({"OIDC_JWKS_URL": "http://x/keys", "ENVIRONMENT": "production"} | URLS, "OIDC_JWKS_URL"),
        ({"OIDC_ALGORITHMS": "RS256,HS256"}, "OIDC_ALGORITHMS"),
        ({"OIDC_ALGORITHMS": "none"}, "OIDC_ALGORITHMS"),
        ({"TOKEN_CLOCK_SKEW": "-1"}, "TOKEN_CLOCK_SKEW"),
        ({"DATABASE_DIRECT_URL": "postgresql+asyncpg://app@db/twin"}, "needs DATABASE_URL"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (OIDC | changes).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says):
        load()


def test_a_short_secret_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_SECRET", "short")
    monkeypatch.setenv("PORT", "99999")
    with pytest.raises(SettingsError, match=r"PORT: .*65535.*JWT_SECRET: .*32"):
        load()


def test_migrations_need_the_owner(services: runtime.Services) -> None:
    found = runtime.Services(services.database_url, None, "", "", "", embedded=False)
    with pytest.raises(SettingsError, match="MIGRATION_DATABASE_URL"):
        runtime.migrate(found)


@pytest.mark.integration
def test_settings_are_frozen(settings: Settings) -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # what is tested
