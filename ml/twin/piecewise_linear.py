"""Sums of piecewise linear functions of what is given, with gradients of their slopes alone.

Laid out side by side for a matrix product, the pieces of a batch fill memory by the tens of
megabytes, and moving them takes longer than computing them. Here each is computed in a buffer that
stays in the cache, added, and computed again where its gradient is asked for.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Columns = Callable[[], Iterable[Tensor]]
"""Gives the columns, each a tensor (...), one after the other; one may overwrite the last."""

Clamp = Callable[..., Tensor]
"""``torch.clamp_min`` or ``torch.clamp_max``."""


def add_clamped(
    start: Tensor, clamp: Clamp, columns: Columns, knots: Sequence[float], slopes: Tensor
) -> Tensor:
    """``start`` (...) plus the sum over knots and columns of slope times clamped column.

    Args:
        start: what is added to.
        clamp: on which side the knots bound a column.
        columns: n of them; no gradient flows back to them.
        knots: k of them.
        slopes: (k, n).
    """
    result: Tensor = _Clamped.apply(start, clamp, columns, knots, slopes)  # type: ignore[no-untyped-call]
    return result


class _Clamped(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        start: Tensor,
        clamp: Clamp,
        columns: Columns,
        knots: Sequence[float],
        slopes: Tensor,
    ) -> Tensor:
        ctx.clamp, ctx.columns, ctx.knots = clamp, columns, knots
        total, clamped = start.clone(), torch.empty_like(start)
        for column, pieces in zip(columns(), slopes.T.tolist(), strict=True):
            for knot, slope in zip(knots, pieces, strict=True):
                total.add_(clamp(column, knot, out=clamped), alpha=slope)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        flat = gradient.flatten()
        clamped = torch.empty_like(gradient, memory_format=torch.contiguous_format)
        pieces = [
            flat.dot(ctx.clamp(column, knot, out=clamped).view(-1))
            for column in ctx.columns()
            for knot in ctx.knots
        ]
        of_slopes = torch.stack(pieces).view(-1, len(ctx.knots)).T if pieces else None
        return gradient, None, None, None, of_slopes
