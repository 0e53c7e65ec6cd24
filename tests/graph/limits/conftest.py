"""Limits that hold on a busy machine, too."""

import pytest

from graph.limits import bucket


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is given time: operations that run unmetered would be refused by nothing."""
    monkeypatch.setattr(bucket, "TIMEOUT", 60.0)
