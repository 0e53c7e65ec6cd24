from collections.abc import Callable
from dataclasses import fields, replace
from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.index.index_rows import pack, unpack
from ml.twin.items import Items
from tests.ml.worlds import make_items


def make_ids(count: int, seed: int = 0) -> list[UUID]:
    """Ascending ids, some of them with zero bytes at either end."""
    rng = np.random.default_rng(seed)
    drawn = {UUID(bytes=rng.bytes(16)) for _ in range(count)}
    return sorted([*drawn, UUID(int=0), UUID(int=1 << 120), UUID(int=256)])[:count]


@given(seed=st.integers(0, 10_000), count=st.integers(0, 20), missing=st.floats(0, 1))
def test_round_trip_is_exact(seed: int, count: int, missing: float) -> None:
    items, ids = make_items((count,), seed, missing), make_ids(count, seed)
    found = unpack(pack(ids, items))
    assert list(found.ids) == ids
    for field in fields(Items):
        expected = getattr(items, field.name)
        got = getattr(found.items, field.name)
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


@given(rows=st.lists(st.integers(0, 7), max_size=30))
def test_each_property_is_there_once_in_the_order_of_ids(rows: list[int]) -> None:
    items, ids = make_items((8,), seed=3), make_ids(8)
    packed = pack(ids, items)
    found = unpack([packed[row] for row in rows])
    distinct = sorted(set(rows))
    assert list(found.ids) == [ids[row] for row in distinct]
    assert [rows[first] for first in found.first] == distinct
    assert torch.equal(found.items.prior, items.prior[distinct])


def test_any_float_survives() -> None:
    items, ids = make_items((3,), seed=1, missing=0.0), make_ids(3)
    odd = torch.tensor([1e-45, -3.4e38, -0.0])
    found = unpack(pack(ids, replace(items, prior=odd, spacing=odd))).items
    assert found.prior.numpy().tobytes() == odd.numpy().tobytes()
    assert found.spacing.numpy().tobytes() == odd.numpy().tobytes()


# The last is a row of the format before this one.
@pytest.mark.parametrize(
    "change", [lambda s: s[4:], lambda s: s + "AAAA", lambda _: "", lambda s: s[:120]]
)
def test_strings_of_another_program_are_refused(change: Callable[[str], str]) -> None:
    packed = pack(make_ids(4), make_items((4,), seed=1))
    packed[2] = change(packed[2])
    with pytest.raises(ValueError, match="another version of this program; reindex"):
        unpack(packed)


@pytest.mark.parametrize("foreign", ["not base64", "%%%%", "a", "%" * 224, "=" * 224])
def test_what_is_no_row_at_all_is_refused(foreign: str) -> None:
    packed = pack(make_ids(2), make_items((2,), seed=1))
    with pytest.raises(ValueError, match=r"reindex|base64|padd"):
        unpack([packed[0], foreign])


def test_nothing_is_nothing() -> None:
    found = unpack([])
    assert not found.ids
    assert len(found.items.prior) == 0
    assert found.items.attributes.shape[1] == found.items.known.shape[1]
