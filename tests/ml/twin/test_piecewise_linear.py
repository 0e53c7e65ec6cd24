"""Sums computed piece by piece are those laid out at once, and so are their gradients."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ml.twin.piecewise_linear import add_clamped


def drawn(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@given(
    seed=st.integers(0, 10_000),
    clamp=st.sampled_from((torch.clamp_min, torch.clamp_max)),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    columns=st.integers(0, 3),
    knots=st.lists(st.floats(-2, 2), min_size=1, max_size=4),
)
def test_sums_and_gradients_are_those_of_the_definition(
    seed: int, clamp: Any, shape: list[int], columns: int, knots: list[float]
) -> None:
    values = drawn(seed, columns, *shape)
    start = drawn(seed + 1, *shape).requires_grad_()
    slopes = drawn(seed + 2, len(knots), columns).requires_grad_()
    buffer = torch.empty(shape, dtype=torch.float64)

    def one_after_the_other() -> Iterator[Tensor]:
        for column in values:
            yield buffer.copy_(column)

    expected = start + sum(
        slopes[place, column] * clamp(values[column], knot)
        for place, knot in enumerate(knots)
        for column in range(columns)
    )
    found = add_clamped(start, clamp, one_after_the_other, knots, slopes)
    torch.testing.assert_close(found, expected)
    worth = drawn(seed + 3, *shape)
    if columns:
        told = torch.autograd.grad((found * worth).sum(), (start, slopes))
        true = torch.autograd.grad((expected * worth).sum(), (start, slopes))
        torch.testing.assert_close(told, true)
    else:
        (found * worth).sum().backward()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(start.grad, worth)


@pytest.mark.cuda
def test_cuda_computes_the_same() -> None:
    values, start, slopes = drawn(0, 2, 30), drawn(1, 30), drawn(2, 3, 2)

    def computed(device: str) -> tuple[Tensor, ...]:
        given = [one.detach().to(device).requires_grad_() for one in (start, slopes)]
        columns = list(values.to(device))
        found = add_clamped(given[0], torch.clamp_max, lambda: columns, (-1.0, 0.0, 1.0), given[1])
        return found, *torch.autograd.grad((found * found.detach()).sum(), given)

    for on_cpu, on_cuda in zip(computed("cpu"), computed("cuda"), strict=True):
        torch.testing.assert_close(on_cuda.cpu(), on_cpu)
