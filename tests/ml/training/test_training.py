from collections.abc import Callable
from dataclasses import asdict, replace
from json import dumps, loads

import numpy as np
import pytest
import torch

from domain.contract.snapshots import InteractionLog, PropertyColumns, StoredModel
from domain.contract.vocabulary import InteractionKind
from ml.measures.validation import METRICS
from ml.training.config import TrainingConfig, TrainingError
from ml.training.reranker_training import owned_before
from ml.training.tower_training import Progress
from ml.training.training import Fit, TrainedTwin, _calibrate, fit, train
from ml.twin import reranker
from ml.twin.artifacts import unpack
from ml.twin.dataset import queries
from ml.twin.device import DeviceError, DeviceMemoryError
from ml.twin.reranker import PRIOR, Reranker
from ml.twin.scoring import LoadedTwin
from tests.ml.worlds import KINDS, make_history, make_streets

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig(
    epochs=6, rerank_epochs=5, rerank_examples=800, rerank_negatives=48, device="cpu"
)
FAST = replace(CONFIG, epochs=1, rerank_epochs=1, rerank_examples=200)

World = tuple[PropertyColumns, InteractionLog]


def quiet(_: Progress) -> None:
    pass


@pytest.fixture(scope="session")
def trained(checkerboard: World) -> TrainedTwin:
    return train(*checkerboard, CONFIG, quiet)


@pytest.fixture(scope="module")
def fast(checkerboard: World) -> Fit:
    """Of one epoch, for what does not depend on how much is learned."""
    return fit(*checkerboard, FAST, quiet)


@pytest.fixture(scope="session")
def streets() -> World:
    return make_streets()


def test_learns_the_checkerboard(trained: TrainedTwin) -> None:
    """Half the board is right and equally so: a perfect ranking has an AUC of about 0.77."""
    twin, popularity = trained.metrics["twin"], trained.metrics["popularity"]
    assert set(twin) == set(popularity) == set(METRICS)
    assert twin["auc"] > 0.72
    assert popularity["auc"] < 0.6
    assert twin["recall@100"] > 1.5 * popularity["recall@100"]
    assert twin["gain"] > popularity["gain"]


def test_ranks_the_right_colour_first(trained: TrainedTwin, checkerboard: World) -> None:
    """For who was never seen in training as well: an investor is a history."""
    columns, log = checkerboard
    colour = np.full(len(columns), -1)
    colour[log.property] = log.user % 2
    twin = LoadedTwin(unpack(StoredModel(trained.weights, trained.metadata)), torch.device("cpu"))
    for own in (0, 1):
        rows = np.flatnonzero(colour == own)[:8]
        investor = twin.investor(make_history(columns, rows, ["SAVE"] * 8))
        scores = twin.score_properties(investor, columns)
        scores[rows] = -np.inf
        assert (colour[np.argsort(-scores)[:50]] == own).mean() > 0.9


def test_the_result_is_an_artifact(trained: TrainedTwin) -> None:
    metadata = loads(dumps(trained.metadata, allow_nan=False))
    assert metadata["config"] == asdict(CONFIG)
    found = unpack(StoredModel(trained.weights, metadata))
    assert found.calibration.to_json() == metadata["calibration"]
    assert found.statistics.to_json() == {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in metadata["statistics"].items()
    }
    metrics = loads(dumps(trained.metrics, allow_nan=False))
    assert metrics["properties"] == 400
    assert metrics["interactions"] == 2400
    assert len(metrics["rerank_losses"]) == 5
    assert metrics["rerank_losses"][-1] < metrics["rerank_losses"][0]
    assert 1 <= metrics["best_epoch"] <= 6
    assert metrics["test_investors"] > 50


def test_equal_seeds_give_equal_weights(checkerboard: World, fast: Fit) -> None:
    config = replace(FAST, epochs=2, rerank_epochs=2)
    first, second = (train(*checkerboard, config, quiet) for _ in range(2))
    assert first.weights == second.weights
    assert first.metadata == second.metadata
    assert first.metrics == second.metrics
    other = weights_of(fit(*checkerboard, replace(FAST, seed=1), quiet))
    for name in ("tower.layers.0.weight", "reranker.likeness"):
        assert not torch.equal(weights_of(fast)[name], other[name])


def test_reports_every_epoch_and_stops_early(checkerboard: World) -> None:
    seen: list[Progress] = []
    config = replace(FAST, epochs=6, rerank_epochs=2, patience=1, learning_rate=1e-9)
    train(*checkerboard, config, seen.append)
    towers = [progress for progress in seen if progress.metrics]
    assert len(towers) < 6
    assert [(one.epoch, one.epochs) for one in seen] == [
        *((epoch, 6) for epoch in range(1, len(towers) + 1)),
        *((epoch, 2) for epoch in (1, 2)),
    ]
    assert np.isfinite([progress.loss for progress in seen]).all()


def test_triplet_learns_as_well(checkerboard: World) -> None:
    config = replace(CONFIG, loss="triplet", epochs=4, rerank_epochs=2)
    found = train(*checkerboard, config, quiet)
    assert found.metrics["twin"]["auc"] > 0.72


def test_old_interactions_can_be_left_out(checkerboard: World) -> None:
    found = train(*checkerboard, replace(FAST, lookback_days=25), quiet)
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
        ("temperature", 0.01),
        ("validation_share", 0.5),
        ("loss", "hinge"),
        ("device", "tpu"),
        ("lookback_days", 0),
        ("patience", 0),
        ("negatives", 0),
        ("epoch_examples", 0),
        ("rerank_examples", 0),
        ("rerank_negatives", 1),
        ("rerank_epochs", -1),
        ("rerank_learning_rate", 0.0),
        ("rerank_pull", -1.0),
        ("weight_decay", -1.0),
        ("margin", 0.0),
        ("validation_share", 0.0),
        ("test_share", -0.1),
        ("test_share", 0.5),
        ("evaluated_investors", 0),
    ],
)
def test_impossible_configurations_are_named(field: str, value: object) -> None:
    with pytest.raises(TrainingError, match=rf"training: {field} must be .*: {value!r}"):
        TrainingConfig(**{field: value})  # type: ignore[arg-type]


def test_nothing_new_in_the_test_slice_is_named(checkerboard: World) -> None:
    """The last tenth says again what was said before."""
    columns, log = checkerboard
    late = np.arange(len(log)) >= 0.9 * len(log)
    early = {
        int(user): int(row)
        for user, row in zip(log.user[~late][::-1], log.property[~late][::-1], strict=True)
    }
    again = np.array([early.get(int(user), 0) for user in log.user], dtype=np.int32)
    same = replace(log, property=np.where(late, again, log.property).astype(np.int32))
    with pytest.raises(TrainingError, match="new approvals by known investors in the test slice"):
        train(columns, same, FAST, quiet)


def weights_of(fitted: Fit) -> dict[str, torch.Tensor]:
    return {
        f"{stage}.{name}": weights
        for stage, module in (
            ("tower", fitted.artifact.tower),
            ("reranker", fitted.artifact.reranker),
        )
        for name, weights in module.state_dict().items()
    }


def changed_after(log: InteractionLog, share: float) -> InteractionLog:
    """After that share of the log, others do other things with other properties."""
    late = np.arange(len(log)) >= share * len(log)
    order = np.arange(len(log))
    order[late] = np.random.default_rng(5).permutation(order[late])
    third = late & (np.arange(len(log)) % 3 == 0)
    return replace(
        log,
        user=log.user[order],
        property=np.where(late, log.property[::-1], log.property),
        kind=np.where(third, np.int8(KINDS.index(InteractionKind.DEAL)), log.kind),
    )


def test_the_test_slice_is_never_looked_at(checkerboard: World) -> None:
    """Whatever happens in it, the twin is the same, its calibration too."""
    columns, log = checkerboard
    first, second = (
        fit(columns, one, replace(FAST, epochs=2), quiet) for one in (log, changed_after(log, 0.9))
    )
    assert first.test is not None
    assert second.test is not None
    assert first.test.relevant.tolist() != second.test.relevant.tolist()
    expected = weights_of(second)
    for name, weights in weights_of(first).items():
        assert torch.equal(weights, expected[name]), name
    assert first.artifact.calibration == second.artifact.calibration
    assert first.artifact.statistics == second.artifact.statistics


def test_nothing_is_learned_from_the_validation_slice(checkerboard: World, fast: Fit) -> None:
    """It chooses among epochs and calibrates; with one epoch, the weights are the same."""
    columns, log = checkerboard
    other = fit(columns, changed_after(log, 0.8), FAST, quiet)
    expected = weights_of(other)
    for name, weights in weights_of(fast).items():
        assert torch.equal(weights, expected[name]), name
    assert fast.artifact.calibration != other.artifact.calibration


def test_without_a_test_slice_all_but_the_validation_is_learned(
    checkerboard: World, fast: Fit
) -> None:
    found = train(*checkerboard, replace(FAST, test_share=0.0), quiet)
    assert found.metrics["examples"] > fast.examples
    assert found.metrics.keys() == {
        "best_epoch",
        "epochs",
        "rerank_losses",
        "properties",
        "interactions",
        "examples",
    }


def distance(found: Reranker, start: Reranker) -> float:
    """Of what the prior is about, from where it started."""
    return sum(
        float(((found.get_parameter(name) - start.get_parameter(name)) ** 2).sum().detach())
        for name in PRIOR
    )


@pytest.fixture
def prior(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Reranker]:
    """Other markets' knowledge, unlike any that a tenant would come to."""
    stored = {"same_type": 3.0, "likeness": -2.0, "taken": 4.0}
    monkeypatch.setattr(reranker, "_prior", lambda: stored)
    return Reranker


def test_training_starts_from_the_prior_and_is_pulled_to_it(
    streets: World, prior: Callable[[], Reranker]
) -> None:
    columns, log = streets
    untouched = fit(columns, log, replace(FAST, rerank_epochs=0), quiet)
    assert distance(untouched.artifact.reranker, prior()) == 0
    assert untouched.rerank_losses == []
    free, pulled = (
        fit(columns, log, replace(FAST, rerank_epochs=5, rerank_pull=pull), quiet)
        for pull in (0.0, 1e4)
    )
    assert distance(free.artifact.reranker, prior()) > 0.1
    assert distance(pulled.artifact.reranker, prior()) < 0.3 * distance(
        free.artifact.reranker, prior()
    )


def test_who_has_little_data_stays_nearer_to_the_prior(
    streets: World, prior: Callable[[], Reranker]
) -> None:
    """With as many steps: the pull weighs as much as some examples do."""
    columns, log = streets
    few = fit(columns, log, replace(FAST, rerank_epochs=40, rerank_examples=60), quiet)
    many = fit(columns, log, replace(FAST, rerank_epochs=10, rerank_examples=240), quiet)
    assert distance(few.artifact.reranker, prior()) < distance(many.artifact.reranker, prior())


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_absent_cuda_is_an_error(checkerboard: World) -> None:
    with pytest.raises(DeviceError, match="torch finds none"):
        train(*checkerboard, replace(CONFIG, device="cuda"), quiet)


@pytest.mark.cuda
def test_learns_on_cuda_for_any_device(checkerboard: World) -> None:
    found = train(*checkerboard, replace(CONFIG, device="cuda"), quiet)
    assert found.metrics["twin"]["auc"] > 0.72
    stored, columns = StoredModel(found.weights, found.metadata), checkerboard[0]
    on_cpu, on_cuda = (
        LoadedTwin(unpack(stored, device), torch.device(device)).embed(columns)
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-4)


@pytest.mark.cuda
def test_equal_seeds_give_equal_weights_on_cuda(checkerboard: World) -> None:
    config = replace(FAST, epochs=2, rerank_epochs=2, device="cuda")
    first, second = (train(*checkerboard, config, quiet) for _ in range(2))
    assert first.weights == second.weights


@pytest.mark.cuda
@pytest.mark.parametrize(("training", "version"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_versions_on_another_device_are_continued_and_compared_with(
    checkerboard: World, trained: TrainedTwin, training: str, version: str
) -> None:
    before = unpack(StoredModel(trained.weights, trained.metadata), version)
    config = replace(FAST, device=training, warm_epochs=1, warm_rerank_epochs=1)  # type: ignore[arg-type]
    warm = replace(before, examples_until=0.0)
    found = train(*checkerboard, config, quiet, warm=warm, active=before)
    assert found.metrics["twin"]["auc"] > 0.72
    assert found.metrics["active"]["auc"] > 0.72
    assert before.reranker.reference.device.type == version


@pytest.mark.cuda
def test_too_little_memory_of_the_device_is_named(checkerboard: World) -> None:
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(DeviceMemoryError, match="'cuda' has too little free memory"):
            train(*checkerboard, replace(FAST, device="cuda"), quiet)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_calibrates_as_of_the_validation_slice(streets: World) -> None:
    """What was bought within the slice was not taken when it began, and must not be scored so."""
    columns, _ = streets
    users, each = 48, len(columns) // 48
    house = np.arange(len(columns))
    log = InteractionLog(
        users=columns.ids[:users],
        user=(house % users).astype(np.int32),
        property=house.astype(np.int32),
        kind=np.full(len(house), KINDS.index(InteractionKind.DEAL), dtype=np.int8),
        occurred_at=1e9 + 86_400.0 * house.astype(np.float64),
    )
    assert each == 5
    found = fit(columns, log, replace(FAST, test_share=0.0, rerank_epochs=5), quiet)
    assert found.test is None
    held_out = queries(found.events, float(np.quantile(log.occurred_at, 0.9)), np.inf, 100, 0)
    items = replace(found.items, taken=owned_before(found.events, held_out.moment))
    assert found.artifact.calibration == _calibrate(
        found.artifact.reranker, items, held_out, FAST.seed
    )
