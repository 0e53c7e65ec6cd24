import subprocess
import sys

import psutil
import pytest

from bench.processes import cpu

pytestmark = pytest.mark.integration

BURN = """
import os, time
if os.fork() == 0:
    while time.process_time() < 0.2:
        pass
    os._exit(0)
os.wait()
print(flush=True)
input()
"""


def test_cpu_counts_descendants_that_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        used = cpu(psutil.Process(parent.pid))
        parent.communicate(b"\n")
    assert used >= 0.19
