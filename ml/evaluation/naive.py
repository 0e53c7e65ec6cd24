"""The obvious recipe, to show what it is worth: an ID per investor, and features as they come.

Features are scaled by constants, the investor is a learned vector that knows nothing of what the
investor did, and the two meet in a dot product trained with binary cross entropy on random
negatives.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from domain.contract.vocabulary import ListingStatus, PropertyType
from ml.evaluation.baselines import Scorer
from ml.evaluation.protocols import Query, Split
from ml.twin.dataset import KIND_WEIGHTS

EPOCHS = 5
NEGATIVES = 4
BATCH = 256
LEARNING_RATE = 1e-3
_MOST = 100_000
"""Approvals of an epoch at most; of more, each epoch takes another sample."""

_SIZES = (128, 64, 32, 16)

_SCALES = {
    "listing_price": 1e6,
    "estimated_value": 1e6,
    "bedrooms": 10.0,
    "bathrooms": 10.0,
    "square_feet": 1e4,
    "lot_square_feet": 1e5,
    "year_built": 2e3,
    "latitude": 90.0,
    "longitude": 180.0,
    "days_on_market": 365.0,
}
"""What the numeric columns are divided by; the rest are about 1 as they are."""


class _TwoTables(nn.Module):
    """A tower for properties and a vector for each investor."""

    def __init__(self, features: int, users: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((features, *_SIZES), _SIZES, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.property = nn.Sequential(*layers[:-1])
        self.investor = nn.Embedding(users, _SIZES[-1])

    def forward(self, features: Tensor, user: Tensor) -> Tensor:
        """Log-odds (b,)."""
        product: Tensor = (self.property(features) * self.investor(user)).sum(dim=-1)
        return product


def naive_recipe(split: Split, seed: int) -> Scorer:
    """Train the recipe on what came before the cut; leaves torch's global seed as it was."""
    features = torch.from_numpy(_scaled(split.columns))
    liked = KIND_WEIGHTS[split.past.kind] > 0
    user = torch.as_tensor(split.past.user[liked], dtype=torch.int64)
    item = torch.as_tensor(split.past.property[liked], dtype=torch.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _TwoTables(features.shape[1], len(split.past.users))
        optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        for _ in range(EPOCHS):
            for batch in torch.split(torch.randperm(len(user))[:_MOST], BATCH):
                drawn = torch.randint(len(features), (len(batch) * NEGATIVES,))
                users = torch.cat((user[batch], user[batch].repeat(NEGATIVES)))
                target = torch.zeros(len(users))
                target[: len(batch)] = 1
                logits = model(features[torch.cat((item[batch], drawn))], users)
                loss = functional.binary_cross_entropy_with_logits(logits, target)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    with torch.inference_mode():
        catalogue = model.property(features).double().numpy()
        vectors = model.investor.weight.double().numpy()
    place = {user_id: number for number, user_id in enumerate(split.past.users)}

    def naive(query: Query) -> NDArray[np.float64]:
        return np.asarray(catalogue @ vectors[place[query.investor.user_id]])

    return naive


def _scaled(columns: PropertyColumns) -> NDArray[np.float32]:
    """float32 (n, 24): numbers over constants, types and statuses one-hot, 0 where missing."""
    scales = np.array([_SCALES.get(name, 1.0) for name in NUMERIC_COLUMNS])
    types = np.arange(len(PropertyType)) == columns.property_type[:, None]
    statuses = np.arange(len(ListingStatus)) == columns.listing_status[:, None]
    numbers = np.nan_to_num(columns.numeric / scales)
    return np.concatenate((numbers, types, statuses), axis=1).astype(np.float32)
