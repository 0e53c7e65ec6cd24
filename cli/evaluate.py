"""Measures a tenant's twin on what its investors did later in time."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import settings
from cli.console import JsonOption, progress, say, say_json
from cli.session import TenantOption, run_on_database, tenant_id

if TYPE_CHECKING:
    from domain.contract.snapshots import InteractionLog, PropertyColumns
    from domain.core.database import Database
    from ml.evaluation.evaluate import Evaluation
    from ml.evaluation.probes import Fitted
    from ml.measures.intervals import Interval
    from runtime import Services

_NEEDED = {"matplotlib": "matplotlib", "scikit-learn": "sklearn", "threadpoolctl": "threadpoolctl"}


class ProtocolChoice(StrEnum):
    """The names of ``ml.evaluation.protocols.Protocol``, without what that imports."""

    ALL = "all"
    NEIGHBOURHOOD = "neighbourhood"
    NEW_LISTINGS = "new-listings"
    NEW_SITE = "new-site"


def evaluate(
    tenant: TenantOption,
    protocol: Annotated[
        list[ProtocolChoice] | None, typer.Option(help="What to rank; all four if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="How many twins to fit.")] = 3,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html; reports/TENANT if not given.")
    ] = None,
) -> None:
    """Measure how well twins of the tenant's earlier data find what investors did later.

    The twin that answers is left as it is. With --json, files are written only if --out is given.
    """
    require_extra("twin evaluate")
    columns, log, simulated = _load(tenant)

    from ml.evaluation.evaluate import evaluate as measure
    from ml.evaluation.offline import fit_offline
    from ml.evaluation.protocols import Protocol
    from ml.evaluation.report import write
    from ml.training.config import TrainingConfig

    config = TrainingConfig(device=settings.load().device)

    def fit(columns: "PropertyColumns", log: "InteractionLog", seed: int) -> "Fitted":
        return fit_offline(columns, log, replace(config, seed=seed))

    with progress("Evaluating") as update:
        measured = measure(
            columns,
            log,
            fit,
            [Protocol(one) for one in protocol or ProtocolChoice],
            range(seeds),
            update,
            config=asdict(config),
            simulated=simulated,
        )
    folder = out or (None if as_json else Path("reports") / tenant)
    written = write(measured, folder, tenant) if folder else []
    if as_json:
        say_json(measured.to_json())
    else:
        say(*_lines(measured), "", f"See {written[0]}")


def require_extra(command: str) -> None:
    """Check that what draws reports is installed.

    Raises SettingsError naming what the command lacks.
    """
    if absent := [name for name, module in _NEEDED.items() if find_spec(module) is None]:
        raise settings.SettingsError(
            f"{command} needs {', '.join(absent)}: pip install '.[evaluation]'"
        )


def _load(tenant: str) -> "tuple[PropertyColumns, InteractionLog, bool]":
    """The tenant's properties and interactions, and whether any of the latter are simulated."""

    async def body(
        database: "Database", _: "Services"
    ) -> "tuple[PropertyColumns, InteractionLog, bool]":
        from domain.interactions import interactions
        from jobs.model_registry.training import load

        evaluated_id = await tenant_id(database, tenant)
        async with database.work(evaluated_id) as work:
            simulated = await interactions.any_simulated(work)
        return *await load(database, evaluated_id), simulated

    return run_on_database(body)


def _lines(measured: "Evaluation") -> Iterator[str]:
    """The evaluation for people who read a terminal."""
    kind = "simulated interactions" if measured.simulated else "interactions"
    yield (
        f"{measured.properties:,} properties; learned from {measured.learned_from:,} {kind} up to "
        f"{measured.cut[:10]}, measured on {measured.interactions - measured.learned_from:,} later "
        f"ones; {len(measured.seeds)} seeds; 95% intervals over investors"
    )
    for protocol in dict.fromkeys(result.protocol for result in measured.results):
        results = [result for result in measured.results if result.protocol == protocol]
        yield ""
        title = f"{protocol.value}, {results[0].investors:,} investors"
        yield f"{title:30}{'NDCG@10':24}{'over mix':22}{'less mix':26}{'recall@100':>10}{'AUC':>8}"
        for result in results:
            mix = result.against.get("mix")
            yield (
                f"{result.scorer:30}{_text(result.metrics['ndcg@10'], 3):24}"
                f"{_text(mix.ratio if mix else None, 2):22}"
                f"{_text(mix.difference if mix else None, 3):26}"
                f"{result.metrics['recall@100'].value:10.3f}{result.metrics['auc'].value:8.3f}"
            )
    affinity = measured.calibration
    yield ""
    yield (
        f"Affinity on {affinity['pairs']:,} held-out pairs: AUC {affinity['auc']:.3f}, "
        f"F1 {affinity['f1']:.3f}, calibration error {affinity['calibration_error']:.3f}"
    )
    if told := measured.responsiveness:
        yield (
            "Places that the 50 most alike rise: "
            f"{told.up.value:+.1f} after a thumb up, {told.down.value:+.1f} after a thumb down"
        )


def _text(interval: "Interval | None", digits: int) -> str:
    if interval is None:
        return "-"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"
