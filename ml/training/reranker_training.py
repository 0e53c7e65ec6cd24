"""Trains the second stage on what the first one puts before it.

Negatives are drawn half from the top of the first stage's list, the better the rank the likelier,
and half uniformly. Each stands for as many properties as its probability says (logQ correction, Yi
et al. 2019), so that the loss remains that of a softmax over the whole catalogue: without the
correction, hard negatives teach to dislike what is near.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from domain.contract.vocabulary import InteractionKind
from ml.training.config import TrainingConfig
from ml.training.tower_training import Progress
from ml.twin.dataset import KIND_WEIGHTS, Events, Histories, histories
from ml.twin.items import Acts, Items
from ml.twin.reranker import Reranker

_POOL = 100_000
"""Properties among which the first stage's best are looked for; of more, a sample."""

_CELLS = 4_000_000
_TOP = 300
_BLOCK = 128
_BATCH = 64
_HISTORY = 24
"""Newest interactions that an example's history holds; serving reads all that the domain loads."""


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Candidates (e, 1 + k) of e examples, the target first, and what each draw stands for."""

    rows: Tensor
    log_count: Tensor


def owned_before(data: Events, moment: float) -> Tensor:
    """1 where any investor had made a deal on a property before the moment: float32 (n,)."""
    when, _ = _first_deals(data)
    return (when < moment).float()


def _first_deals(data: Events) -> tuple[Tensor, Tensor]:
    """When each property was first bought, seconds or inf, and by whom or -1: both (n,)."""
    deals = (data.kind == list(InteractionKind).index(InteractionKind.DEAL)).nonzero()[:, 0]
    when = torch.full((data.items,), torch.inf, dtype=torch.float64, device=data.time.device)
    who = torch.full((data.items,), -1, dtype=torch.int64, device=data.time.device)
    when.scatter_reduce_(0, data.item[deals], data.time[deals], "amin")
    first = deals[data.time[deals] == when[data.item[deals]]]
    who[data.item[first]] = data.user[first]
    return when, who


def train_reranker(
    reranker: Reranker,
    items: Items,
    features: Tensor,
    data: Events,
    learned: Tensor,
    config: TrainingConfig,
    report: Callable[[Progress], None],
) -> list[float]:
    """Train in place on the examples ``learned`` (positions of events); the losses by epoch.

    Args:
        reranker: with its starting weights, which regularisation pulls it towards.
        items: (n,), all properties.
        features: (n, 25), see ``ml.twin.features.encode``.
        data: what happened.
        learned: int64 (e,), the events to learn from.
        config: how to train.
        report: called after each epoch.
    """
    rng = np.random.default_rng(config.seed)
    most, negatives = config.rerank_examples, config.rerank_negatives
    if len(learned) > most:
        chosen = np.sort(rng.choice(len(learned), most, replace=False))
        learned = learned[torch.as_tensor(chosen, device=learned.device)]
    past = histories(
        data, learned, data.start[data.user[learned]], data.time[learned], data.item[learned]
    )
    # The target's own events leave holes; closed up, there is less padding.
    past = past.newest(past.present, _HISTORY)
    # Examples of like length together: little padding.
    length = past.present.sum(dim=1)
    order = length.argsort(stable=True)
    learned, past = learned[order], past[order]
    drawn = _draw(items.embedding, data, learned, past, negatives, rng)
    when, who = _first_deals(data)

    start = [weight.detach().clone() for weight in reranker.parameters()]
    optimizer = torch.optim.Adam(reranker.parameters(), lr=config.rerank_learning_rate)
    batches = list(torch.split(torch.arange(len(learned), device=learned.device), _BATCH))
    steps = config.rerank_epochs * len(batches)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for epoch in range(1, config.rerank_epochs + 1):
        total = 0.0
        for place in rng.permutation(len(batches)):
            batch = batches[place]
            events = learned[batch]
            history = past[batch]
            rows = drawn.rows[batch]
            candidates = items[rows]
            before = (when[rows] < data.time[events, None]) & (who[rows] != data.user[events, None])
            prior = reranker.prior(features[rows], candidates.spacing)
            candidates = replace(candidates, taken=before.float(), prior=prior)
            acts = Acts(
                items[history.item], history.item, history.kind, history.age, history.present
            )
            logits = reranker(reranker.opinions(acts), candidates)
            positive = logits[:, 0]
            rest = torch.logsumexp(logits[:, 1:] + drawn.log_count[batch, 1:], dim=1)
            weight = data.weight[events]
            cost = functional.softplus((rest - positive) * weight.sign())
            loss = (cost * weight.abs()).sum() / weight.abs().sum()
            total += float(loss.detach()) * len(batch)
            distance = sum(
                ((weights - origin) ** 2).sum()
                for weights, origin in zip(reranker.parameters(), start, strict=True)
            )
            optimizer.zero_grad(set_to_none=True)
            (loss + config.rerank_pull / len(learned) * distance).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        losses.append(total / len(learned))
        report(Progress(epoch, config.rerank_epochs, losses[-1], None))
    return losses


@torch.inference_mode()
def _draw(
    embedding: Tensor,
    data: Events,
    learned: Tensor,
    past: Histories,
    negatives: int,
    rng: np.random.Generator,
) -> _Drawn:
    """Candidates for every example; the same rows and corrections in every epoch."""
    n, device = data.items, learned.device
    pool = torch.as_tensor(np.sort(rng.choice(n, min(n, _POOL), replace=False)), device=device)
    row_of = torch.full((n,), len(pool), device=device)
    row_of[pool] = torch.arange(len(pool), device=device)
    pooled = embedding[pool]
    top, half = min(_TOP, len(pool)), negatives // 2
    by_rank = 1.0 / np.arange(1, top + 1)
    by_rank /= by_rank.sum()
    probability = torch.as_tensor(by_rank * half, dtype=torch.float32, device=device)
    positive = torch.from_numpy(KIND_WEIGHTS > 0).to(device)
    block = max(1, min(_BLOCK, _CELLS // len(pool)))
    rows, counts = [], []
    for batch in torch.split(torch.arange(len(learned), device=device), block):
        history, target = past[batch], data.item[learned[batch]]
        usable = history.present & positive[history.kind]
        # One column more, for what is not in the pool.
        best = torch.full((len(batch), len(pool) + 1), -torch.inf, device=device)
        for place in range(history.item.shape[1]):
            cosine = embedding[history.item[:, place]] @ pooled.T
            cosine.masked_fill_(~usable[:, place, None], -torch.inf)
            torch.maximum(best[:, :-1], cosine, out=best[:, :-1])
        best.scatter_(1, row_of[torch.cat((history.item, target[:, None]), dim=1)], -torch.inf)
        hard = best[:, :-1].topk(top, dim=1).indices
        expected = torch.zeros_like(best).scatter_(1, hard, probability.expand(len(batch), -1))
        ranks = torch.as_tensor(rng.choice(top, (len(batch), half), p=by_rank), device=device)
        uniform = torch.as_tensor(
            rng.integers(n, size=(len(batch), negatives - half)), device=device
        )
        picked = torch.cat((pool[hard.gather(1, ranks)], uniform), dim=1)
        log_count = -(expected.gather(1, row_of[picked]) + (negatives - half) / n).log()
        # The target and what was acted on before are no negatives.
        acted_on = (picked[:, :, None] == history.item[:, None]) & history.present[:, None]
        excluded = (picked == target[:, None]) | acted_on.any(dim=2)
        log_count.masked_fill_(excluded, -1e4)
        rows.append(torch.cat((target[:, None], picked), dim=1))
        counts.append(torch.cat((torch.zeros_like(target[:, None]), log_count), dim=1))
    return _Drawn(torch.cat(rows), torch.cat(counts))
