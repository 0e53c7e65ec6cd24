"""The inverted index of words, against a plain look at every word."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.catalogue.words import Words, WordsView

words = st.text("ab1ñ", min_size=1, max_size=4)
batches = st.lists(st.lists(st.lists(words, max_size=4).map(tuple), max_size=6), max_size=4)


def expected(rows: list[tuple[str, ...]], prefix: str) -> list[bool]:
    return [any(word.startswith(prefix) for word in row) for row in rows]


def found(view: WordsView, rows: list[tuple[str, ...]], prefix: str) -> list[bool]:
    mask: list[bool] = view.with_prefix(prefix, len(rows)).tolist()
    return mask


@given(st.data())
def test_rows_are_found_however_they_came(data: st.DataObject) -> None:
    every: list[tuple[str, ...]] = []
    index = Words()
    for batch in data.draw(batches):
        before, earlier = index.view(), list(every)
        index.append(batch)
        every += batch
        prefix = data.draw(words)
        assert found(before, earlier, prefix) == expected(earlier, prefix)
        assert found(index.view(), every, prefix) == expected(every, prefix)
        if data.draw(st.booleans()):
            kept = data.draw(st.permutations(range(len(every))))[: data.draw(st.integers(0, 9))]
            index = index.take(np.array(kept, dtype=np.intp))
            every = [every[row] for row in kept]
            assert found(index.view(), every, prefix) == expected(every, prefix)


def test_a_word_is_kept_once_however_many_rows_have_it() -> None:
    index = Words()
    for _ in range(50):
        index.append([("main", "st"), ("main", "ave"), ()])
    view = index.take(np.arange(150)).view()
    assert sorted(view.text.tobytes().decode()) == sorted("mainstave")
    assert found(view, [()] * 150, "main") == [True, True, False] * 50


def test_words_that_no_row_has_any_more_are_forgotten() -> None:
    index = Words()
    index.append([("oak",), ("elm",)])
    assert index.take(np.array([1])).view().text.tobytes() == b"elm"
