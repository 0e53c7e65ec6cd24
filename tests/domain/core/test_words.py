import pytest

from domain.core.words import by_word


def test_phrases_are_indexed_with_and_without_blanks() -> None:
    assert by_word({1: "a, b c", 2: "d"}) == {"a": 1, "b c": 1, "bc": 1, "d": 2}


@pytest.mark.parametrize("listed", ["b c", "bc, b"])
def test_a_word_of_two_meanings_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match="means 1 and 2"):
        by_word({1: "b c", 2: listed})


@pytest.mark.parametrize("listed", ["A", "a-b", "a,", ""])
def test_a_word_in_another_form_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match="write it as"):
        by_word({1: listed})
