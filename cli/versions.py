"""Commands for the versions of a tenant's twin: which there are, and which one answers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cli.console import JsonOption, say, say_json, table
from cli.lazy import group
from cli.reports import report
from cli.session import TenantOption, VersionArgument, read_in_tenant, run_in_tenant

if TYPE_CHECKING:
    from domain.core.work import Work
    from domain.model_registry.model_versions import ModelVersion
    from runtime import Services

models = group("The versions of a tenant's twin.")
models.command()(report)


@models.command("list")
def list_versions(tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Print the versions, the newest first."""

    async def body(work: "Work", _: "Services") -> "list[ModelVersion]":
        from domain.model_registry import model_versions

        return list(await model_versions.page(work, 1000))

    found = read_in_tenant(tenant, body)
    if as_json:
        say_json([_fields(one) | {"ndcg_at_10": _ndcg(one)} for one in found])
        return
    columns = ("version", "status", "index", "NDCG@10", "trained", "activated", "refusal")
    table(
        columns,
        (
            (
                one.number,
                one.status,
                one.space,
                None if (ndcg := _ndcg(one)) is None else f"{ndcg:.3f}",
                f"{one.created_at:%Y-%m-%d %H:%M}",
                one.activated_at and f"{one.activated_at:%Y-%m-%d %H:%M}",
                one.refusal,
            )
            for one in found
        ),
    )


@models.command()
def show(tenant: TenantOption, version: VersionArgument, as_json: JsonOption = False) -> None:
    """Print a version with its gates, figures and drift."""

    async def body(work: "Work", _: "Services") -> dict[str, Any]:
        from domain.model_registry import drift, model_versions
        from domain.tenants import policies

        found = await model_versions.by_number(work, version)
        measured = (await drift.latest(work, [found.id])).get(found.id)
        waits = found.status is model_versions.ModelStatus.INDEXED
        columns = ("created_at", "level", "score", "features")
        return _fields(found) | {
            "waits": drift.hold(await policies.get(work), found.metrics) if waits else None,
            "gates": found.gates,
            "metrics": found.metrics,
            "drift": measured and {name: getattr(measured, name) for name in columns},
        }

    found = read_in_tenant(tenant, body)
    if as_json:
        say_json(found)
    else:
        say(*_lines(found))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """All that is known of a version, for people."""
    yield f"version {found['version']}: {found['status']}, index {found['index']}"
    yield f"trained {found['created_at']:%Y-%m-%d %H:%M}, id {found['id']}"
    if found["refusal"]:
        yield f"refused: {found['refusal']}"
    if found["waits"]:
        yield f"waits: {found['waits']}"
    for gate in found["gates"]:
        passed = "passed" if gate["passed"] else "FAILED"
        yield f"gate {gate['gate']}: {gate['value']} ({gate['bound']}) {passed}"
    if why := found["metrics"].get("active_left_out"):
        yield f"not compared with the active version: {why}"
    for ranker, figures in found["metrics"].items():
        if isinstance(figures, dict):
            told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            yield f"{ranker}: {told}"
    if measured := found["drift"]:
        worst = sorted(measured["features"].items(), key=lambda item: -item[1])[:5]
        told = ", ".join(f"{name} {value:.3f}" for name, value in worst)
        yield (
            f"drift {measured['created_at']:%Y-%m-%d}: {measured['level']}, "
            f"score {measured['score']}, {told}"
        )


@models.command()
def activate(tenant: TenantOption, version: VersionArgument, as_json: JsonOption = False) -> None:
    """Activate a version.

    It answers at once if its vectors are in the index, else after a job has written them.
    """

    async def body(work: "Work", _: "Services") -> dict[str, Any]:
        from domain.model_registry import model_versions

        return await _promote(work, await model_versions.by_number(work, version))

    _say_promoted(run_in_tenant(tenant, body), as_json)


@models.command()
def rollback(tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Go back to the version that was active before.

    A second rollback undoes the first.
    """

    async def body(work: "Work", _: "Services") -> dict[str, Any]:
        from domain.core.errors import invalid
        from domain.model_registry import model_versions

        before = await model_versions.previous(work)
        if before is None:
            raise invalid(f"tenant {tenant!r} has no version from before the active one")
        return await _promote(work, before)

    _say_promoted(run_in_tenant(tenant, body), as_json)


async def _promote(work: "Work", version: "ModelVersion") -> dict[str, Any]:
    from domain.model_registry.promotion import promote

    run = await promote(work, version.id)
    return {"version": version.number, "answers": run is None, "run_id": run and run.id}


def _say_promoted(promoted: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(promoted)
    elif promoted["answers"]:
        say(f"Version {promoted['version']} answers now.")
    else:
        say(
            f"Version {promoted['version']} is not in the index: run {promoted['run_id']} puts it "
            "there, and then it answers."
        )


def _fields(version: "ModelVersion") -> dict[str, Any]:
    """What is shown of a version, without what it measured."""
    return {
        "id": version.id,
        "version": version.number,
        "status": version.status,
        "index": version.space,
        "created_at": version.created_at,
        "activated_at": version.activated_at,
        "retired_at": version.retired_at,
        "refusal": version.refusal,
    }


def _ndcg(version: "ModelVersion") -> float | None:
    found: float | None = version.metrics.get("twin", {}).get("ndcg@10")
    return found
