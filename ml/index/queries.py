"""What searches ask for, in Qdrant's own messages; ``ml.index.filters`` limits them.

Only ``ml.index.space`` sends them: to one tenant's one model version.
"""

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc


def nearest_to(vector: NDArray[np.float32]) -> grpc.Query:
    """What is most like a vector (16,)."""
    return grpc.Query(nearest=_input(vector))


def nearest_to_any(vectors: NDArray[np.float32]) -> grpc.Query:
    """What is most like any of the vectors (k, 16), k at least 1."""
    return grpc.Query(
        recommend=grpc.RecommendInput(
            positive=list(map(_input, vectors)), strategy=grpc.RecommendStrategy.BestScore
        )
    )


def to_cosine(score: float) -> float:
    """The cosine that Qdrant's best-score strategy makes a score of: 0.75 is a cosine of 1."""
    signed = 2 * score - 1
    return signed / (1 - abs(signed))


def to_score(cosine: float) -> float:
    """The inverse of ``to_cosine``."""
    return (cosine / (1 + abs(cosine)) + 1) / 2


def only(*fields: str) -> grpc.WithPayloadSelector:
    """These fields of the payload."""
    return grpc.WithPayloadSelector(include=grpc.PayloadIncludeSelector(fields=fields))


def _input(vector: NDArray[np.float32]) -> grpc.VectorInput:
    return grpc.VectorInput(dense=grpc.DenseVector(data=vector.tolist()))
