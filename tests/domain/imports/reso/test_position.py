"""How far a feed is read, and what may be left out next time."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.imports.reso.position import MARGIN, OVERLAP, Position, modified

START = datetime(2024, 5, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes before the run starts."""
    return START - timedelta(minutes=minutes)


def test_the_watermark_is_the_latest_modification() -> None:
    position = Position().begin(START)
    assert position.since is None
    position = position.read([at(90), at(60)], "link", ordered=True)
    assert (position.watermark, position.reached, position.unfinished) == (None, at(60), True)
    position = position.read([at(30), at(50)], None, ordered=True).end()
    assert position == Position(watermark=at(30))
    assert position.begin(START).since == at(30) - OVERLAP


def test_the_watermark_neither_passes_the_start_nor_falls() -> None:
    future = Position().begin(START).read([at(-9_999)], None, ordered=True).end()
    assert future.watermark == START
    again = Position(watermark=at(5)).begin(START).read([at(10)], None, ordered=True).end()
    assert again.watermark == at(5)
    assert Position(watermark=at(5)).begin(START).end().watermark == at(5)


@pytest.mark.parametrize(
    ("moments", "ordered", "known"),
    [
        ([90, 60], True, 60),
        ([90, 60, 60], True, 60),
        ([60, 60], True, 500),
        ([60, 90], True, 500),
        ([90, 60, 70], True, 500),
        ([90, 60], False, 500),
    ],
)
def test_an_unfinished_query_counts_only_in_order(
    moments: list[float], ordered: bool, known: float
) -> None:
    position = Position(watermark=at(500)).begin(at(0))
    for moment in moments:
        position = position.read([at(moment)], "link", ordered=ordered)
    again = position.begin(START)
    assert (again.watermark, again.since) == (at(known), at(known) - OVERLAP)
    assert (again.next_link, again.reached, again.in_order) == (None, None, None)


def test_a_query_goes_on_where_another_stands() -> None:
    position = Position().begin(START).read([at(90), at(60)], "link", ordered=True)
    assert position.continuable
    position = position.go_on()
    assert position.since == at(60) - MARGIN
    assert not position.read([at(60), at(60)], "link", ordered=True).continuable
    assert not position.read([at(61), at(60)], "link", ordered=False).continuable
    later = START + timedelta(hours=1)
    assert position.read([at(60), later], None, ordered=True).end().watermark == START


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2024-05-01T12:00:00Z", START),
        ("2024-05-01T12:00:00.0000000Z", START),
        ("2024-05-01T07:00:00-05:00", START),
        ("2024-05-01T12:00:00", START),
        ("0001-01-01T00:00:00+09:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        (1714564800, None),
        (None, None),
    ],
)
def test_times_of_modification_are_read(said: object, moment: datetime | None) -> None:
    assert modified({"ModificationTimestamp": said}) == moment
