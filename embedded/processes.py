"""Ties between processes that outlast the ways they may end."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def signal_on_death_of(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal once its parent is gone, SIGKILL included.

    Called by the child, it ends the child if the parent went before. Linux alone can do this; on
    other systems it does nothing.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
