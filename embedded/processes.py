"""Ties between processes that outlast the ways they may end."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def kernel_tells() -> bool:
    """Whether `signal_on_death_of` works here: on Linux alone. Elsewhere, use `call_on_death`.

    TWIN_EMBEDDED_WATCHER=on denies it, so that tests on Linux cover what other systems do.
    """
    return _libc is not None and os.environ.get("TWIN_EMBEDDED_WATCHER") != "on"


def signal_on_death_of(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal once its parent is gone, SIGKILL included.

    Called by the child, it ends the child if the parent went before. Does nothing where the
    kernel cannot tell.
    """
    if _libc is not None and kernel_tells():
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def call_on_death(action: Callable[[], None]) -> None:
    """Have another process call a function once this one is gone, SIGKILL included.

    That process, the watcher, is a fork of this one and ends with the call. It reads from a pipe
    that only this process could write to, which the kernel closes.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(reading)
        return  # `writing` stays open for as long as this process lives
    os.close(writing)
    os.read(reading, 1)
    try:
        action()
    finally:
        os._exit(0)
