"""The evaluation that is kept with every version: of that very twin, on what is new to it.

It costs a small part of what training does. Investors are asked about as far as a fixed number of
pairs of investor and property allows, so that a large tenant takes about as long as a small one.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from domain.contract.snapshots import InteractionLog, PropertyColumns, StoredModel
from ml.evaluation.evaluate import Evaluation, assess
from ml.evaluation.naive import naive_recipe
from ml.evaluation.offline import OfflineTwin
from ml.evaluation.protocols import EvaluationError, Protocol, split
from ml.twin.artifacts import unpack
from ml.twin.scoring import LoadedTwin

_RANKED = 1_000_000
"""Pairs of investor and property that each protocol ranks, or the least investors' worth."""

_PROTOCOLS = (Protocol.ALL, Protocol.NEW_LISTINGS, Protocol.NEW_SITE)
"""Without that of neighbourhoods, which asks about an investor many times over."""

_LEAST_INVESTORS, _MOST_INVESTORS = 10, 100


def report_of(
    stored: StoredModel,
    epochs: list[dict[str, Any]],
    columns: PropertyColumns,
    log: InteractionLog,
    *,
    device: torch.device,
    simulated: bool = False,
) -> dict[str, Any]:
    """Measure a stored twin on what it neither learned from nor was chosen by: an `Evaluation`.

    Args:
        stored: the version.
        epochs: how its training went, see ``ml.evaluation.probes.Fitted.history``.
        columns: the properties.
        log: all interactions.
        device: where to compute.
        simulated: whether any of the interactions are.

    Returns:
        JSON of finite numbers, which ``restore`` reads.

    Raises:
        EvaluationError: there is too little to measure on.
        ml.twin.artifacts.ArtifactError: the version cannot be used.
    """
    artifact = unpack(stored, device)
    if not artifact.held_out_from:
        raise EvaluationError("the version was stored before it was kept what is new to it")
    config: dict[str, Any] = stored.metadata.get("config", {})
    seed = config.get("seed", 0)
    cut = split(columns, log, cut=artifact.held_out_from)
    twin = OfflineTwin(LoadedTwin(artifact, device), cut.columns, epochs, None)
    most = max(_LEAST_INVESTORS, min(_MOST_INVESTORS, _RANKED // len(columns)))
    evaluation = assess(
        cut,
        [twin],
        [naive_recipe(cut, seed)],
        _PROTOCOLS,
        seeds=(seed,),
        interactions=len(log),
        most=most,
        config=config,
        simulated=simulated,
    )
    # As the database will have it; a number that is none is an error here, not there.
    result: dict[str, Any] = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    return result


def restore(value: Mapping[str, Any]) -> Evaluation:
    """The inverse of ``Evaluation.to_json``.

    Raises EvaluationError if another version of this program wrote it in another form.
    """
    try:
        return TypeAdapter(Evaluation).validate_python(value)
    except ValidationError as error:
        raise EvaluationError(
            "the kept evaluation has a form that this version of the program does not read: "
            f"{error.errors()[0]['loc']}"
        ) from error
