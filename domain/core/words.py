"""Words that other systems use for the values of a vocabulary."""

from collections.abc import Mapping
from typing import TypeVar

from domain.core.canonical import word

Value = TypeVar("Value")


def by_word(meanings: Mapping[Value, str]) -> Mapping[str, Value]:
    """Index the words for each value.

    A phrase is indexed without its blanks as well: some systems write "for sale" as FORSALE.

    Args:
        meanings: for each value its words and phrases, separated by commas, in the form that
            ``canonical.word`` returns.

    Raises:
        ValueError: a word has two meanings or another form.
    """
    index: dict[str, Value] = {}
    for value, listed in meanings.items():
        for phrase in map(str.strip, listed.split(",")):
            if not phrase or phrase != word(phrase):
                raise ValueError(f"{phrase!r}: write it as {word(phrase) or 'a word'!r}")
            for spelling in (phrase, phrase.replace(" ", "")):
                if index.setdefault(spelling, value) != value:
                    raise ValueError(f"{spelling!r} means {index[spelling]} and {value}")
    return index
