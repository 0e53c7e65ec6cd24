"""The filter columns as arrays: appended, viewed, taken."""

from dataclasses import replace

import numpy as np
import pytest

from domain.contract.filters import Labels, PropertyFilter, Range
from domain.contract.snapshots import PropertyColumns
from domain.contract.vocabulary import PropertyType
from ml.catalogue.columns import FilterColumns, FilterView
from ml.catalogue.filters import matching
from tests.ml.worlds import make_columns

COUNT = 200


@pytest.fixture(scope="module")
def labelled() -> PropertyColumns:
    """Two hundred properties with labels; the words of every tenth are none."""
    labels = tuple(
        Labels(f"house-{row}", ("WA", "OR", None)[row % 3], () if row % 10 == 0 else words(row))
        for row in range(COUNT)
    )
    return replace(make_columns(COUNT), labels=labels)


def words(row: int) -> tuple[str, ...]:
    return ("house", str(row), ("\u6771\u4eac", "oak", "oakland")[row % 3])


def rows(where: PropertyFilter, view: FilterView) -> list[int]:
    """The rows that match."""
    mask = matching(where, view, lambda _: np.array([], dtype=np.intp))
    return list(range(len(view))) if mask is None else np.flatnonzero(mask).tolist()


FILTERS = (
    PropertyFilter(price=Range(300_000, 500_000)),
    PropertyFilter(property_types=(PropertyType.CONDO, PropertyType.LAND), cities=("Seattle",)),
    PropertyFilter(states=("OR", "TX"), renovation_needed=True),
    PropertyFilter(words=("oak",)),
    PropertyFilter(words=("1", "\u6771")),
    PropertyFilter(external_ids=("house-7", "house-199", "house-1000")),
)


def test_words_are_found_where_they_begin(labelled: PropertyColumns) -> None:
    columns = FilterColumns()
    columns.append(labelled)
    view = columns.view()
    named = [row for row in range(COUNT) if row % 10]
    assert rows(PropertyFilter(words=("oak",)), view) == [row for row in named if row % 3]
    assert rows(PropertyFilter(words=("oakl",)), view) == [row for row in named if row % 3 == 2]
    assert rows(PropertyFilter(words=("akland",)), view) == []
    assert rows(PropertyFilter(words=("oak", "19")), view) == [
        row for row in named if row % 3 and str(row).startswith("19")
    ]


def test_a_filter_without_parts_restricts_nothing(labelled: PropertyColumns) -> None:
    columns = FilterColumns()
    columns.append(labelled)
    assert matching(PropertyFilter(), columns.view(), lambda _: np.empty(0, np.intp)) is None


def test_columns_appended_in_parts_are_those_appended_at_once(labelled: PropertyColumns) -> None:
    whole, parts = FilterColumns(COUNT), FilterColumns()
    whole.append(labelled)
    for first in range(0, COUNT, 7):
        parts.append(labelled.take(range(first, min(first + 7, COUNT))))
    assert len(whole) == len(parts) == COUNT
    for where in FILTERS:
        assert rows(where, whole.view()) == rows(where, parts.view()) != []


def test_a_view_keeps_what_it_showed_when_rows_are_appended(labelled: PropertyColumns) -> None:
    columns = FilterColumns()
    columns.append(labelled.take(range(50)))
    view = columns.view()
    before = [rows(where, view) for where in FILTERS]
    columns.append(labelled.take(range(50, COUNT)))
    assert len(view) == 50
    assert [rows(where, view) for where in FILTERS] == before


def test_rows_are_taken_in_the_order_asked_for(labelled: PropertyColumns) -> None:
    columns, expected = FilterColumns(), FilterColumns()
    columns.append(labelled)
    order = np.arange(COUNT)[::-3]
    expected.append(labelled.take(order))
    taken = columns.take(order)
    assert len(taken) == len(order)
    for where in FILTERS:
        assert rows(where, taken.view()) == rows(where, expected.view())
    taken.append(labelled)
    assert rows(PropertyFilter(external_ids=("house-0",)), taken.view())[-1] == len(order)


def test_texts_that_no_row_has_are_forgotten_when_rows_are_taken(
    labelled: PropertyColumns,
) -> None:
    columns = FilterColumns()
    columns.append(labelled)
    taken = columns.take(np.array([0, 3, 6]))
    assert taken.view().codes["state"] == {"WA": 0}


def test_columns_are_kept_in_at_most_200_bytes_a_property(labelled: PropertyColumns) -> None:
    columns = FilterColumns(COUNT)
    columns.append(labelled)
    columns.settle()
    assert columns.nbytes < 200 * COUNT


def test_properties_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="2 properties with 0 labels"):
        FilterColumns().append(make_columns(2))
