"""Jobs in a process of their own: started, listened to, and never left behind."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.contract import tracing
from domain.core.errors import invalid
from jobs.queue.runs import JobError, JobPostponedError


class ChildError(RuntimeError):
    """The process ended badly, and another may do better."""


TRAINING_OPTIONS = (
    "epochs",
    "batch_size",
    "learning_rate",
    "device",
    "lookback_days",
    "seed",
    "warm",
)
"""What a job may set: fields of ``TrainingConfig``, and whether to go on from a version."""

ROOT = Path(__file__).resolve().parents[2]
_USAGE = 2
"""The exit code of a command that was used wrongly."""

_TAIL = 4000
"""Characters kept of what a child wrote to stderr."""


def training_arguments(options: Mapping[str, Any]) -> list[str]:
    """The options as arguments of ``twin train``, which checks their values.

    Raises:
        DomainError: INVALID_INPUT for an unknown option.
    """
    for name in options:
        if name not in TRAINING_OPTIONS:
            raise invalid(f"training option {name!r}: use {', '.join(TRAINING_OPTIONS)}", "options")
    arguments = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if name == "warm" and isinstance(value, bool):
            arguments += [option] * value
        else:
            arguments.append(f"{option}={value}")
    return arguments


async def run_cli(arguments: Sequence[str]) -> dict[str, Any]:
    """Run ``python -m cli`` with the arguments and ``--supervised``; the JSON that it prints.

    Its stdin is a pipe that closes when this process ends, which ends it. A cancelled call kills
    it.

    Raises:
        JobError: the arguments are wrong.
        JobPostponedError: it ended with ``os.EX_TEMPFAIL``: not now.
        ChildError: it failed otherwise, or was killed; with the end of what it wrote to stderr.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *arguments,
        "--supervised",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": _python_path()} | tracing.environment(),
        # A Ctrl-C in the terminal is for the worker, which then decides about its children.
        start_new_session=True,
    )
    try:
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("a child process without pipes")
        output, tail = await asyncio.gather(process.stdout.read(), _tail(process.stderr))
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code == os.EX_TEMPFAIL:
        # The command's own last word; what came before may be anybody's.
        last = tail.splitlines()[-1] if tail else "postponed, to be tried again"
        raise JobPostponedError(last.removeprefix("twin: "))
    if code < 0:
        raise ChildError(f"killed by {signal.Signals(-code).name}; {tail}".rstrip("; "))
    if code:
        failed = JobError if code == _USAGE else ChildError
        raise failed(tail or f"ended with exit code {code}")
    result: dict[str, Any] = json.loads(output)
    return result


def _python_path() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


async def _tail(stream: asyncio.StreamReader) -> str:
    """The end of what the stream brings until it is closed; all of it goes into our own log."""
    kept = b""
    while chunk := await stream.read(65_536):
        sys.stderr.buffer.write(chunk)
        sys.stderr.flush()
        kept = (kept + chunk)[-_TAIL:]
    return kept.decode(errors="replace").strip()
