"""The evaluation that is kept with a version."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import torch

from domain.contract.snapshots import InteractionLog, PropertyColumns, StoredModel
from ml.evaluation import kept
from ml.evaluation.kept import report_of, restore
from ml.evaluation.protocols import EvaluationError, Protocol
from ml.training.config import TrainingConfig
from ml.training.training import TrainedTwin, train
from ml.twin.artifacts import unpack
from tests.ml.worlds import make_streets

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig(epochs=2, rerank_epochs=2, rerank_examples=300, device="cpu", seed=3)
World = tuple[PropertyColumns, InteractionLog]


@pytest.fixture(scope="module")
def world() -> World:
    return make_streets()


@pytest.fixture(scope="module")
def trained(world: World) -> TrainedTwin:
    return train(*world, CONFIG, lambda _: None)


def measured(trained: TrainedTwin, world: World, **said: Any) -> dict[str, Any]:
    stored = StoredModel(trained.weights, json.loads(json.dumps(trained.metadata)))
    epochs = trained.metrics["epochs"]
    return report_of(stored, epochs, *world, device=torch.device("cpu"), **said)


@pytest.fixture(scope="module")
def report(trained: TrainedTwin, world: World) -> dict[str, Any]:
    return measured(trained, world)


def test_it_measures_on_what_is_new_to_the_twin(
    trained: TrainedTwin, world: World, report: dict[str, Any]
) -> None:
    _, log = world
    artifact = unpack(StoredModel(trained.weights, trained.metadata))
    moment = datetime.fromtimestamp(artifact.held_out_from, UTC)
    assert report["cut"] == moment.isoformat(timespec="seconds")
    assert report["learned_from"] == int((log.occurred_at < artifact.held_out_from).sum())
    assert report["learned_from"] == pytest.approx(0.9 * len(log), abs=1)
    assert report["training"] == [{"seed": 3, "seconds": None, "epochs": trained.metrics["epochs"]}]
    assert report["config"]["seed"] == 3
    assert not report["simulated"]


def test_it_measures_that_very_twin(
    trained: TrainedTwin, world: World, report: dict[str, Any]
) -> None:
    """The same again for the same weights; other figures for weights that mean nothing."""
    again = measured(trained, world, simulated=True)
    assert again | {"made_at": ""} == report | {"made_at": "", "simulated": True}
    untrained = train(
        *world, replace(CONFIG, epochs=1, rerank_epochs=0, learning_rate=1e-9), lambda _: None
    )
    found, other = restore(report), restore(measured(untrained, world))
    assert found.embeddings.vectors != other.embeddings.vectors
    gains = [one.result(Protocol.ALL, "twin").metrics["gain"].value for one in (found, other)]
    assert gains[0] > gains[1]
    # What needs no training is none the wiser.
    for name in ("mix", "popularity", "nearest-owned", "content cosine"):
        assert found.result(Protocol.ALL, name) == other.result(Protocol.ALL, name)


def test_it_comes_back_from_the_database_as_it_was(report: dict[str, Any]) -> None:
    found = restore(json.loads(json.dumps(report, allow_nan=False)))
    assert json.loads(json.dumps(found.to_json())) == report
    assert found.result(Protocol.ALL, "twin").against["mix"].ratio is not None
    assert len(found.embeddings.vectors) == len(found.embeddings.label) == found.properties


def test_large_tenants_are_asked_about_fewer_investors(
    trained: TrainedTwin, world: World, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert restore(report).result(Protocol.ALL, "twin").investors > 20
    monkeypatch.setattr(kept, "_RANKED", 10)
    few = restore(measured(trained, world))
    assert {result.investors for result in few.results if result.protocol is Protocol.ALL} == {10}
    told = few.responsiveness
    assert told is not None
    assert told.investors <= 10
    assert few.calibration["pairs"] < report["calibration"]["pairs"]


def test_a_version_that_does_not_say_what_is_new_to_it_has_none(
    trained: TrainedTwin, world: World
) -> None:
    older = {name: trained.metadata[name] for name in trained.metadata if "until" not in name}
    del older["held_out_from"]
    with pytest.raises(EvaluationError, match="before"):
        measured(replace(trained, metadata=older), world)


def test_nothing_later_is_named(trained: TrainedTwin, world: World) -> None:
    columns, log = world
    early = log.occurred_at < trained.metadata["held_out_from"]
    past = replace(
        log,
        user=log.user[early],
        property=log.property[early],
        kind=log.kind[early],
        occurred_at=log.occurred_at[early],
    )
    with pytest.raises(
        EvaluationError, match=r"the first 100% of the interactions.*there are none"
    ):
        measured(trained, (columns, past))


def test_another_form_is_named(report: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError, match=r"does not read: .*'results'"):
        restore({name: value for name, value in report.items() if name != "results"})


def test_workers_need_nothing_that_draws() -> None:
    """The extra ``evaluation`` is for people who look at reports."""
    hidden = "import sys; sys.modules |= dict.fromkeys(['matplotlib', 'sklearn', 'threadpoolctl'])"
    done = subprocess.run(
        [sys.executable, "-c", f"{hidden}; import ml.evaluation.kept, jobs.model_registry.reports"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
