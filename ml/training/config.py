"""How to train: every setting in one place, with defaults for fifty properties or a million."""

from dataclasses import dataclass, replace
from typing import Literal

from ml.training.losses import Loss

STRETCH = 16
"""Examples of one investor that stay together in a batch."""


class TrainingError(ValueError):
    """There is too little to learn from, or the configuration is impossible; says which."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train.

    Attributes:
        epochs: most passes of the towers over the examples.
        patience: passes without a better gain on the validation slice after which they end.
        batch_size: most examples per step; less where there would be few steps to an epoch.
        epoch_examples: most examples of an epoch; of more, each epoch takes another sample.
        learning_rate: of AdamW at the start; it falls to zero along a cosine.
        weight_decay: of AdamW, on the matrices of the property tower.
        loss: "infonce" (sampled softmax) or "triplet".
        temperature: of the softmax.
        margin: of the triplet loss, in cosine.
        negatives: properties drawn uniformly per step, shared by the batch.
        rerank_epochs: passes of the re-ranker.
        rerank_examples: most examples that it learns from, a sample of all.
        rerank_negatives: properties drawn for each of them.
        rerank_learning_rate: of Adam at the start; it falls to zero along a cosine.
        rerank_pull: weight of the squared distance from its starting weights, in examples: who has
            few stays near what other markets taught.
        warm_epochs: as ``epochs``, where training continues from a version: see ``warmed``.
        warm_learning_rate: as ``learning_rate``, the same.
        warm_rerank_epochs: as ``rerank_epochs``, the same.
        warm_rerank_learning_rate: as ``rerank_learning_rate``, the same.
        warm_replay: examples that the version has learned from already, drawn again for each new
            one, so that they are not forgotten.
        validation_share: share of the interactions, by time, that chooses the epoch and fits the
            calibration.
        test_share: share of the interactions, the newest, that is only measured; 0 for none.
        evaluated_investors: at most this many investors are ranked for each evaluation; fewer
            where there are many properties.
        lookback_days: how old interactions may be at most, from the newest; None for any age.
        device: "auto" takes CUDA if there is one.
        seed: of everything drawn; on one device equal seeds give equal weights.
    """

    epochs: int = 20
    patience: int = 6
    batch_size: int = 256
    epoch_examples: int = 10_000
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    loss: Loss = "infonce"
    temperature: float = 0.05
    margin: float = 0.2
    negatives: int = 1024
    rerank_epochs: int = 20
    rerank_examples: int = 3000
    rerank_negatives: int = 96
    rerank_learning_rate: float = 2e-2
    rerank_pull: float = 16.0
    warm_epochs: int = 3
    warm_learning_rate: float = 3e-4
    warm_rerank_epochs: int = 3
    warm_rerank_learning_rate: float = 5e-3
    warm_replay: float = 1.0
    validation_share: float = 0.1
    test_share: float = 0.1
    evaluated_investors: int = 2000
    lookback_days: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises TrainingError naming the field that is out of range."""
        positive = (
            "epochs",
            "warm_epochs",
            "patience",
            "negatives",
            "epoch_examples",
            "rerank_examples",
            "evaluated_investors",
        )
        limits = [(name, getattr(self, name) >= 1, "at least 1") for name in positive]
        limits += [
            (name, getattr(self, name) > 0, "greater than 0")
            for name in (
                "learning_rate",
                "rerank_learning_rate",
                "warm_learning_rate",
                "warm_rerank_learning_rate",
                "margin",
            )
        ]
        limits += [
            (name, getattr(self, name) >= 0, "at least 0")
            for name in (
                "weight_decay",
                "rerank_pull",
                "rerank_epochs",
                "warm_rerank_epochs",
                "warm_replay",
            )
        ]
        limits += [
            ("validation_share", 0 < self.validation_share < 0.5, "between 0 and 0.5"),
            ("test_share", 0 <= self.test_share < 0.5, "at least 0 and below 0.5"),
            ("temperature", self.temperature >= 0.02, "at least 0.02"),
            ("rerank_negatives", self.rerank_negatives >= 2, "at least 2"),
            ("batch_size", self.batch_size >= STRETCH, f"at least {STRETCH}"),
            ("loss", self.loss in {"infonce", "triplet"}, "infonce or triplet"),
            ("device", self.device in {"auto", "cpu", "cuda"}, "auto, cpu or cuda"),
            (
                "lookback_days",
                self.lookback_days is None or self.lookback_days >= 1,
                "at least 1, or None",
            ),
        ]
        for name, valid, rule in limits:
            if not valid:
                raise TrainingError(f"training: {name} must be {rule}: {getattr(self, name)!r}")

    def warmed(self) -> "TrainingConfig":
        """The same with fewer passes and smaller steps, for weights that are good already."""
        return replace(
            self,
            epochs=self.warm_epochs,
            learning_rate=self.warm_learning_rate,
            rerank_epochs=self.warm_rerank_epochs,
            rerank_learning_rate=self.warm_rerank_learning_rate,
        )
