"""Versions and a tenant's rules from the command line."""

import json
from asyncio import to_thread
from typing import Any

import pytest

from domain.core.database import Database
from domain.model_registry import drift, model_versions
from domain.tenants import policies
from domain.tenants.tenants import Tenant
from tests.cli.conftest import Twin
from tests.factories import Town

GATE = {"gate": "f1", "value": 0.4, "bound": 0.6, "passed": False}


def rows(printed: str) -> list[list[str]]:
    return [line.split("\t") for line in printed.splitlines()]


def test_a_rollback_is_taken_back_by_another(twin: Twin, trained: Town) -> None:
    slug = trained.tenant.slug

    def standing() -> list[list[str]]:
        listed = twin("models", "list", "--tenant", slug)
        assert listed.exit_code == 0, listed.stderr
        return [row[:3] for row in rows(listed.stdout)]

    newer = [["2", "active", "complete"], ["1", "retired", "complete"]]
    older = [["2", "retired", "complete"], ["1", "active", "complete"]]
    assert standing() == newer
    assert twin("models", "rollback", "--tenant", slug).stdout == "Version 1 answers now.\n"
    assert standing() == older
    assert twin("models", "rollback", "--tenant", slug).stdout == "Version 2 answers now.\n"
    assert twin("models", "activate", "--tenant", slug, 1).stdout == "Version 1 answers now.\n"
    assert standing() == older

    def read(*arguments: object) -> Any:
        return json.loads(twin("models", *arguments, "--tenant", slug, "--json").stdout)

    assert read("rollback") == {"version": 2, "answers": True, "run_id": None}
    assert read("activate", 1) == {"version": 1, "answers": True, "run_id": None}
    listed = [(one["version"], one["status"], one["index"]) for one in read("list")]
    assert listed == [(2, "retired", "complete"), (1, "active", "complete")]


async def test_a_version_is_shown_with_its_gates_figures_and_drift(
    twin: Twin, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        metrics = {"twin": {"ndcg@10": 0.25}, "properties": 60, "f1": 0.4}
        version = await model_versions.add(work, b"weights", {}, metrics)
        await model_versions.judge(work, version.id, [GATE], "f1 is 0.4, at least 0.6")
        await drift.record(work, version.id, {"listing_price": 0.3}, None)
    shown = (await to_thread(twin, "models", "show", "--tenant", tenant.slug, 1)).stdout
    assert "version 1: refused, index none" in shown
    assert "refused: f1 is 0.4, at least 0.6" in shown
    assert "gate f1: 0.4 (0.6) FAILED" in shown
    assert "twin: ndcg@10 0.250" in shown
    assert "alert, score None, listing_price 0.300" in shown

    as_json = await to_thread(twin, "models", "show", "--tenant", tenant.slug, 1, "--json")
    found = json.loads(as_json.stdout)
    assert (found["id"], found["gates"], found["metrics"]) == (str(version.id), [GATE], metrics)
    assert (found["drift"]["level"], found["drift"]["features"]) == (
        "alert",
        {"listing_price": 0.3},
    )
    assert (found["waits"], found["activated_at"]) == (None, None)

    refused = await to_thread(twin, "models", "activate", "--tenant", tenant.slug, 1)
    assert refused.exit_code == 1
    assert "version 1 was refused: f1: F1 on held-out pairs is 0.4" in refused.stderr
    for command in (("show", 2), ("activate", 2)):
        missing = await to_thread(twin, "models", command[0], "--tenant", tenant.slug, command[1])
        assert (missing.exit_code, missing.stderr) == (1, "twin: No such model version: 2.\n")


async def test_a_version_is_shown_with_what_it_waits_for_and_was_not_compared_with(
    twin: Twin, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        metrics = {"drift": 14.3, "drifted": "listing_price", "active_left_out": "version 1 is odd"}
        version = await model_versions.add(work, b"weights", {}, metrics)
        await model_versions.judge(work, version.id, [], None)
        await model_versions.complete(work, version.id)

    async def shown() -> str:
        return (await to_thread(twin, "models", "show", "--tenant", tenant.slug, 1)).stdout

    assert "waits: drift: listing_price has moved by 14.3, above 0.4; look" in await shown()
    assert "not compared with the active version: version 1 is odd" in await shown()
    await to_thread(twin, "models", "activate", "--tenant", tenant.slug, 1)
    assert "waits" not in await shown()


def test_there_is_nothing_to_roll_back_to(twin: Twin, tenant: Tenant) -> None:
    refused = twin("models", "rollback", "--tenant", tenant.slug)
    assert refused.exit_code == 1
    assert "has no version from before the active one" in refused.stderr


async def test_a_version_that_is_not_in_the_index_waits_for_a_job(
    twin: Twin, database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        version = await model_versions.add(work, b"weights", {}, {})
        await model_versions.judge(work, version.id, [], None)
    said = await to_thread(twin, "models", "activate", "--tenant", tenant.slug, 1)
    assert said.stdout.startswith("Version 1 is not in the index: run ")


async def test_rules_are_set_and_taken_back(
    twin: Twin, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    async def rules(*given: str) -> dict[str, str]:
        options = [part for one in given for part in ("--set", one)]
        printed = await to_thread(twin, "tenants", "policy", "--tenant", tenant.slug, *options)
        assert printed.exit_code == 0, printed.stderr
        return dict(rows(printed.stdout))

    defaults = {name: f"{value:g}" for name, value in policies.to_json(policies.Policy()).items()}
    assert await rules() == defaults
    changed = await rules("least_f1=0.5", "train_after=7")
    assert changed == defaults | {"least_f1": "0.5", "train_after": "7"}
    async with database.work(tenant.id) as work:
        assert (await policies.get(work)).train_after == 7
    async with database.work(other_tenant.id) as work:
        assert await policies.get(work) == policies.Policy()
    assert await rules("least_f1=") == defaults | {"train_after": "7"}


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ("least_f1=1.5", "least_f1 1.5: use 0 to 1"),
        ("train_after=2.5", "train_after 2.5: use a whole number"),
        ("grace_days=-1", "grace_days -1.0: use 0 to 3650"),
        ("grace_days=nan", "grace_days nan: use 0 to 3650"),
        ("frob=1", "rule 'frob': use least_approvals, "),
        ("least_f1", "write RULE=NUMBER"),
        ("least_f1=high", "write RULE=NUMBER"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(
    twin: Twin, tenant: Tenant, given: str, refusal: str
) -> None:
    refused = twin("tenants", "policy", "--tenant", tenant.slug, "--set", given)
    assert refused.exit_code != 0
    assert refusal in " ".join(refused.stderr.split())
