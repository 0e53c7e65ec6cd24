"""Learns the re-ranker's starting weights from the sample data: ``make prior``.

Each market gets a twin of its own: three regions of real portfolios, and King County with its
simulated investors. What their re-rankers learned is averaged, for each attribute over the markets
that have it. Only the first 80% of each market's interactions are used, so that evaluations of the
same markets, which cut there, remain honest.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.sample_columns import as_columns, portfolio_columns
from domain.contract.snapshots import InteractionLog, PropertyColumns
from ml.evaluation.protocols import split
from ml.training.config import TrainingConfig
from ml.training.training import fit
from ml.twin.reranker import PRIOR, PRIOR_FILE, Reranker
from sample.export import build_sample
from sample.portfolios import REGIONS


def learn(markets: dict[str, tuple[PropertyColumns, InteractionLog]]) -> dict[str, Tensor]:
    """The mean of what each market teaches."""
    learned: list[Reranker] = []
    for name, (columns, log) in markets.items():
        past = split(columns, log)
        fitted = fit(
            past.columns, past.past, TrainingConfig(test_share=0, rerank_pull=2.0), lambda _: None
        )
        print(f"{name}: loss {fitted.rerank_losses[0]:.3f} to {fitted.rerank_losses[-1]:.3f}")
        learned.append(fitted.artifact.reranker)
    used = torch.stack([one.used for one in learned]).float()
    mean: dict[str, Tensor] = {}
    for name in PRIOR:
        values = torch.stack([one.get_parameter(name).detach() for one in learned])
        if values.shape[-1:] == used.shape[-1:] and values.dim() > 1:
            weight = used.view(len(used), *[1] * (values.dim() - 2), -1)
            start = Reranker().get_parameter(name).detach()
            total = (values * weight).sum(dim=0) / weight.sum(dim=0).clamp(min=1)
            mean[name] = torch.where(weight.sum(dim=0) > 0, total, start)
        else:
            mean[name] = values.mean(dim=0)
    return mean


def main() -> None:
    """Learn from the sample data and replace ``ml/twin/prior.json``."""
    markets = {region: portfolio_columns(region) for region in REGIONS}
    markets["king-county (simulated investors)"] = as_columns(build_sample())
    mean = learn(markets)
    weights = {
        name: np.round(value.numpy().astype(float), 4).tolist() for name, value in mean.items()
    }
    Path(PRIOR_FILE).write_text(json.dumps(weights, indent=1) + "\n")


if __name__ == "__main__":
    main()
