"""Training that continues from a version."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domain.contract.snapshots import InteractionLog, PropertyColumns, StoredModel
from ml.training.config import TrainingConfig, TrainingError
from ml.training.tower_training import Progress
from ml.training.training import fit, train
from ml.training.warm import LEAST_NEW, LEAST_REPLAYED, new_and_replayed
from ml.twin.artifacts import Artifact, unpack
from ml.twin.dataset import Events, events

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig(
    epochs=6, rerank_epochs=3, rerank_examples=400, rerank_negatives=48, device="cpu"
)
World = tuple[PropertyColumns, InteractionLog]


def quiet(_: Progress) -> None:
    pass


def part(log: InteractionLog, share: float) -> InteractionLog:
    """The first of the log."""
    count = round(share * len(log))
    columns = {
        name: getattr(log, name)[:count] for name in ("user", "property", "kind", "occurred_at")
    }
    return replace(log, **columns)


@pytest.fixture(scope="module")
def before(checkerboard: World) -> Artifact:
    """A version that was trained when the first 70% had happened, as it is stored."""
    columns, log = checkerboard
    trained = train(columns, part(log, 0.7), CONFIG, quiet)
    return unpack(StoredModel(trained.weights, trained.metadata))


def test_it_is_as_good_with_fewer_epochs(checkerboard: World, before: Artifact) -> None:
    seen: list[Progress] = []
    config = replace(CONFIG, warm_epochs=2, warm_rerank_epochs=1)
    warm = train(*checkerboard, config, seen.append, before)
    measured = [one.metrics for one in seen if one.metrics]
    assert len(measured) <= 2
    assert len(seen) == len(measured) + 1
    assert len(warm.metrics["rerank_losses"]) == 1
    assert warm.metrics["twin"]["auc"] > 0.72
    # One epoch of such small steps teaches next to nothing to weights that begin anywhere.
    cold: list[Progress] = []
    steps = replace(config, epochs=1, rerank_epochs=0, learning_rate=config.warm_learning_rate)
    fit(*checkerboard, steps, cold.append)
    assert measured[0]["auc"] > 0.72
    assert cold[0].metrics is not None
    assert cold[0].metrics["auc"] < 0.65


def test_the_encoder_stays_and_the_calibration_is_new(
    checkerboard: World, before: Artifact
) -> None:
    columns, log = checkerboard
    # Other properties than those before, which would have other statistics.
    dearer = replace(columns, numeric=columns.numeric * 1.001)
    short = replace(CONFIG, epochs=1, rerank_epochs=1, warm_epochs=1, warm_rerank_epochs=1)
    warm = fit(dearer, log, short, quiet, before).artifact
    full = fit(dearer, log, short, quiet).artifact
    assert warm.statistics == before.statistics != full.statistics
    assert warm.calibration != before.calibration
    assert warm.examples_until == full.examples_until > before.examples_until
    assert warm.held_out_from == full.held_out_from > warm.examples_until


def test_the_version_continued_from_is_left_as_it_is(checkerboard: World, before: Artifact) -> None:
    stages = (before.tower, before.reranker)
    kept = [{k: v.clone() for k, v in stage.state_dict().items()} for stage in stages]
    short = replace(CONFIG, warm_epochs=1, warm_rerank_epochs=1)
    warm = fit(*checkerboard, short, quiet, before).artifact
    for stage, state in zip(stages, kept, strict=True):
        assert all(
            torch.equal(weights, state[name]) for name, weights in stage.state_dict().items()
        )
        assert not any(weights.requires_grad for weights in stage.parameters())
    first = "layers.0.weight"
    assert not torch.equal(warm.tower.state_dict()[first], kept[0][first])


def test_steps_that_only_harm_are_not_kept(checkerboard: World, before: Artifact) -> None:
    """Weights that were better before any step stay."""
    harmful = replace(CONFIG, warm_epochs=1, warm_learning_rate=10.0)
    fitted = fit(*checkerboard, harmful, quiet, before)
    assert fitted.best_epoch == 0
    for name, weights in fitted.artifact.tower.state_dict().items():
        assert torch.equal(weights, before.tower.state_dict()[name]), name


def test_nothing_new_is_named(checkerboard: World) -> None:
    columns, log = checkerboard
    config = replace(CONFIG, epochs=1, rerank_epochs=0)
    artifact = fit(columns, log, config, quiet).artifact
    with pytest.raises(TrainingError, match=r"at least 10 new examples; there are 0: wait for"):
        fit(columns, log, config, quiet, artifact)


@pytest.fixture
def many() -> Events:
    """Twelve thousand events of fifty investors."""
    rng = np.random.default_rng(0)
    count = 12_000
    log = InteractionLog(
        users=(),
        user=rng.integers(50, size=count).astype(np.int32),
        property=rng.integers(100, size=count).astype(np.int32),
        kind=np.zeros(count, dtype=np.int8),
        occurred_at=np.arange(count, dtype=np.float64),
    )
    return events(replace(log, users=tuple(range(50))), 100, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("new", "replay", "old"),
    [(3000, 1.0, 3000), (3000, 0.5, LEAST_REPLAYED), (100, 1.0, LEAST_REPLAYED), (9000, 5, 3000)],
)
def test_all_that_is_new_and_a_sample_of_the_rest(
    many: Events, new: int, replay: float, old: int
) -> None:
    every = torch.arange(12_000)
    since = 12_000.0 - new
    chosen = new_and_replayed(many, every, since, replay, seed=0)
    time = many.time[chosen]
    assert int((time >= since).sum()) == new
    assert int((time < since).sum()) == old
    assert (chosen.diff() > 0).all()
    again = new_and_replayed(many, every, since, replay, seed=0)
    assert torch.equal(chosen, again)


def test_too_little_new_is_named(many: Events) -> None:
    every = torch.arange(12_000)
    assert len(new_and_replayed(many, every, 12_000.0 - LEAST_NEW, 0.0, 0)) > LEAST_NEW
    with pytest.raises(TrainingError, match="there are 9"):
        new_and_replayed(many, every, 12_000.0 - LEAST_NEW + 1, 0.0, 0)
