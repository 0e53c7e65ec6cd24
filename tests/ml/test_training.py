from dataclasses import replace

import numpy as np
import pytest
import torch

from domain.snapshots import InteractionLog, PropertyColumns, StoredModel
from ml.artifacts import unpack
from ml.validation import METRICS
from ml.training import Progress, TrainedTwin, TrainingConfig, TrainingError, train

CONFIG = TrainingConfig(epochs=8, device="cpu")

World = tuple[PropertyColumns, InteractionLog]


def quiet(_: Progress) -> None:
    pass


@pytest.fixture(scope="session")
def trained(checkerboard: World) -> TrainedTwin:
    return train(*checkerboard, CONFIG, quiet)


def test_learns_the_checkerboard(trained: TrainedTwin) -> None:
    """Half the board is right and equally so: a perfect ranking has an AUC of about 0.77."""
    twin, popularity = trained.metrics["twin"], trained.metrics["popularity"]
    assert set(twin) == set(popularity) == set(METRICS)
    assert twin["auc"] > 0.74
    assert popularity["auc"] < 0.6
    assert twin["recall@100"] > 1.5 * popularity["recall@100"]
    assert twin["gain"] > popularity["gain"]


def test_the_result_is_an_artifact(trained: TrainedTwin) -> None:
    found = unpack(StoredModel(trained.weights, trained.metadata))
    assert found.calibration.scale > 1
    assert trained.metadata["config"]["epochs"] == 8


def test_equal_seeds_give_equal_weights(checkerboard: World) -> None:
    config = replace(CONFIG, epochs=2)
    first, second = (train(*checkerboard, config, quiet) for _ in range(2))
    other = train(*checkerboard, replace(config, seed=1), quiet)
    assert first.weights == second.weights
    assert first.metadata == second.metadata
    assert first.metrics == second.metrics
    assert other.weights != first.weights


def test_reports_every_epoch_and_stops_early(checkerboard: World) -> None:
    seen: list[Progress] = []
    train(*checkerboard, replace(CONFIG, patience=1, learning_rate=1e-9), seen.append)
    assert [progress.epoch for progress in seen] == list(range(1, len(seen) + 1))
    assert len(seen) < CONFIG.epochs
    assert seen[0].epochs == CONFIG.epochs
    assert np.isfinite([progress.loss for progress in seen]).all()


def test_triplet_learns_as_well(checkerboard: World) -> None:
    found = train(*checkerboard, replace(CONFIG, loss="triplet"), quiet)
    assert found.metrics["twin"]["auc"] > 0.74


def test_old_interactions_can_be_left_out(checkerboard: World) -> None:
    found = train(*checkerboard, replace(CONFIG, epochs=1, lookback_days=25), quiet)
    assert found.metrics["interactions"] == 25 * 24 + 1


@pytest.mark.parametrize(
    ("kept", "named"),
    [
        (0, "at least 50 interactions; there are 0"),
        (30, "at least 50 interactions; there are 30"),
        (60, "at least 50 interactions of investors who had approved"),
    ],
)
def test_too_little_is_named(checkerboard: World, kept: int, named: str) -> None:
    columns, log = checkerboard
    short = replace(
        log,
        user=log.user[:kept],
        property=log.property[:kept],
        kind=log.kind[:kept],
        occurred_at=log.occurred_at[:kept],
    )
    with pytest.raises(TrainingError, match=named):
        train(columns, short, CONFIG, quiet)


def test_too_few_properties_are_named(checkerboard: World) -> None:
    columns, log = checkerboard
    with pytest.raises(TrainingError, match="at least 20 properties; there are 3"):
        train(columns.take([0, 1, 2]), log, CONFIG, quiet)


def test_nothing_held_out_is_named(checkerboard: World) -> None:
    """All that comes late was known before: there is nothing new to be found."""
    columns, log = checkerboard
    again = replace(
        log,
        user=np.tile(log.user, 2),
        property=np.tile(log.property, 2),
        kind=np.tile(log.kind, 2),
        occurred_at=np.arange(2 * len(log), dtype=np.float64),
    )
    with pytest.raises(TrainingError, match="new approvals by known investors in the validation"):
        train(columns, again, CONFIG, quiet)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("temperature", -1.0),
        ("validation_share", 0.5),
        ("loss", "hinge"),
        ("device", "tpu"),
        ("lookback_days", 0),
    ],
)
def test_impossible_configurations_are_named(field: str, value: object) -> None:
    with pytest.raises(TrainingError, match=field):
        TrainingConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_absent_cuda_is_an_error(checkerboard: World) -> None:
    with pytest.raises(TrainingError, match="torch finds none"):
        train(*checkerboard, replace(CONFIG, device="cuda"), quiet)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_learns_on_cuda(checkerboard: World) -> None:
    found = train(*checkerboard, replace(CONFIG, device="cuda"), quiet)
    assert found.metrics["twin"]["auc"] > 0.74
