"""The offline figure, over HTTP: ``python -m bench.served [REGION ...]``.

Imports what was known of a region of real portfolios at the cut, trains as a job would, starts a
server, and asks ``recommendations(history: ANY)`` for every owner that the evaluation asks about.
No property there has a status. NDCG@10 of the answers on what the owners acquired later, beside the
same twin offline and the mix.
"""

import argparse
import asyncio
import csv
import gzip
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import httpx
import numpy as np
import torch
from numpy.typing import NDArray

import runtime
from bench.__main__ import ask
from bench.sample_columns import portfolio_columns
from bench.server import ready, silent
from domain.contract.vocabulary import Role
from domain.imports.interactions import import_interactions
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.model_registry import model_versions
from domain.tenants import tenants
from domain.users import users
from graph.core.nodes import global_id
from graph.identity import mint
from jobs.model_registry.training import train_tenant
from jobs.reindexing.indexer import Indexer
from ml.evaluation.baselines import Scorer, baselines
from ml.evaluation.metrics import METRICS, ranking_metrics, top
from ml.evaluation.offline import OfflineTwin
from ml.evaluation.protocols import Protocol, Query, Split, split
from ml.measures.baselines import MIX
from ml.measures.intervals import ratio_interval
from ml.training.config import TrainingConfig
from ml.twin.artifacts import unpack
from ml.twin.scoring import LoadedTwin
from sample.portfolios import REGIONS, write_portfolios
from settings import Settings
from tests.conformance.servers import own_server

NDCG = METRICS.index("ndcg@10")
LIST = (
    "query ($user: ID!) { recommendations(userId: $user, first: 10, history: ANY) "
    "{ edges { node { property { externalId } } } } }"
)


async def measure(folder: Path, region: str) -> None:
    """Print the row of one region."""
    columns, log = portfolio_columns(region)
    cut = split(columns, log)
    properties, deals = write_portfolios(region, folder / "import")
    names = [row["external_id"] for row in _rows(properties)]
    owners = [f"{name}" for name in dict.fromkeys(row["user"] for row in _sorted(deals))]
    past = folder / "past.csv"
    _write_past(past, _sorted(deals), cut.cut)

    settings = Settings(_env_file=None, data_dir=folder / "data")
    found = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, found)
    tenant_id = uuid4()
    async with runtime.connect(settings, found) as rt:
        async with rt.database.work(tenant_id) as work:
            await tenants.create(work, "served")
            await import_properties(work, FileSource(properties))
            await import_interactions(work, FileSource(past), create_users=True, role=Role.ADMIN)
            known = {user.external_id: user.id for user in await users.list_all(work)}
            work.jobs.clear()
        indexer = await Indexer.open(rt.database, rt.index, rt.twin)
        training = await train_tenant(indexer, tenant_id, TrainingConfig(test_share=0.0), silent)
        async with rt.database.work(tenant_id) as work:
            stored = await model_versions.stored(work, training.version_id)
    offline = OfflineTwin(LoadedTwin(unpack(stored), torch.device("cpu")), cut.columns, [], 0.0)

    queries = list(cut.queries(Protocol.ALL))
    asked = [known[owners[query.investor.user_id.int]] for query in queries]
    token = mint(found.jwt_secret, tenant_id, asked[0], [Role.ADMIN], timedelta(hours=1))
    with own_server(folder / "data") as server:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        ) as client:
            await ready(client)
            answers = [await _list(client, user) for user in asked]
    row_of = {name: row for row, name in enumerate(names)}
    served = [[row_of[name] for name in answer] for answer in answers]
    _report(region, cut, queries, served, offline.scores)


def _report(
    region: str, cut: Split, queries: list[Query], served: list[list[int]], offline: Scorer
) -> None:
    over_http = np.array(
        [_ndcg(query, np.array(rows)) for query, rows in zip(queries, served, strict=True)]
    )
    mix = baselines(cut)[MIX]
    figures = {
        name: np.array(
            [
                _ndcg(query, top(scorer(query), query.candidates, number)[:10])
                for number, query in enumerate(queries)
            ]
        )
        for name, scorer in (("offline", offline), ("mix", mix))
    }
    same = ratio_interval(over_http, figures["offline"])
    interval = f" ({same.low:.3f} to {same.high:.3f})" if same else ""
    print(
        f"| {region} | {len(queries)} | {over_http.mean():.4f} | {figures['offline'].mean():.4f} | "
        f"{over_http.mean() / figures['offline'].mean():.3f}{interval} | "
        f"{figures['mix'].mean():.4f} |",
        flush=True,
    )


def _ndcg(query: Query, rows: NDArray[np.intp]) -> float:
    scores = np.full(len(query.candidates), -np.inf)
    scores[rows] = -np.arange(len(rows), dtype=np.float64)
    return float(ranking_metrics(scores, query.candidates, query.relevant, rows)[NDCG])


async def _list(client: httpx.AsyncClient, user: UUID) -> list[str]:
    data = await ask(client, LIST, {"user": global_id("User", user)})
    edges: Sequence[dict[str, dict[str, dict[str, str]]]] = data["recommendations"]["edges"]
    return [edge["node"]["property"]["externalId"] for edge in edges]


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def _sorted(path: Path) -> list[dict[str, str]]:
    return sorted(_rows(path), key=lambda row: row["occurred_at"])


def _write_past(path: Path, deals: list[dict[str, str]], cut: float) -> None:
    moment = datetime.fromtimestamp(cut, UTC)
    early = [
        row
        for row in deals
        if datetime.fromisoformat(row["occurred_at"]).replace(tzinfo=UTC) < moment
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(early[0]))
        writer.writeheader()
        writer.writerows(early)


def main() -> None:
    """Measure the regions named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("regions", nargs="*", default=REGIONS)
    print("| region | owners | NDCG@10 over HTTP | offline | ratio, 95% | mix |")
    print("|---|---|---|---|---|---|")
    for region in parser.parse_args().regions:
        with TemporaryDirectory(prefix="twin-served-") as folder:
            asyncio.run(measure(Path(folder), region))


if __name__ == "__main__":
    main()
