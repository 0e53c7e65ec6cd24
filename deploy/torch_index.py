"""Print PyTorch's index of CPU wheels where the installation should take torch from it.

PyPI's torch for Linux brings CUDA, several gigabytes of it. `make` asks this program before it
installs; no answer means: install as usual. It prints the index where all of this holds:

- the system is Linux, and no NVIDIA driver is installed;
- pip is not told where to look for packages, neither by its files nor by variables such as
  PIP_INDEX_URL;
- the index answers within two seconds.

Images choose for the machine they will run on instead: see TORCH_INDEX in the Dockerfile.
"""

import os
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_LIMIT = 2.0
"""Seconds for the index to answer."""
_SOURCES = {"index-url", "extra-index-url", "find-links", "no-index"}
"""Options that tell pip where to look for packages."""


def main() -> None:
    """Print the index, or nothing."""
    if sys.platform == "linux" and not _has_nvidia_driver():
        options = pip_options()
        if not _SOURCES & options.keys() and answers(f"{CPU_INDEX}/torch/", options, _LIMIT):
            sys.stdout.write(f"{CPU_INDEX}\n")
            sys.stdout.flush()
    os._exit(0)  # without waiting for a name server that has not answered yet


def pip_options() -> dict[str, str]:
    """What pip is told by its files and by the environment, by the names of its options."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    )
    found = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")  # global.index-url='https://...', :env:.proxy='...'
        found[name.rpartition(".")[2]] = value.strip("'\"")
    return found


def answers(url: str, options: Mapping[str, str], limit: float) -> bool:
    """Whether a URL can be had in time, with the proxy and the certificates that pip would use.

    Args:
        url: what to ask for.
        options: pip's, by their names.
        limit: seconds.
    """
    answered = threading.Event()

    def ask() -> None:
        proxy = options.get("proxy")
        with suppress(OSError, HTTPException, ValueError):
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None),
                urllib.request.HTTPSHandler(
                    context=ssl.create_default_context(cafile=options.get("cert"))
                ),
            )
            request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - http(s) by main
            try:
                opener.open(request, timeout=limit).close()
            except HTTPError as refusal:
                refusal.close()
            else:
                answered.set()

    # In a thread, for the time that a name server takes is no part of a socket's timeout.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(limit)
    return answered.is_set()


def _has_nvidia_driver() -> bool:
    traces = map(Path, ("/proc/driver/nvidia", "/dev/nvidiactl"))
    return shutil.which("nvidia-smi") is not None or any(trace.exists() for trace in traces)


if __name__ == "__main__":
    main()
