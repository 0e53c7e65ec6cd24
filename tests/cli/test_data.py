"""Imports, tenants, users and tokens from the command line."""

import json
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import jwt
import pytest

import runtime
from cli import imports
from cli.console import progress
from domain.imports.formats import FormatName
from tests.cli.conftest import Twin

PROPERTIES = "id,price,bedrooms\nhouse-1,350000,3\nhouse-2,420000,4\n"
ACTS = (
    "property,user,kind,occurred_at\n"
    "house-1,ann@example.com,VIEW,2024-05-01T09:30:00Z\n"
    "house-2,bob,SAVE,2024-05-02T09:30:00Z\n"
)


@pytest.fixture
def slug(twin: Twin) -> str:
    """A new tenant."""
    slug = f"firm-{uuid4().hex[:12]}"
    created = twin("tenants", "create", slug, "--name", "The Firm")
    assert created.exit_code == 0, created.output
    return slug


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_from_files_to_a_token(
    twin: Twin, slug: str, tmp_path: Path, services: runtime.Services
) -> None:
    houses = write(tmp_path / "houses.csv", PROPERTIES)
    acts = write(tmp_path / "acts.csv", ACTS)

    imported = twin(
        "import", "properties", houses, "--tenant", slug,
        "--map", "external_id=id", "--map", "listing_price=price", "--set", "state=WA",
    )  # fmt: skip
    assert imported.stdout.startswith("2 rows read: 2 new, 0 changed")
    assert imported.exit_code == 0
    imported = twin("import", "interactions", acts, "--tenant", slug, "--create-users")
    assert "2 users created" in imported.stdout

    listed = twin("users", "list", "--tenant", slug).stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == ["ann@example.com", "bob"]
    assert listed[0].endswith("\tann@example.com")
    assert f"{slug}\tThe Firm" in twin("tenants", "list").stdout.splitlines()

    for user in ("ANN@example.com", "bob"):
        printed = twin("token", "--tenant", slug, "--user", user).stdout
        token = printed.removesuffix("\n")
        assert len(token.split()) == 1
        claims = jwt.decode(token, services.jwt_secret, ["HS256"])
        # The user's role in the tenant counts, whatever it is made later.
        assert "roles" not in claims


@pytest.mark.parametrize(("options", "role"), [((), "viewer"), (("--role", "analyst"), "analyst")])
def test_created_users_are_viewers_unless_a_role_is_given(
    twin: Twin, slug: str, tmp_path: Path, options: tuple[str, ...], role: str
) -> None:
    houses = write(tmp_path / "houses.csv", "external_id\nhouse-1\nhouse-2\n")
    twin("import", "properties", houses, "--tenant", slug)
    acts = ("import", "interactions", write(tmp_path / "acts.csv", ACTS), "--tenant", slug)
    assert twin(*acts, "--create-users", *options).exit_code == 0
    listed = twin("users", "list", "--tenant", slug).stdout.splitlines()
    assert [line.split("\t")[:2] for line in listed] == [["ann@example.com", role], ["bob", role]]


def test_results_are_json_for_programs(twin: Twin, tmp_path: Path) -> None:
    slug, name = f"firm-{uuid4().hex[:12]}", "Firm\x1b[31m \u202eÓ\nx"

    def read(*arguments: object) -> Any:
        result = twin(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.isascii()
        return json.loads(result.stdout)

    made = read("tenants", "create", slug, "--name", name)
    assert made in read("tenants", "list")
    assert (made["slug"], made["name"]) == (slug, name)
    of = ("--tenant", slug)
    user = read("users", "upsert", *of, "ann", "--name", "Ann\tB\x9b", "--role", "admin")
    assert user.pop("outcome") == "created"
    assert read("users", "list", *of) == [user]
    assert (user["name"], user["email"], user["role"]) == ("Ann\tB\x9b", None, "admin")
    assert datetime.fromisoformat(user["created_at"]) > datetime.fromisoformat(made["created_at"])

    rules = read("tenants", "policy", *of, "--set", "train_after=7")
    assert (rules["train_after"], rules["least_f1"]) == (7, 0.6)
    assert read("tenants", "policy", *of) == rules
    signed = read("token", *of, "--user", "ann", "--hours", 1)
    claims = jwt.decode(signed["token"], options={"verify_signature": False})
    assert datetime.fromisoformat(signed["expires_at"]).timestamp() == claims["exp"]

    houses = write(tmp_path / "houses.csv", "external_id,bedrooms\nhouse-1,3 bd\nhouse-2,many\n")
    report = read("import", "properties", houses, *of)
    assert (report["read"], report["inserted"], report["skipped"]) == (2, 2, 0)
    assert report["mapping"] == {"external_id": "external_id", "bedrooms": "bedrooms"}
    assert report["changed"] == {
        "bedrooms: number in another notation": {
            "count": 1, "examples": [{"line": 2, "given": "3 bd", "value": "3.0"}],
        }
    }  # fmt: skip
    assert report["ignored"]["bedrooms: not a whole number"]["count"] == 1
    acts = write(tmp_path / "acts.csv", ACTS)
    report = read("import", "interactions", acts, *of, "--create-users")
    assert (report["inserted"], report["users_created"]) == (2, 2)
    assert read("migrate") == {"revision": runtime.latest_revision()}

    refused = twin("users", "list", "--tenant", "nobody", "--json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "twin: No such tenant: 'nobody'.\n"


def test_a_truncated_file_is_refused(twin: Twin, slug: str, tmp_path: Path) -> None:
    of = ("--tenant", slug)
    full = write(tmp_path / "full.csv", "external_id\n" + "".join(f"D{n}\n" for n in range(100)))
    assert twin("import", "properties", full, *of).exit_code == 0
    cut = ("import", "properties", write(tmp_path / "cut.csv", "external_id\nD0\n"), *of)
    refused = twin(*cut, "--delete-missing")
    assert refused.exit_code != 0
    assert refused.stdout == ""
    assert "99 of 100 properties (99%) would be deleted" in refused.stderr
    wrong = twin(*cut, "--delete-at-most", "5")
    assert wrong.exit_code == 2
    assert twin(*cut, "--delete-missing", "--delete-at-most", "most").exit_code == 2
    allowed = twin(*cut, "--delete-missing", "--delete-at-most", "99%")
    assert "99 properties deleted" in allowed.stdout


def test_an_import_is_listed_and_undone(twin: Twin, slug: str, tmp_path: Path) -> None:
    of = ("--tenant", slug)
    houses = write(tmp_path / "houses.csv", "external_id,bedrooms\nA,1\nB,1\n")
    twin("import", "properties", houses, *of)
    write(houses, "external_id,bedrooms\nA,2\n,3\n")
    report = json.loads(twin("import", "properties", houses, *of, "--json").stdout)
    listed = json.loads(twin("import", "list", *of, "--json").stdout)
    assert listed[0]["id"] == report["import_id"]
    assert [one["counts"]["inserted"] for one in listed] == [0, 2]
    assert listed[0]["source"] == "houses.csv"
    assert listed[0]["actor"].startswith("cli:")
    lines = twin("import", "list", *of).stdout.splitlines()
    assert [line.split("\t")[3:8] for line in lines] == [
        ["0", "1", "0", "1", "-"],
        ["2", "0", "0", "0", "-"],
    ]
    undone = twin("import", "undo", *of)
    assert undone.stdout.splitlines()[1:] == ["1 properties with their previous values"]
    undone = json.loads(twin("import", "undo", *of, listed[1]["id"], "--json").stdout)
    assert (undone["properties_removed"], undone["left"], undone["left_by_reason"]) == (2, [], {})
    refused = twin("import", "undo", *of, listed[1]["id"])
    assert refused.exit_code != 0
    assert "was undone at" in refused.stderr
    assert all(one["undone_at"] for one in json.loads(twin("import", "list", *of, "--json").stdout))


def test_names_do_not_break_lines(twin: Twin) -> None:
    slug = f"firm-{uuid4().hex[:12]}"
    twin("tenants", "create", slug, "--name", "Firm\x1b[31m\u202e\nx")
    assert f"{slug}\tFirm\\x1b[31m\\u202e\\nx" in twin("tenants", "list").stdout.splitlines()
    made = twin("users", "upsert", "--tenant", slug, "an\tn", "--name", "\x9b2J\u2028y")
    assert made.stdout == "an\\tn\tviewer\tcreated\n"
    listed = twin("users", "list", "--tenant", slug).stdout
    assert listed == "an\\tn\tviewer\t\\x9b2J\\u2028y\t-\n"
    refused = twin("token", "--tenant", slug, "--user", "\u202eann\x1b")
    assert (refused.exit_code, "\\u202eann\\x1b" in refused.stderr) == (1, True)
    assert "\x1b" not in refused.stderr


def test_a_token_of_a_service_names_what_it_may_call(
    twin: Twin, slug: str, services: runtime.Services
) -> None:
    service = ("token", "--tenant", slug, "--service", "crm", "--operations")
    printed = twin(*service, "upsertProperties, properties").stdout.strip()
    claims = jwt.decode(printed, services.jwt_secret, ["HS256"])
    assert (claims["sub"], claims["roles"]) == ("crm", ["analyst"])
    assert claims["operations"] == ["properties", "upsertProperties"]

    for arguments, problem in (
        ((*service, "properties,frobs"), "'frobs' is no root field"),
        (service[:-1], "go together"),
        ((*service, "me", "--user", "bob"), "one of them"),
        (("token", "--tenant", slug), "one of them"),
    ):
        refused = twin(*arguments)
        assert refused.exit_code == 2
        assert problem in " ".join(refused.stderr.replace("│", " ").split())


def test_the_first_admin_is_made_here(twin: Twin, slug: str) -> None:
    upsert = ("users", "upsert", "--tenant", slug, "ann")
    made = twin(*upsert, "--email", "ann@example.com", "--role", "admin")
    assert made.stdout == "ann\tadmin\tcreated\n"
    assert twin(*upsert, "--name", "Ann").stdout == "ann\tadmin\tupdated\n"
    for arguments, problem in (
        (("--email", "nobody"), "email 'nobody': not an e-mail address"),
        (("--no-active",), "last active admin"),
        (("--role", "owner"), "owner"),
    ):
        refused = twin(*upsert, *arguments)
        assert refused.exit_code in (1, 2)
        assert problem in refused.stderr


def test_tokens_of_an_issuer_are_not_made_here(
    twin: Twin, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OIDC_ISSUER", "https://issuer.example")
    monkeypatch.setenv("OIDC_AUDIENCE", "api")
    refused = twin("token", "--tenant", slug, "--user", "bob")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("twin: OIDC_ISSUER")


def test_a_tenant_can_be_made_by_its_first_import(twin: Twin, tmp_path: Path) -> None:
    slug = f"firm-{uuid4().hex[:12]}"
    bad = write(tmp_path / "bad.csv", "external_id,latitude\nhouse-1,91\n")
    arguments = ("--tenant", slug, "--create-tenant")
    refused = twin("import", "properties", bad, *arguments, "--strict")
    assert refused.exit_code == 2
    assert slug not in twin("tenants", "list").stdout

    houses = write(tmp_path / "houses.csv", PROPERTIES)
    renamed = ("--map", "external_id=id", "--map", "listing_price=price")
    for counts in ("2 new, 0 changed, 0 unchanged", "0 new, 0 changed, 2 unchanged"):
        imported = twin("import", "properties", houses, *arguments, *renamed)
        assert counts in imported.stdout
    assert f"{slug}\t{slug}" in twin("tenants", "list").stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("users", "list", "--tenant", "nobody"), 1, "nobody"),
        (("users", "list", "--tenant", "\udcff"), 1, "surrogates not allowed"),
        (("tenants", "policy", "--tenant", "\udcff"), 1, "surrogates not allowed"),
        (("token", "--tenant", "{slug}", "--user", "nobody"), 1, "nobody"),
        (("tenants", "create", "No Slug"), 1, "No Slug"),
        (("tenants", "create", "{slug}"), 1, "taken"),
        (("import", "properties", "/nope.csv", "--tenant", "{slug}"), 2, "/nope.csv"),
        (("import", "properties", "x", "--tenant", "{slug}", "--map", "price"), 2, "FIELD=COLUMN"),
        (
            ("import", "properties", "x", "--tenant", "{slug}", "--value", "city=1"),
            2,
            "FIELD:WORD=VALUE",
        ),
        (("import", "frobs", "x"), 2, "frobs"),
        (
            ("import", "interactions", "x", "--tenant", "{slug}", "--role", "analyst"),
            2,
            "--create-users",
        ),
        (
            ("import", "interactions", "x", "--tenant", "{slug}", "--create-users", "--role=owner"),
            2,
            "'owner' is not one of",
        ),
        (("reindex", "--tenant", "{slug}"), 1, "twin train --tenant"),
        (("train", "--tenant", "{slug}"), 1, "too little to train from"),
        (("train", "--tenant", "{slug}", "--epochs", "0"), 1, "epochs must be at least 1"),
        (("train", "--tenant", "{slug}", "--device", "abacus"), 1, "abacus"),
    ],
)
def test_errors_are_one_line_on_stderr(
    twin: Twin, slug: str, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    result = twin(*(one.replace("{slug}", slug) for one in arguments))

    assert result.exit_code == code
    assert result.stdout == ""
    assert problem in result.stderr
    assert "Traceback" not in result.stderr
    assert "sqlalchemy" not in result.stderr
    if code == 1:
        last = result.stderr.splitlines()[-1]
        assert last.startswith("twin: ")
        assert problem in last


def test_an_import_can_make_its_tenant(twin: Twin, tmp_path: Path) -> None:
    slug = f"firm-{uuid4().hex[:12]}"
    houses = write(tmp_path / "houses.csv", "external_id\na\n")

    assert "No such tenant" in twin("import", "properties", houses, "--tenant", slug).stderr
    for new in (1, 0):
        made = twin("import", "properties", houses, "--tenant", slug, "--create-tenant")
        assert made.stdout.startswith(f"1 rows read: {new} new")


def test_a_strict_import_reports_and_loads_nothing(twin: Twin, slug: str, tmp_path: Path) -> None:
    houses = write(tmp_path / "houses.csv", "external_id,bedrooms\na,3\nb,many\n")

    result = twin("import", "properties", houses, "--tenant", slug, "--strict")
    assert result.exit_code == 2
    assert "'many'" in result.stderr
    assert "0 of 2 rows and 1 values of others are bad" in result.stderr.splitlines()[-1]

    again = twin("import", "properties", houses, "--tenant", slug)
    assert again.stdout.startswith("2 rows read: 2 new, 0 changed, 0 unchanged, 0 skipped")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("external_id,bedrooms\na,3\nb,many\n", 0),
        ("external_id,city\na,Kent\n,Kent\n", 1),
        ("external_id,city\n,Kent\n", 2),
        ("external_id,city\n", 2),
        ("", 2),
        ("address\n1 A St\n", 2),
    ],
)
def test_the_exit_code_says_what_was_loaded(
    twin: Twin, slug: str, tmp_path: Path, content: str, code: int
) -> None:
    houses = write(tmp_path / "houses.csv", content)
    for command in (("check",), ("properties",)):
        result = twin("import", *command, houses, "--tenant", slug)
        assert result.exit_code == code, result.output
    assert twin("import", "properties", houses, "--tenant", "nobody").exit_code == 2


def test_a_check_says_what_would_happen_and_changes_nothing(
    twin: Twin, slug: str, tmp_path: Path
) -> None:
    houses = write(tmp_path / "houses.csv", "MLS #;Price;Beds\n1;$350,000;3 bd\n2;NULL;x\n")
    of = ("--tenant", slug)
    checked = twin("import", "check", houses, *of)
    imported = twin("import", "properties", houses, *of)
    assert checked.exit_code == imported.exit_code == 0
    assert checked.stdout == imported.stdout + "This was a check: nothing was changed.\n"
    assert "read as crm: CSV, semicolons" in checked.stdout
    assert "  listing_price <- Price" in checked.stdout

    acts = write(tmp_path / "acts.csv", "property,user,kind,occurred_at\n1,ann,VIEW,2024-05-01\n")
    checked = twin("import", "check", acts, *of, "--create-users", "--role", "analyst")
    assert "1 users created" in checked.stdout
    assert twin("users", "list", *of).stdout == ""


def test_options_say_how_a_file_is_meant(twin: Twin, slug: str, tmp_path: Path) -> None:
    content = "id,kind,listed,city\n1,Castle,01/02/2024,Z\xfcrich\n".encode("latin-1")
    (houses := tmp_path / "houses.csv").write_bytes(content)
    read = partial(
        twin, "import", "properties", houses, "--tenant", slug, "--json",
        "--map", "property_type=kind", "--map", "listed_at=listed", "--format", "plain",
        "--map", "external_id=id", "--value", "property_type:Castle=SINGLE_FAMILY",
        "--encoding", "latin-1", "--dates",
    )  # fmt: skip
    for dates, outcome in (("MDY", "inserted"), ("DMY", "updated")):
        report = json.loads(read(dates).stdout)
        assert (report[outcome], report["ignored"]) == (1, {})
    report = json.loads(read("DMY", "--blank", "keep", "--set", "city=").stdout)
    assert report["unchanged"] == 1


def test_settings_that_cannot_be_used_are_named(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "many")
    result = twin("tenants", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("twin: PORT: ")


def test_services_that_do_not_answer_are_an_error(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://twin_app@127.0.0.1:1/twin")
    result = twin("tenants", "list")
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_migrating_twice_changes_nothing(twin: Twin) -> None:
    assert twin("migrate").exit_code == 0
    assert twin("migrate").exit_code == 0


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with progress("Counting") as update:
        for step in range(1000):
            update(step / 1000, f"step {step}")
    assert capfd.readouterr().err.splitlines() == ["Counting: 0% step 0"]


def test_the_formats_of_the_option_are_those_that_are_recognised() -> None:
    assert tuple(imports.Format) == get_args(FormatName)
