"""What the second stage reads, as tensors: properties, acts and what acts amount to."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from domain.contract.snapshots import PropertyColumns

EARTH_RADIUS_KM = 6371.0088


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """What the re-ranker reads of properties; leading dimensions (...) are free.

    Attributes:
        attributes: float32 (..., 15), see ``ml.twin.features.attributes``.
        known: bool (..., 15), which attributes are not missing.
        position: float32 (..., 3), kilometres from the centre of the earth, NaN if unknown.
        spacing: float32 (...,), natural logarithm of the local spacing in kilometres.
        property_type: int64 (...,), position in ``PropertyType``, -1 if unknown.
        taken: float32 (...,), 1 where another investor of the tenant owns it, else 0.
        embedding: float32 (..., 16), unit vectors.
        prior: float32 (...,), see ``Reranker.prior``; read of candidates alone.
    """

    attributes: Tensor
    known: Tensor
    position: Tensor
    spacing: Tensor
    property_type: Tensor
    taken: Tensor
    embedding: Tensor
    prior: Tensor

    def __getitem__(self, index: Tensor | slice | tuple[slice | int, Tensor] | None) -> "Items":
        """The items at the index, in its shape; with None, as a batch of one."""
        return Items(*(getattr(self, field.name)[index] for field in fields(self)))

    def rows(self, rows: NDArray[np.intp]) -> "Items":
        """The items of those rows, on the same device."""
        return self[torch.as_tensor(rows, device=self.prior.device)]

    def to(self, device: torch.device) -> "Items":
        """The same on another device."""
        return Items(*(getattr(self, field.name).to(device) for field in fields(self)))


def positions(properties: PropertyColumns) -> Tensor:
    """Points on the sphere, float32 (n, 3) in kilometres, NaN where a coordinate is missing."""
    points = on_sphere(properties.column("latitude"), properties.column("longitude"))
    return torch.from_numpy(points.astype(np.float32))


def on_sphere(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points in degrees (...) as kilometres from the centre of the earth, float64 (..., 3)."""
    north, east = np.radians(latitude), np.radians(longitude)
    return EARTH_RADIUS_KM * np.stack(
        (np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)), axis=-1
    )


@dataclass(frozen=True, slots=True, eq=False)
class Acts:
    """What b investors did, padded to the same length h.

    Attributes:
        items: (b, h), the properties acted on.
        row: int64 (b, h), the same number for the same property.
        kind: int64 (b, h), position in ``InteractionKind``.
        age: float32 (b, h), years since.
        present: bool (b, h), false where the row is padding.
    """

    items: Items
    row: Tensor
    kind: Tensor
    age: Tensor
    present: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """What b investors hold of the properties they acted on: one opinion of each.

    Attributes:
        items: (b, h), the properties.
        weight: float32 (b, h), above 0 where the investor approves of one, below where it dislikes
            one, and 0 where the row says nothing.
    """

    items: Items
    weight: Tensor
