from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.index_rows import pack, unpack
from ml.reranker import Items
from tests.ml.worlds import make_items


@given(seed=st.integers(0, 10_000), count=st.integers(0, 20), missing=st.floats(0, 1))
def test_round_trip_is_exact(seed: int, count: int, missing: float) -> None:
    items = make_items((count,), seed, missing)
    found = unpack(pack(items), items.embedding.numpy())
    for field in fields(Items):
        expected = getattr(items, field.name)
        got = getattr(found, field.name)
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


def test_any_float_survives() -> None:
    items = make_items((3,), seed=1, missing=0.0)
    odd = torch.tensor([1e-45, -3.4e38, -0.0])
    packed = pack(replace(items, prior=odd, spacing=odd))
    found = unpack(packed, items.embedding.numpy())
    assert found.prior.numpy().tobytes() == odd.numpy().tobytes()
    assert found.spacing.numpy().tobytes() == odd.numpy().tobytes()


@pytest.mark.parametrize("change", [lambda s: s[4:], lambda s: s + "AAAA", lambda _: ""])
def test_strings_of_another_program_are_refused(change: object) -> None:
    items = make_items((4,), seed=1)
    packed = pack(items)
    packed[2] = change(packed[2])  # type: ignore[operator]
    with pytest.raises(ValueError, match="another version of this program; reindex"):
        unpack(packed, items.embedding.numpy())


@pytest.mark.parametrize("foreign", ["not base64", "%%%%", "a"])
def test_what_is_no_row_at_all_is_refused(foreign: str) -> None:
    items = make_items((2,), seed=1)
    with pytest.raises(ValueError, match=r"reindex|base64|padd"):
        unpack([pack(items)[0], foreign], items.embedding.numpy())


def test_nothing_is_nothing() -> None:
    found = unpack([], np.empty((0, 16), dtype=np.float32))
    assert len(found.prior) == 0
    assert found.attributes.shape[1] == found.known.shape[1]
