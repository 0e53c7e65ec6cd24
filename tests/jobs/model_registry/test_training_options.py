"""What a job may say of a training, as arguments of the command that trains."""

import pytest

from domain.core.errors import DomainError
from jobs.queue.child import training_arguments


def test_options_become_arguments() -> None:
    assert training_arguments({"batch_size": 32, "warm": True}) == ["--batch-size=32", "--warm"]
    assert training_arguments({"warm": False}) == []
    # The command refuses it: a flag takes no value.
    assert training_arguments({"warm": "yes"}) == ["--warm=yes"]


def test_others_are_refused() -> None:
    with pytest.raises(DomainError, match=r"training option .frob.: use epochs, .*, warm"):
        training_arguments({"frob": 1})
